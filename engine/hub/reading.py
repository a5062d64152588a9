"""Reading the hub as it stands at one moment, while replication goes on writing it.

Everything that explains or proves reads in one REPEATABLE READ, READ ONLY transaction: ledger, records and pending
work are seen as of the same commit, and nothing is locked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.conninfo import lasting
from fieldwarden.engine.hub.migrate import SCHEMA
from fieldwarden.engine.hub.session import has_table, of_before, translated
from fieldwarden.rules.secret import Secretive

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]


@asynccontextmanager
async def snapshot(dsn: Secretive, schema: str = SCHEMA, exported: str = "") -> AsyncIterator[Connection]:
    """A connection inside such a transaction, at the moment that another's exported. Raises EnvironmentUnfit if there
    is no hub to read, or it is older than what is asked, and TransientError."""
    try:
        connection = await psycopg.AsyncConnection.connect(lasting(dsn, "reading"))
    except psycopg.OperationalError as error:
        raise EnvironmentUnfit(
            "the hub's database cannot be reached", suggestion="check hub.dsn in fieldwarden.yaml"
        ) from error
    with translated(), of_before():
        async with connection:
            await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await connection.set_read_only(True)
            if exported:
                await connection.execute(sql.SQL("set transaction snapshot {}").format(exported))
            await begin(connection, schema)
            yield connection


async def begin(connection: Connection, schema: str) -> None:
    """Set the running transaction up for reading much: names resolve in the hub's schema only."""
    await connection.execute(sql.SQL("set local search_path to {}").format(sql.Identifier(schema)))
    # A cursor is planned for its first rows by default; here all of them are wanted.
    await connection.execute("set local cursor_tuple_fraction to 1")
    if not await has_table(connection, "ledger_block"):
        raise EnvironmentUnfit(
            f"the hub's database has no schema {schema!r} with a ledger in it",
            suggestion="run `fieldwarden run` once to create it, or check hub.schema in fieldwarden.yaml",
        )
