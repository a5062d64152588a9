"""Whether a connector that is RUNNING lives: its heartbeats tell, and nothing else does.

While its database is away Debezium tries again and again inside its task, for ever by default, and Kafka Connect goes
on calling connector and task RUNNING without an error (seen with Debezium 3.7 over a closed database).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from aiokafka import TopicPartition

from fieldwarden.connectors.debezium.kafka.brokers import Brokers, looking, metadata
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.secret import Secretive

_LEAST = 30.0
_MISSED = 6
"""Seconds, and beats, that may be missing: clocks differ, a table's first rows are awaited, workers rebalance."""
_SECONDS = 10.0

SILENT = "is its database up? Debezium goes on trying, and the log of Kafka Connect says at what"
"""What to do about silence."""


async def silent_for(system: System, brokers: Brokers, configuration: Mapping[str, Secretive]) -> float | None:
    """Seconds since the last heartbeat, if that is too long for a connector so configured; else None, and where it
    cannot be told: heartbeats are off, or there has been none yet. Raises EnvironmentUnfit, TransientError."""
    interval = str(configuration.get("heartbeat.interval.ms", "0"))
    if not interval.isdecimal() or interval == "0":
        return None
    last = await _last_beat(system, brokers)
    if last is None:
        return None
    silence = time.time() - last / 1000
    return silence if silence > max(_LEAST, _MISSED * int(interval) / 1000) else None


async def _last_beat(system: System, brokers: Brokers) -> int | None:
    """When the last one was written, in ms since 1970 UTC by its writer's clock."""
    place = TopicPartition(Topics(system).heartbeat, 0)
    async with looking(brokers, system.name) as consumer:
        if place.topic not in (await metadata(consumer)).topics():
            return None
        consumer.assign([place])
        starts, ends = await consumer.beginning_offsets([place]), await consumer.end_offsets([place])
        if ends[place] <= starts[place]:
            return None
        consumer.seek(place, ends[place] - 1)
        async with asyncio.timeout(_SECONDS):
            return int((await consumer.getone()).timestamp)
