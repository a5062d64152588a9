"""What `doctor` asks of the hub: can it be reached, and is its schema one that this program knows. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from engine.errors import EnvironmentUnfit
from engine.hub.conninfo import lasting
from engine.hub.migrate import known_migrations

_OLDEST = 15


@dataclass(frozen=True, slots=True)
class Checkup:
    """The server's major version, the migrations applied and known, and whether the role may make the schema."""

    server: int
    applied: int
    known: int
    creates: bool


async def check_up(dsn: str, schema: str) -> Checkup:
    """Raises EnvironmentUnfit if the server cannot be reached, is too old, or holds a newer schema."""
    try:
        async with await psycopg.AsyncConnection.connect(lasting(dsn, "doctor")) as connection:
            found = await _look(connection, schema)
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise EnvironmentUnfit(
            "the hub's database cannot be reached",
            suggestion="check hub.dsn in fieldwarden.yaml: is the server up, are user, password and database right?",
        ) from error
    if found.server < _OLDEST:
        raise EnvironmentUnfit(
            f"the hub's PostgreSQL is {found.server}, and {_OLDEST} is the oldest that works",
            suggestion="set hub.dsn to a newer server, or leave it out to use the embedded one",
        )
    if found.applied > found.known:
        raise EnvironmentUnfit(
            f"the hub's schema {schema!r} is at version {found.applied}, newer than this program's {found.known}",
            suggestion="update fieldwarden",
        )
    if found.applied < found.known and not found.creates:
        raise EnvironmentUnfit(
            f"the hub's role may not make or change the schema {schema!r}",
            suggestion=f"grant it CREATE on the database, or make it the owner of the schema {schema}",
        )
    return found


async def _look(connection: psycopg.AsyncConnection, schema: str) -> Checkup:
    table = sql.Identifier(schema, "migration")
    cursor = await connection.execute("select to_regclass(%s) is not null", [table.as_string(connection)])
    applied = 0
    if (await cursor.fetchone() or (False,))[0]:
        count = await connection.execute(sql.SQL("select coalesce(max(version), 0) from {}").format(table))
        applied = (await count.fetchone() or (0,))[0]
    cursor = await connection.execute(
        "select coalesce((select has_schema_privilege(oid, 'CREATE') from pg_namespace where nspname = %s),"
        " has_database_privilege(current_database(), 'CREATE'))",
        [schema],
    )
    creates = (await cursor.fetchone() or (False,))[0]
    return Checkup(connection.info.server_version // 10_000, applied, len(known_migrations()), creates)
