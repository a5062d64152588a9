"""The last records of a system's topics, decoded as `run` would: what is wrong with them is known before it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from fieldwarden.connectors.debezium.kafka.access import KafkaAccess
from fieldwarden.connectors.debezium.kafka.brokers import looking, metadata
from fieldwarden.connectors.debezium.kafka.record import Record
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.connectors.debezium.reading.records import Records, SchemaNeeded
from fieldwarden.engine.change import RawChange
from fieldwarden.engine.errors import EngineError, SchemaDrift
from fieldwarden.rules.rulebook import Entity, System

_LAST = 5
"""Records of each partition that are looked at: the very last may be a tombstone."""
_SECONDS = 15.0


@dataclass(slots=True)
class Sample:
    """One mapped topic that exists. `wrong`: (message, suggestion) of what would hold the stream or stop the source;
    `doubtful`: records that would become dead letters."""

    topic: str
    stream: str
    partitions: int
    wrong: list[tuple[str, str]] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Samples:
    """By topic. `heartbeat`: whether the connector has ever said that it lives; `prefixes`: what other topics named
    like Debezium's begin with."""

    samples: dict[str, Sample]
    heartbeat: bool
    prefixes: list[str]


async def sample(system: System, entities: Mapping[str, Entity], kafka: KafkaAccess) -> Samples:
    """Raises EnvironmentUnfit, TransientError for what concerns all topics."""
    topics = Topics(system)
    registry = kafka.open_registry()
    async with looking(kafka.brokers, system.name) as consumer:
        cluster = await metadata(consumer)
        known: set[str] = cluster.topics()
        found: dict[str, Sample] = {}
        for topic in sorted(topics.streams.keys() & known):
            numbers = sorted(cluster.partitions_for_topic(topic) or ())
            seen = found[topic] = Sample(topic, topics.streams[topic][0].name, len(numbers))
            records = await _last(consumer, [TopicPartition(topic, number) for number in numbers])
            await _decode(Records(system, entities, registry), seen, records)
    return Samples(found, topics.heartbeat in known, _prefixes(known))


async def _last(consumer: AIOKafkaConsumer, places: list[TopicPartition]) -> list[ConsumerRecord]:
    consumer.assign(places)
    starts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    for place in places:
        consumer.seek(place, max(starts[place], ends[place] - _LAST))
    found: list[ConsumerRecord] = []
    async with asyncio.timeout(_SECONDS):
        for place in places:
            while await consumer.position(place) < ends[place]:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += batch
    return found


async def _decode(records: Records, seen: Sample, found: Iterable[ConsumerRecord]) -> None:
    """Note what is wrong with them, each thing once."""
    records.tell_partitions(seen.topic, seen.partitions)
    for record in found:
        try:
            change = await _change(records, record)
        except EngineError as error:
            wrong = (error.message, error.suggestion)
            seen.wrong += [wrong] if wrong not in seen.wrong else []
            if not isinstance(error, SchemaDrift):
                return
        else:
            if change is not None and change.undecoded is not None:
                seen.doubtful.append(change.undecoded.reason)


async def _change(records: Records, record: Record) -> RawChange | None:
    for _ in range(4):  # a key's schema and a value's
        try:
            return records.change(record, 0)
        except SchemaNeeded as needed:
            await records.learn(needed)
    return None


def _prefixes(topics: Iterable[str]) -> list[str]:
    """What topics of three parts and more begin with, at most a few: `<prefix>.<schema>.<table>`."""
    found = {topic.rsplit(".", 2)[0] for topic in topics if topic.count(".") >= 2 and not topic.startswith("_")}
    return sorted(found)[:8]
