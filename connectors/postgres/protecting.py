"""The guard's check by identity: a target whose write set holds a column that an owner's protected field is read from
is not written to at all, under whatever name, view or system it gets there.

Each session of a target asks once, before its first write. Other systems come into it where they are the same database:
the catalogue tells whether the tables from which their protected fields are read are here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from connectors.postgres.reach import Database, Reach, here, reach
from connectors.postgres.session import connect, rows, translated
from engine.errors import EngineError, EnvironmentUnfit
from rules.names import qualified
from rules.protecting import Conflict, conflicts, database, protected_reads, writes_of
from rules.rulebook import Rulebook, System
from rules.secret import Secretive

_THERE = """
    select count(*) as number from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (n.nspname, c.relname) in (select * from unnest(%s::text[], %s::text[]))"""


class ProtectedColumn(EnvironmentUnfit):
    """A write set holds a column that an owner's protected field is read from; nothing is written until it does not."""

    code = "protected_column"


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose protected fields a target must not touch: the rules, and how each system that owns some is reached."""

    rulebook: Rulebook
    dsns: Mapping[str, Secretive]


async def check_target(connection: psycopg.AsyncConnection[TupleRow], system: System, owners: Owners) -> None:
    """Raises ProtectedColumn, which names both streams; EnvironmentUnfit if a table that is written is not there, since
    nobody knows what it will be; psycopg.Error of this target's server."""
    near = [name for name in owners.dsns if name == system.name or await _same(connection, system, owners, name)]
    known = await _known(connection, owners.rulebook, [system.name, *near])
    if known is None:
        return
    for use in known.missing:
        if use.system == system.name:
            table = ".".join(qualified(system.streams[use.stream].table))
            raise EnvironmentUnfit(
                f"nothing is written to {system.name}: {use.stream} writes table {table}, which is not there",
                suggestion="create it, or correct the stream's `table`; fieldwarden doctor names what is there",
                path=f"{system.name}.{use.stream}",
            )
    found = _conflicts(owners.rulebook, known)
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
    known = await _known(connection, rulebook, names)
    return [] if known is None else _conflicts(rulebook, known)


async def _known(
    connection: psycopg.AsyncConnection[TupleRow], rulebook: Rulebook, names: Sequence[str]
) -> Reach | None:
    """None where no field is protected."""
    systems = {name: rulebook.systems[name] for name in dict.fromkeys(names)}
    streams = [stream for system in systems.values() for stream in system.streams.values()]
    reads = [use for stream in streams for use in protected_reads(rulebook, stream)]
    if not reads:
        return None
    return await reach(connection, systems, [use for stream in streams for use in writes_of(stream)], reads)


def _conflicts(rulebook: Rulebook, known: Reach) -> list[Conflict]:
    nobody = frozenset[Hashable]()
    return list(
        conflicts(rulebook, lambda use: known.written.get(use, nobody), lambda use: known.read.get(use, nobody))
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
    tables = {qualified(stream.table) for stream in other.streams.values()}
    ((there),) = await rows(connection, _THERE, [list(part) for part in zip(*tables, strict=True)] or [[], []])
    if not there["number"]:
        return False
    place = await _place(name, owners.dsns[name])
    return database(other) == database(system) if place is None else place == await here(connection)


__all__ = ["Owners", "ProtectedColumn", "check_target", "found_here", "live_conflicts"]
