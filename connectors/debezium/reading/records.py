"""Records as changes: decoded, the schema registry asked where one names a schema not met before, shapes checked.

An id that the registry does not know makes dead letters, which a person may try again; a registry that cannot be
reached stops the source, since then nothing can be told of a record.

A record that lacks a mapped column may be from before the column was added, or from after it was dropped. The database
knows whether the column is there now: if so, what the record was written without is unknown, and no reason to stop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from fieldwarden.connectors.debezium.decoding.changes import Decoder, Note, SchemaNeeded
from fieldwarden.connectors.debezium.decoding.parking import FittingShapes
from fieldwarden.connectors.debezium.decoding.plain import field_types
from fieldwarden.connectors.debezium.kafka.parts import LogPlace, row_position, split_name
from fieldwarden.connectors.debezium.kafka.record import KeptRecord, Record
from fieldwarden.connectors.debezium.kafka.registry import Registry
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.connectors.debezium.reading.lag import KafkaLag
from fieldwarden.engine.change import RawChange
from fieldwarden.engine.errors import EnvironmentUnfit, SchemaDrift
from fieldwarden.rules.rulebook import Entity, System

_UNKNOWN_SECONDS = 30.0
"""For so long an id that the registry does not know is not asked for again."""

__all__ = ["Records", "SchemaNeeded"]


class Records:
    """Holds what was compiled from schemas: one for as long as a source is open."""

    def __init__(
        self,
        system: System,
        entities: Mapping[str, Entity],
        registry: Registry | None,
        lookout: KafkaLag | None = None,
    ) -> None:
        self._system = system.name
        self._registry = registry
        self._lookout = lookout
        self._tables = {topic: streams[0].table for topic, streams in Topics(system).streams.items()}
        self._described: dict[str, int] = {}
        self._unknown: dict[int, float] = {}
        known = registry.known if registry is not None else _nothing
        self._decoder = Decoder(system, schema_of=known, types=field_types(system, entities))
        self._shapes = FittingShapes(system, entities)

    @property
    def streaming(self) -> bool:
        """Whether a record has shown that the initial snapshot is over."""
        return self._decoder.streaming

    @property
    def mark(self) -> LogPlace:
        """Where in the database's log the change stands that was read last."""
        return self._decoder.mark

    def tell_partitions(self, topic: str, number: int) -> None:
        self._decoder.partitions[topic] = number

    def change(self, record: Record, baseline: int) -> RawChange | None:
        """What a record says of a row, if anything. Raises SchemaNeeded (see `learn`), SchemaDrift."""
        position = row_position(baseline, record.offset)
        try:
            said = self._decoder.decode(record, position)
        except SchemaNeeded as needed:
            if not self._is_unknown(needed.id):
                raise
            return self._decoder.refuse(record, position, f"the schema registry does not know the id {needed.id}")
        if said is None or isinstance(said, Note):
            return None
        if self._decoder.is_partial(record.topic, said.relation) and record.timestamp > self._described[record.topic]:
            raise SchemaDrift(f"{self._system}: {record.topic} lacks a column that it had")  # for `is_from_before`
        self._shapes.check(said, self._decoder.partitions.get(record.topic, 1))
        return said

    async def note(self, record: Record) -> None:
        """Read a record of no stream, for what it says of the initial snapshot. Raises as `learn` does."""
        try:
            self._decoder.decode(record, "")
        except SchemaNeeded as needed:
            await self.learn(needed)
            if not self._is_unknown(needed.id):
                await self.note(record)

    async def is_from_before(self, record: Record) -> bool:
        """After SchemaDrift: whether it is worth reading the record again, with what the table is like now.

        Raises EnvironmentUnfit, TransientError where the database cannot be asked."""
        described = self._described.get(record.topic, -1)
        if self._lookout is None or record.topic not in self._tables or described >= record.timestamp:
            return False
        now = time.time_ns() // 1_000_000
        self._decoder.tell_columns(record.topic, await self._lookout.columns(self._tables[record.topic]))
        self._described[record.topic] = max(now, record.timestamp)
        return True

    def _is_unknown(self, number: int) -> bool:
        return self._unknown.get(number, 0.0) > asyncio.get_running_loop().time()

    async def learn(self, needed: SchemaNeeded) -> None:
        """Ask the registry; afterwards the same record can be decoded, or is refused.

        Raises EnvironmentUnfit without a registry, TransientError if it cannot be asked."""
        if self._registry is None:
            raise EnvironmentUnfit(
                f"{self._system}: records are written with a schema registry (schema {needed.id}), and none is named",
                suggestion="name it in fieldwarden.yaml (kafka: registry: url)",
            )
        if await self._registry.fetch(needed.id) is None:
            self._unknown[needed.id] = asyncio.get_running_loop().time() + _UNKNOWN_SECONDS

    async def again(self, raw: RawChange) -> RawChange:
        """A change that could not be decoded, tried again: the same, if in vain. Raises TransientError."""
        kept = raw.undecoded
        if kept is None:
            return raw
        name, _, offset = raw.place.rpartition("@")
        topic, partition = split_name(name)
        record = KeptRecord(topic, partition, int(offset), 0, kept.key, kept.value, kept.headers)
        for _ in range(4):  # a key's schema and a value's
            try:
                said = self._decoder.decode(record, raw.position)
            except SchemaDrift:
                return raw
            except SchemaNeeded as needed:
                if self._registry is None or await self._registry.fetch(needed.id) is None:
                    return raw
            else:
                return said if isinstance(said, RawChange) and said.undecoded is None else raw
        return raw


def _nothing(number: int) -> None:
    """No schema is known where there is no registry."""
