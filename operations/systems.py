"""The systems of a project, to be connected to: which code reads and writes each, by its kind of connector."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

from fieldwarden.rules.connections import database_settings
from fieldwarden.rules.protecting import owns_protected

if TYPE_CHECKING:
    from fieldwarden.connectors.debezium.reading.lag import KafkaLag
    from fieldwarden.connectors.postgres.looking.lag import SourceLag
    from fieldwarden.connectors.postgres.looking.rows import Looking
    from fieldwarden.connectors.postgres.writing.protecting import Owners
    from fieldwarden.connectors.postgres.writing.target import PostgresTarget
    from fieldwarden.engine.hub.views.footing import HubFooting
    from fieldwarden.engine.ports.hub import Hub
    from fieldwarden.engine.ports.source import Source
    from fieldwarden.operations.project import Opened

_EAGER_SECONDS = 0.1


def source(
    project: Opened,
    name: str,
    hub: Hub,
    id: str,
    *,
    rebaseline: bool = False,
    eager: bool = False,
    room: asyncio.Event | None = None,
) -> Source:
    """The source of a system; not connected yet. `id` is the project's, as the hub has it. `eager`: move an idle
    position on within a moment, not seconds. `room`: as `Wake` has it."""
    system = project.rulebook.systems[name]
    if system.partitioned:
        from fieldwarden.operations.kafka import kafka_source

        return kafka_source(project, name, hub, rebaseline=rebaseline, eager=eager)
    from fieldwarden.connectors.postgres.reading.pace import IDLE_SECONDS
    from fieldwarden.connectors.postgres.reading.source import PostgresSource

    idle = _EAGER_SECONDS if eager else IDLE_SECONDS
    return PostgresSource(system, project.dsn(name), id, hub, rebaseline=rebaseline, idle_seconds=idle, room=room)


def target(project: Opened, name: str, hub: Hub, id: str, key: bytes) -> PostgresTarget:
    """The target of a system; not connected yet. `id` is the project's and `key` that of its marks, as the hub has
    them."""
    from fieldwarden.connectors.postgres.following import mark_of
    from fieldwarden.connectors.postgres.marks import Mark, Seal
    from fieldwarden.connectors.postgres.writing.target import PostgresTarget

    system = project.rulebook.systems[name]
    # What we write comes back through Debezium without the mark that a direct source would see.
    announce = partial(hub.announce, name) if system.partitioned else None
    return PostgresTarget(system, project.target_dsn(name), Mark(mark_of(id), Seal(key)), announce, owners(project))


def owners(project: Opened) -> Owners:
    """Whose protected fields no target may touch."""
    from fieldwarden.connectors.postgres.writing.protecting import Owners

    systems = project.rulebook.systems.values()
    names = [
        system.name
        for system in systems
        if database_settings(system).is_postgres and owns_protected(project.rulebook, system)
    ]
    others = [name for name in names if database_settings(project.rulebook.systems[name]).target_dsn is not None]
    return Owners(
        project.rulebook,
        {name: project.dsn(name) for name in names},
        {name: project.target_dsn(name) for name in others},
    )


def lookout(project: Opened, name: str, footing: HubFooting) -> SourceLag | KafkaLag:
    """A look at a source from outside its stream; not connected yet."""
    system = project.rulebook.systems[name]
    if system.partitioned:
        from fieldwarden.operations.kafka import kafka_lookout

        return kafka_lookout(project, name)
    from fieldwarden.connectors.postgres.looking.lag import SourceLag

    return SourceLag(system, project.dsn(name), footing)


def looking(project: Opened, name: str) -> AbstractAsyncContextManager[Looking] | None:
    """A look at a system's rows as they are now; None where nobody but Debezium can ask it."""
    system = project.rulebook.systems[name]
    if not database_settings(system).is_postgres:
        return None
    from fieldwarden.connectors.postgres.looking.rows import Looking

    return Looking.at(system, project.dsn(name))
