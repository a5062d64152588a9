"""The ports: all that the loops know of a source, a target and the hub's memory.

Drawn for ten kinds of system (a WAL stream, a Kafka partition, a polled API, a bulk loader ...), so a position is
opaque text, batches are pulled, and a write answers per record and per field. A shipped in-memory fake stands
behind each port (`engine.testing`), and one contract suite in tests/contract runs against fake and real.
"""
