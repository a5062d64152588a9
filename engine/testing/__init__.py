"""The ports in memory: for simulations, and for tests of the core that need no database.

`MemoryHub` keeps the hub's contract exactly (tests/contract runs one suite against it and PostgreSQL);
`ScriptedSource` replays a list of changes from any position, `PartitionedSource` one worker's share of a topic, and
`PolledSource` asks a `Feed` whose tokens expire;
`MemoryTarget` applies writes to dictionaries as a
guarded target would. Each can be told to fail at the moments that matter. Nothing here reads a clock or draws a
random number.
"""

from fieldwarden.engine.testing.feed import Feed, PolledSource
from fieldwarden.engine.testing.hub import MemoryHub
from fieldwarden.engine.testing.partitions import PartitionedSource
from fieldwarden.engine.testing.source import ScriptedSource
from fieldwarden.engine.testing.target import MemoryTarget, TargetRow

__all__ = ["Feed", "MemoryHub", "MemoryTarget", "PartitionedSource", "PolledSource", "ScriptedSource", "TargetRow"]
