"""The kind `debezium`: a database whose changes Debezium writes to Kafka. PostgreSQL we write to and ask ourselves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

from fieldwarden.operations.kinds.postgres import (
    postgres_findings,
    postgres_looking,
    postgres_target,
)
from fieldwarden.rules.kinds import DEBEZIUM

if TYPE_CHECKING:
    from fieldwarden.connectors.debezium.reading.lag import KafkaLag
    from fieldwarden.connectors.postgres.writing.target import PostgresTarget
    from fieldwarden.engine.ports.finding import Finding
    from fieldwarden.engine.ports.kinds import Reach, Reading, Writing
    from fieldwarden.engine.ports.looks import Footing, Looking
    from fieldwarden.engine.ports.source import Source
    from fieldwarden.operations.kinds.kafka_access import DebeziumSession
    from fieldwarden.rules.rulebook import System


class DebeziumKind:
    settings, check = DEBEZIUM.settings, staticmethod(DEBEZIUM.check)

    def session(self, system: System, reach: Reach) -> DebeziumSession:
        from fieldwarden.operations.kinds.kafka_access import DebeziumSession

        return DebeziumSession(system, reach)

    def source(self, session: DebeziumSession, reading: Reading) -> Source:
        from fieldwarden.operations.kinds.kafka import kafka_source

        return kafka_source(session, reading)

    def target(self, session: DebeziumSession, writing: Writing) -> PostgresTarget:
        # What we write comes back through Debezium without the mark that a direct source would see.
        return postgres_target(session, writing, partial(writing.hub.announce, writing.system.name))

    def lag(self, session: DebeziumSession, system: System, footing: Footing) -> KafkaLag:  # noqa: ARG002 - the port's
        from fieldwarden.operations.kinds.kafka import kafka_lag

        return kafka_lag(session, system)

    def looking(self, session: DebeziumSession, system: System) -> AbstractAsyncContextManager[Looking] | str:
        if session.settings.is_postgres:
            return postgres_looking(session, system)
        return f"it is {session.settings.product}, which only Debezium asks"

    async def findings(self, session: DebeziumSession, system: System, footing: Footing | None) -> Sequence[Finding]:
        from fieldwarden.connectors.debezium.looking.probe import probe
        from fieldwarden.engine.ports.finding import note

        if session.settings.is_postgres:
            found = list(await postgres_findings(session, system, footing))
        else:
            found = [note("database", f"{system.name} is {session.settings.product}, which only Debezium asks")]
        return found + await probe(system, session.reach.rulebook.entities, session.kafka)

    def reread(self, position: str, streams: Collection[str]) -> str:  # noqa: ARG002 - the port's
        """Debezium tells rows again, where a person has it do so."""
        return position
