"""The kind `postgres`: PostgreSQL, read directly by logical replication."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from fieldwarden.rules.connections import database_settings, in_postgres
from fieldwarden.rules.kinds import POSTGRES
from fieldwarden.rules.protecting import owns_protected
from fieldwarden.rules.references import embedded_in

if TYPE_CHECKING:
    from fieldwarden.connectors.postgres.writing.protecting import Owners
    from fieldwarden.connectors.postgres.writing.target import PostgresTarget
    from fieldwarden.engine.ports.duties import Half
    from fieldwarden.engine.ports.finding import Finding
    from fieldwarden.engine.ports.kinds import Reach, Reading, Writing
    from fieldwarden.engine.ports.looks import Footing, Lag, Looking
    from fieldwarden.engine.ports.source import Source
    from fieldwarden.rules.rulebook import System
    from fieldwarden.rules.secret import Secret

_EAGER_SECONDS = 0.1


class PostgresSession:
    """How one database is reached, by reading and by writing: each connection string is resolved once, when it is first
    needed."""

    def __init__(self, system: System, reach: Reach) -> None:
        self.name = system.name
        self.settings = database_settings(system)
        self.reach = reach

    @cached_property
    def dsn(self) -> Secret:
        """Raises ReferenceUnresolved."""
        return self.reach.secret(self.settings.dsn, self.reach.where(self.name))

    @cached_property
    def target_dsn(self) -> Secret:
        """Raises ReferenceUnresolved."""
        return self.reach.secret(self.settings.written_by, self.reach.where(self.name))

    def owners(self) -> Owners:
        """Whose protected fields no target may touch, and how their databases are asked. Raises ReferenceUnresolved."""
        from fieldwarden.connectors.postgres.writing.protecting import Owners

        reach, rulebook = self.reach, self.reach.rulebook
        found = [each for each in rulebook.systems.values() if in_postgres(each) and owns_protected(rulebook, each)]
        given = {each.name: database_settings(each) for each in found}
        return Owners(
            rulebook,
            {name: reach.secret(each.dsn, reach.where(name)) for name, each in given.items()},
            {
                name: reach.secret(each.target_dsn, reach.where(name))
                for name, each in given.items()
                if each.target_dsn is not None
            },
        )

    async def cut_off(self, process: str, half: Half) -> None:
        from fieldwarden.connectors.postgres.session import end_sessions

        await end_sessions(self.name, self.dsn if half == "source" else self.target_dsn, process)

    async def close(self) -> None:
        """Nothing is held: who connects keeps the connection."""


def postgres_target(
    session: PostgresSession, writing: Writing, announce: Callable[[str, int], Awaitable[None]] | None = None
) -> PostgresTarget:
    """`announce` is told of each transaction before it is committed, where our marks do not come back with it."""
    from fieldwarden.connectors.postgres.following import mark_of
    from fieldwarden.connectors.postgres.marks import Mark, Seal
    from fieldwarden.connectors.postgres.writing.target import PostgresTarget

    mark = Mark(mark_of(writing.project), Seal(writing.key))
    return PostgresTarget(writing.system, session.target_dsn, mark, announce, session.owners())


def postgres_looking(session: PostgresSession, system: System) -> AbstractAsyncContextManager[Looking]:
    from fieldwarden.connectors.postgres.looking.rows import Looking

    return Looking.at(system, session.dsn)


async def postgres_findings(session: PostgresSession, system: System, footing: Footing | None) -> Sequence[Finding]:
    from fieldwarden.connectors.postgres.looking.probe import probe

    ours = bool(embedded_in(session.settings.dsn))
    entities = session.reach.rulebook.entities
    return await probe(system, session.dsn, entities, footing, target_dsn=session.target_dsn, ours=ours)


class PostgresKind:
    settings, check = POSTGRES.settings, staticmethod(POSTGRES.check)

    def session(self, system: System, reach: Reach) -> PostgresSession:
        return PostgresSession(system, reach)

    def source(self, session: PostgresSession, reading: Reading) -> Source:
        from fieldwarden.connectors.postgres.reading.pace import IDLE_SECONDS
        from fieldwarden.connectors.postgres.reading.source import PostgresSource

        return PostgresSource(
            reading.system,
            session.dsn,
            reading.project,
            reading.hub,
            idle_seconds=_EAGER_SECONDS if reading.eager else IDLE_SECONDS,
            room=reading.room,
        )

    def reread(self, position: str, streams: Collection[str]) -> str:
        """The source reads what its position does not name."""
        from fieldwarden.connectors.postgres.reading.position import WalPosition

        known = WalPosition.known(position)
        if known is None:
            return position
        return replace(known, streams=tuple(each for each in known.streams if each not in streams)).encode()

    def target(self, session: PostgresSession, writing: Writing) -> PostgresTarget:
        return postgres_target(session, writing)

    def lag(self, session: PostgresSession, system: System, footing: Footing) -> Lag:
        from fieldwarden.connectors.postgres.looking.lag import SourceLag

        return SourceLag(system, session.dsn, footing)

    def looking(self, session: PostgresSession, system: System) -> AbstractAsyncContextManager[Looking]:
        return postgres_looking(session, system)

    async def findings(self, session: PostgresSession, system: System, footing: Footing | None) -> Sequence[Finding]:
        return await postgres_findings(session, system, footing)
