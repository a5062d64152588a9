"""Whether a server, and the tables mapped there, can be followed at all: checked before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, describe, readable_column, table_name, tables_of
from fieldwarden.connectors.postgres.harm import harms, untold
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.reading.position import WalPosition, parse_lsn
from fieldwarden.connectors.postgres.session import rows, translated
from fieldwarden.engine.errors import EngineError, EnvironmentUnfit, SourceGap
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.rulebook import Stream, System

Connection = psycopg.AsyncConnection[TupleRow]


@dataclass(frozen=True, slots=True)
class Server:
    version: int
    wal_level: str
    server: str
    database: str
    end: int
    timeline: int
    """Another one begins with each promotion, and with each restoration from a backup."""


async def check_server(system: System, connection: Connection) -> Server:
    """Raises EnvironmentUnfit if this server cannot stream row changes at all."""
    with translated(system.name):
        (row,) = await rows(connection, QUERIES["server"])
    end = parse_lsn(row["end_lsn"])
    server = Server(row["version"], row["wal_level"], row["server"], row["database"], end, row["timeline"])
    if server.version < 140000:
        raise EnvironmentUnfit(
            f"{system.name}: PostgreSQL {server.version // 10000} is too old",
            suggestion="PostgreSQL 14 or newer is needed",
        )
    if row["standby"]:
        raise EnvironmentUnfit(
            f"{system.name}: the server is a standby", suggestion="give the connection string of the primary server"
        )
    if server.wal_level != "logical":
        raise EnvironmentUnfit(
            f"{system.name}: wal_level is {server.wal_level}, so row changes cannot be streamed",
            suggestion="ALTER SYSTEM SET wal_level = logical; then restart the server",
        )
    return server


def check_tables(system: System, tables: Mapping[str, Table], server: Server) -> None:
    """Raises EnvironmentUnfit or SchemaDrift at the first mapped table that cannot be followed."""
    for trouble in troubles(system, tables, server).values():
        raise trouble


async def check_readable(system: System, connection: Connection) -> None:
    """Raises what would keep a source from reading all rows of the mapped tables now."""
    server = await check_server(system, connection)
    with translated(system.name):
        tables = await describe(connection, tables_of(system))
    check_tables(system, tables, server)


def stored_position(system: System, text: str | None) -> WalPosition | None:
    """What the hub holds of a source. Raises EnvironmentUnfit for what is no position."""
    try:
        return None if text is None else WalPosition.decode(text)
    except ValueError as error:
        raise EnvironmentUnfit(
            f"{system.name}: the hub holds a position that is {error}",
            suggestion=f"read everything again with `fieldwarden run --rebaseline {system.name}`",
        ) from error


def troubles(system: System, tables: Mapping[str, Table], server: Server) -> dict[str, EngineError]:
    """The streams whose tables cannot be followed, each with the first reason."""
    found: dict[str, EngineError] = {}
    for name, stream in system.read_streams.items():
        try:
            _check_table(system, stream, tables.get(table_name(stream.table)), server)
        except EngineError as error:
            found[name] = error
    return found


def _check_table(system: System, stream: Stream, table: Table | None, server: Server) -> None:
    if table is None or table.kind not in ("r", "p"):
        raise EnvironmentUnfit(
            f"{system.name}: there is no table {stream.table}"
            if table is None
            else f"{system.name}: {stream.table} is no table",
            suggestion=f"mend the system file of {system.name}, or create the table",
            path=stream.name,
        )
    for column in sorted(wanted_columns(stream).columns):
        _check_column(system, table, stream, column, server)
    lacking = untold(stream.name, stream.table, stream.key, table.identity_columns)
    for what, remedy in (*harms(table.parts, stream.key, server.version), *lacking):
        raise EnvironmentUnfit(f"{system.name}: {what}", suggestion=remedy, path=stream.name)


def _check_column(system: System, table: Table, stream: Stream, name: str, server: Server) -> None:
    column = readable_column(system.name, stream, table, name)
    if column.generated and (server.version < 180000 or not column.stored):
        raise EnvironmentUnfit(
            f"{system.name}: {stream.name}.{name} is a generated column, which this server does not publish",
            suggestion="map an expression over the columns it is generated from instead",
            path=f"{stream.name}.{name}",
        )


def gap(system: System, what: str, *, safe: bool = False) -> SourceGap:
    """`safe`: see SourceGap. Of another server, or one that was restored, a person has to say which rows are true;
    where somebody else reads by our slot, it would be taken from him."""
    return SourceGap(
        f"{system.name}: {what}; changes may have been missed",
        suggestion=f"read everything again with `fieldwarden run --rebaseline {system.name}`",
        path=system.name,
        safe=safe,
    )
