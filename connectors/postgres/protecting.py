"""The guard's check by identity: a target whose write set holds a column that an owner's protected field is read from
is not written to at all, under whatever name, view or system it gets there.

Each session of a target asks once, before its first write. Other systems come into it where they are the same database:
the catalogue tells whether the tables from which their protected fields are read are here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from connectors.postgres.catalog import table_name
from connectors.postgres.reach import Database, here, reach
from connectors.postgres.session import connect, rows, translated
from engine.errors import EngineError, EnvironmentUnfit
from rules.protecting import Conflict, conflicts, database, protected_reads, writes_of
from rules.rulebook import Rulebook, System
from rules.secret import Secretive

_THERE = """
    select count(*) as number from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname || '.' || c.relname = any(%s)"""


class ProtectedColumn(EnvironmentUnfit):
    """A write set holds a column that an owner's protected field is read from; nothing is written until it does not."""

    code = "protected_column"


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose protected fields a target must not touch: the rules, and how each system that owns some is reached."""

    rulebook: Rulebook
    dsns: Mapping[str, Secretive]


async def check_target(connection: psycopg.AsyncConnection[TupleRow], system: System, owners: Owners) -> None:
    """Raises ProtectedColumn, which names both streams; psycopg.Error of this target's server."""
    near = [name for name in owners.dsns if name == system.name or await _same(connection, system, owners, name)]
    found = await found_here(connection, owners.rulebook, [system.name, *near])
    wrong = [each for each in found if each.write.system == system.name and each.protected]
    if wrong:
        raise ProtectedColumn(
            f"nothing is written to {system.name}: {'; '.join(each.message for each in wrong)}",
            suggestion=wrong[0].suggestion,
            path=f"{system.name}.{wrong[0].write.stream}",
        )


async def found_here(
    connection: psycopg.AsyncConnection[TupleRow], rulebook: Rulebook, names: Sequence[str]
) -> list[Conflict]:
    """The conflicts among systems that are all in the database that is connected. Raises psycopg.Error."""
    systems = {name: rulebook.systems[name] for name in dict.fromkeys(names)}
    streams = [stream for system in systems.values() for stream in system.streams.values()]
    reads = [use for stream in streams for use in protected_reads(rulebook, stream)]
    if not reads:
        return []
    writes = [use for stream in streams for use in writes_of(stream)]
    known = await reach(connection, systems, writes, reads)
    everything = frozenset(column for columns in known.read.values() for column in columns)
    hidden = {use for use in writes if _table(systems, use.system, use.stream) in known.opaque}
    return list(
        conflicts(
            rulebook,
            # Where a view's own trigger writes, nobody can tell: it may be anywhere.
            lambda use: known.written.get(use, frozenset()) | (everything if use in hidden else frozenset()),
            lambda use: known.read.get(use, frozenset()),
        )
    )


async def live_conflicts(rulebook: Rulebook, dsns: Mapping[str, Secretive]) -> list[Conflict]:
    """The conflicts among all systems that can be reached, each asked in its own database; the others are left out.

    Raises nothing: what cannot be asked, `doctor` says elsewhere."""
    places = await asyncio.gather(*(_place(name, dsn) for name, dsn in dsns.items()))
    groups: dict[Database, list[str]] = {}
    for name, place in zip(dsns, places, strict=True):
        if place is not None:
            groups.setdefault(place, []).append(name)
    found: list[Conflict] = []
    for names in groups.values():
        try:
            async with await connect(names[0], dsns[names[0]]) as connection:
                with translated(names[0]):
                    found += await found_here(connection, rulebook, names)
        except EngineError:
            continue
    return found


async def _place(name: str, dsn: Secretive) -> Database | None:
    try:
        async with await connect(name, dsn) as connection:
            with translated(name):
                return await here(connection)
    except EngineError:
        return None


async def _same(connection: psycopg.AsyncConnection[TupleRow], system: System, owners: Owners, name: str) -> bool:
    """Whether another system is this database. It is asked only where its tables are here by name; if it does not
    answer, what the connection strings say counts."""
    other = owners.rulebook.systems[name]
    tables = {table_name(stream.table) for stream in other.streams.values()}
    ((there),) = await rows(connection, _THERE, [list(tables)])
    if not there["number"]:
        return False
    place = await _place(name, owners.dsns[name])
    return database(other) == database(system) if place is None else place == await here(connection)


def _table(systems: Mapping[str, System], system: str, stream: str) -> str:
    return table_name(systems[system].streams[stream].table)


__all__ = ["Owners", "ProtectedColumn", "check_target", "found_here", "live_conflicts"]
