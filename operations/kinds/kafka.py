"""A system that Debezium reads, as a source of this project: its topics, the registry, and its connector's help.

How long a worker may say nothing is one setting of the project (`run: lease`): for the hub, where it holds its duties,
and for Kafka, where its group gives its partitions to others.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from fieldwarden.connectors.debezium.connect.client import Connect
from fieldwarden.connectors.debezium.connect.signals import Signals
from fieldwarden.connectors.debezium.connect.snapshots import Asked, Progress, read_again
from fieldwarden.connectors.debezium.kafka.access import Endpoint, KafkaAccess
from fieldwarden.connectors.debezium.kafka.consumer import Timeouts
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.connectors.debezium.reading.lag import KafkaLag
from fieldwarden.connectors.debezium.reading.source import IDLE_SECONDS, KafkaSource, Look
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.connections import debezium_names

if TYPE_CHECKING:
    from fieldwarden.engine.ports.kinds import Reading
    from fieldwarden.operations.kinds.kafka_access import DebeziumSession
    from fieldwarden.rules.rulebook import System

log = structlog.get_logger("fieldwarden.rebaseline")
EAGER_SECONDS = 0.5
_SHORTEST_SESSION = 6.0
"""What brokers allow unless told otherwise (group.min.session.timeout.ms)."""


def kafka_source(session: DebeziumSession, reading: Reading) -> KafkaSource:
    """Not connected yet. Raises ReferenceUnresolved, NoKafka."""
    system, kafka, reach = reading.system, session.kafka, session.reach
    return KafkaSource(
        system,
        reach.rulebook.entities,
        kafka.brokers,
        kafka.open_registry(),
        group=f"{kafka.group}.{system.name}",
        hub=reading.hub,
        lookout=kafka_lag(session, system),
        tell_again=_tell_again(system, kafka) if reading.rebaseline or system.mends_gaps else None,
        always=reading.rebaseline,
        look=_look(session, system),
        idle_seconds=EAGER_SECONDS if reading.eager else IDLE_SECONDS,
        timeouts=timeouts(reach.file.run.lease.total_seconds()),
    )


def kafka_lag(session: DebeziumSession, system: System) -> KafkaLag:
    """Not connected yet. Raises ReferenceUnresolved, NoKafka."""
    return KafkaLag(system, session.kafka.brokers, session.dsn if session.settings.is_postgres else None)


def _look(session: DebeziumSession, system: System) -> Look | None:
    """What asks the system itself, where that can be done."""
    if not session.settings.is_postgres:
        return None
    from fieldwarden.connectors.postgres.reading.at_rows import look_at

    dsn = session.dsn
    return lambda rows: look_at(system, dsn, rows, None)


def timeouts(lease: float) -> Timeouts:
    """Of a worker that is taken to hang after so many seconds."""
    session = int(max(lease, _SHORTEST_SESSION) * 1000)
    return Timeouts(session=session, heartbeat=session // 5)


def _endpoint(system: str, kafka: KafkaAccess) -> Endpoint:
    if kafka.connect is None:
        raise EnvironmentUnfit(
            f"to have all rows of {system} told again, its connector in Kafka Connect must be asked",
            suggestion="say where that is under kafka: connect: url: in fieldwarden.yaml",
            path=system,
        )
    return kafka.connect


def _tell_again(system: System, kafka: KafkaAccess) -> Callable[[], Awaitable[None]]:
    """Has the connector tell every row of the mapped tables again, parents first; returns when they are in Kafka."""
    endpoint = _endpoint(system.name, kafka)

    async def tell_again() -> None:
        signals, topics, name = Signals(system, kafka.brokers), Topics(system), uuid.uuid4().hex[:8]
        await signals.prepare()
        async with Connect.open(endpoint) as connect:
            for topic in topics.streams:
                table = topics.table(topic)
                asked = Asked(f"fieldwarden/rebaseline-{name}/{table}", table)
                await read_again(connect, debezium_names(system).connector, signals, asked, noted)

    def noted(progress: Progress) -> None:
        if progress.note:
            log.info("rebaseline.note", system=system.name, table=progress.table, message=progress.note)

    return tell_again
