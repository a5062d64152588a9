"""What `doctor` asks of a PostgreSQL system: everything that would stop or hurt a run, all at once, changing nothing.

The source refuses at the first thing that is wrong; a person wants the whole list, for the source's half and the
target's half together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from difflib import get_close_matches
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, describe, table_name
from fieldwarden.connectors.postgres.looking.children import child_findings
from fieldwarden.connectors.postgres.looking.entry_roles import role_findings, unreadable_findings, writer
from fieldwarden.connectors.postgres.looking.fit import reading_findings, writing_findings
from fieldwarden.connectors.postgres.looking.mark_function import mark_findings
from fieldwarden.connectors.postgres.looking.publication import debezium_findings
from fieldwarden.connectors.postgres.looking.slot_findings import FootingNow, slot_findings
from fieldwarden.connectors.postgres.looking.values import value_findings
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.reading.slots import SlotHealth, slot_health
from fieldwarden.connectors.postgres.session import connect, rows, translated
from fieldwarden.engine.errors import EngineError
from fieldwarden.engine.ports.finding import Finding, bad, good, warning
from fieldwarden.rules.connections import database_settings, debezium_names
from fieldwarden.rules.rulebook import Entity, Stream, System
from fieldwarden.rules.secret import Secretive

__all__ = ["Finding", "probe"]


async def probe(
    system: System,
    dsn: Secretive,
    entities: Mapping[str, Entity] | None = None,
    footing: FootingNow | None = None,
    *,
    target_dsn: Secretive | None = None,
    ours: bool = False,
) -> list[Finding]:
    """Everything about one system, good and bad. With `entities`, whether columns fit their fields' types too; with
    `footing`, whether the slot is this project's own and holds all that its hub has not read. With
    `target_dsn`, by which it is written to, what the roles are; `ours`: the server is the project's own embedded one.

    Where Debezium reads the system, slot and publication are its business: what it lacks, Kafka Connect tells.

    A server that cannot be reached is a finding with the subject "connection" ("target connection": by `target_dsn`),
    not an error, and stands behind what was found until then."""
    found: list[Finding] = []
    try:
        async with AsyncExitStack() as sessions:
            connection = await sessions.enter_async_context(await connect(system.name, dsn))
            found.append(good("connection", f"{system.name} answers"))
            with translated(system.name):
                await connection.execute("set default_transaction_read_only = on")
                tables = await describe(connection, {table_name(stream.table) for stream in system.streams.values()})
                found += await _server_half(system, dsn, connection, tables, footing)
                try:
                    writing = await sessions.enter_async_context(writer(system, dsn, target_dsn or dsn, connection))
                except EngineError as error:
                    return [*found, bad("target connection", error.message, f"check target_dsn of {system.name}")]
                if target_dsn is not None:
                    found += await role_findings(system, connection, writing, ours=ours)
                found += await mark_findings(system, writing)
                found += await _tables_half(system, connection, writing, tables, entities or {})
                if writing is not connection:
                    found += await unreadable_findings(system, writing)
    except EngineError as error:
        found.append(bad("connection", error.message, error.suggestion))
    return found


async def _server_half(
    system: System,
    dsn: Secretive,
    connection: psycopg.AsyncConnection[TupleRow],
    tables: Mapping[str, Table],
    footing: FootingNow | None,
) -> list[Finding]:
    (facts,) = await rows(connection, QUERIES["server_facts"])
    found = [_version(facts)]
    if not system.read_streams:
        return found
    if not database_settings(system).read_directly:
        health = await slot_health(system.name, connection, debezium_names(system).slot)
        found += _settings(facts, health)
        found += await debezium_findings(system, connection, tables)
        if health.wrong:
            what = f"the slot {health.slot}, which Debezium is to read by, {health.wrong}"
            found.append(bad("slot", what, f"name another in the system file (slot:), then: {_register(system)}"))
        return found
    health, standing = await slot_findings(system, connection, tables, footing)
    found += _settings(facts, health)
    return [*found, await _streams(system, dsn), *standing]


def _register(system: System) -> str:
    return f"fieldwarden connector register {system.name}"


def _version(facts: Mapping[str, Any]) -> Finding:
    major = facts["version"] // 10000
    if major < 14:
        return bad("server", f"PostgreSQL {major} is too old", "PostgreSQL 14 or newer is needed")
    return good("server", f"PostgreSQL {major}")


def _settings(facts: Mapping[str, Any], health: SlotHealth) -> Iterator[Finding]:
    if facts["standby"]:
        yield bad("server", "the server is a standby", "give the connection string of the primary server")
    if facts["wal_level"] == "logical":
        yield good("wal_level", "wal_level is logical")
    else:
        yield bad(
            "wal_level",
            f"wal_level is {facts['wal_level']}, so row changes cannot be streamed",
            "ALTER SYSTEM SET wal_level = logical; then restart the server",
        )
    if facts["encoding"] == "SQL_ASCII":
        yield warning(
            "server",
            "the database's encoding is SQL_ASCII, so text may be no valid UTF-8",
            "a row with such a text is set aside until it is mended; move the data to a UTF8 database",
        )
    if health.wal_status == "missing" and facts["free_slots"] < 1:
        yield bad("slots", "no replication slot is free", "raise max_replication_slots, or drop one not in use")
    if not health.active and facts["free_senders"] < 1:
        yield bad("senders", "no WAL sender is free", "raise max_wal_senders")


async def _streams(system: System, dsn: Secretive) -> Finding:
    try:
        connection = await connect(system.name, dsn, replication="database")
    except EngineError as error:
        return bad("replication", error.message, error.suggestion)
    await connection.close()
    return good("replication", "the role may stream changes")


async def _tables_half(
    system: System,
    connection: psycopg.AsyncConnection[TupleRow],
    writing: psycopg.AsyncConnection[TupleRow],
    tables: Mapping[str, Table],
    entities: Mapping[str, Entity],
) -> list[Finding]:
    existing = [row["name"] for row in await rows(connection, QUERIES["tables"])]
    version = connection.info.server_version
    found: list[Finding] = []
    for name, stream in system.streams.items():
        table = tables.get(table_name(stream.table))
        if table is None or table.kind not in ("r", "p"):
            found.append(_no_table(stream, table, existing))
            continue
        wrong = list(reading_findings(stream, table, entities.get(stream.entity), version))
        columns = [column for column in table.columns.values() if not column.generated]
        (rights,) = await rows(
            writing, QUERIES["table_rights"], {"table": table.oid, "columns": [column.name for column in columns]}
        )
        wrong += writing_findings(stream, table, rights)
        wrong += await child_findings(stream, table, writing)
        found += wrong or [good("table", f"{name} fits its mapping", name)]
        if all(each.ok for each in wrong):
            found += await value_findings(stream, table, entities.get(stream.entity), connection)
    return found


def _no_table(stream: Stream, table: Table | None, existing: list[str]) -> Finding:
    if table is not None:
        return bad("table", f"{stream.table} is no table", "map the tables below it instead", stream.name)
    near = get_close_matches(table_name(stream.table), existing, 1)
    suggestion = f"did you mean {near[0]}?" if near else "create it"
    return bad("table", f"there is no table {stream.table}", suggestion, stream.name)
