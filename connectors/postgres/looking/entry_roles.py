"""What `doctor` says of the roles by which a system is entered: whether they can do more than they have to, and whether
the one that writes, where it is another than the one that reads, can do what it has to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, describe, table_name
from fieldwarden.connectors.postgres.looking.fit import readable
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.session import connect, rows
from fieldwarden.engine.ports.finding import Finding, note, warning
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.rulebook import Stream, System
from fieldwarden.rules.secret import Secretive, revealed

Connection = psycopg.AsyncConnection[TupleRow]


@asynccontextmanager
async def writer(
    system: System, dsn: Secretive, target_dsn: Secretive, reader: Connection
) -> AsyncIterator[Connection]:
    """A session by which the system is written to: the reader's own, where both are one role.

    Raises EnvironmentUnfit, TransientError."""
    if revealed(target_dsn) == revealed(dsn):
        yield reader
        return
    async with await connect(system.name, target_dsn) as connection:
        yield connection


async def role_findings(system: System, reader: Connection, writer: Connection, *, ours: bool) -> list[Finding]:
    """`ours`: the server is the project's own embedded one, where everybody who comes at all is its superuser."""
    found: dict[str, Finding] = {}
    for connection in dict.fromkeys((reader, writer)):
        (role,) = await rows(connection, QUERIES["role"])
        if role["superuser"]:
            found[role["name"]] = _superuser(system, role["name"], ours=ours)
    return list(found.values())


def _superuser(system: System, name: str, *, ours: bool) -> Finding:
    if ours:
        return note("role", f"{system.name} is entered as {name}, the superuser of this project's own embedded server")
    return warning(
        "role",
        f"{system.name} is entered as {name}, a superuser: nothing there would stop a write outside the rules",
        f"fieldwarden target roles {system.name} --print, which its owner runs; then dsn and target_dsn by these roles",
    )


async def unreadable_findings(system: System, writer: Connection) -> list[Finding]:
    """What the writing role may not read of the rows that it writes: it compares before it writes."""
    writes = [each for each in system.streams.values() if each.creates or each.update_fields]
    tables = await describe(writer, {table_name(stream.table) for stream in writes})
    return [finding for stream in writes for finding in _unreadable(stream, tables)]


def _unreadable(stream: Stream, tables: Mapping[str, Table]) -> Iterator[Finding]:
    table = tables.get(table_name(stream.table))
    if table is None:
        return
    for name in sorted(wanted_columns(stream).columns & table.columns.keys()):
        yield from readable(stream, table, table.columns[name], "the role that writes")
