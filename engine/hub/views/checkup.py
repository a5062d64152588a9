"""What `doctor` asks of the hub: can it be reached, and is its schema one that this program knows. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub import roles
from fieldwarden.engine.hub.conninfo import lasting
from fieldwarden.engine.hub.migrate import known_migrations
from fieldwarden.rules.secret import Secretive

_OLDEST = 15

_ROLE = """
    select coalesce(has_schema_privilege(n.oid, 'CREATE'), has_database_privilege(current_database(), 'CREATE')),
           r.rolsuper, coalesce(pg_has_role(n.nspowner, 'USAGE'), false)
    from pg_roles r left join pg_namespace n on n.nspname = %s where r.rolname = current_user"""


@dataclass(frozen=True, slots=True)
class Checkup:
    """The server's major version, the migrations applied and known, and whether the role may make the schema."""

    server: int
    applied: int
    known: int
    creates: bool
    role: str = ""
    power: str = ""
    """What the role is that the engine should not work as: "a superuser", "the owner of its schema", or nothing."""
    outdated: tuple[str, ...] = ()
    """The roles that `hub roles` made and another version of this program gave other rights."""


async def check_up(dsn: Secretive, schema: str) -> Checkup:
    """Raises EnvironmentUnfit if the server cannot be reached, is too old, or holds a newer schema."""
    try:
        async with await psycopg.AsyncConnection.connect(lasting(dsn, "doctor")) as connection:
            found = await _look(connection, schema)
    except psycopg.errors.InsufficientPrivilege as error:
        raise EnvironmentUnfit(
            f"the hub's role has no rights in the schema {schema!r}",
            suggestion="as the schema's owner: fieldwarden hub roles",
        ) from error
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
            f"the hub's schema {schema!r} is older than this program or not there, and the hub's role may not make or "
            "change it",
            suggestion="as its owner: fieldwarden hub migrate",
        )
    return found


async def _look(connection: psycopg.AsyncConnection, schema: str) -> Checkup:
    table = sql.Identifier(schema, "migration")
    cursor = await connection.execute("select to_regclass(%s) is not null", [table.as_string(connection)])
    applied = 0
    if (await cursor.fetchone() or (False,))[0]:
        count = await connection.execute(sql.SQL("select coalesce(max(version), 0) from {}").format(table))
        applied = (await count.fetchone() or (0,))[0]
    creates, superuser, owner = await (await connection.execute(_ROLE, [schema])).fetchone() or (False, False, False)
    power = "a superuser" if superuser else "the owner of its schema" if owner else ""
    version, known = connection.info.server_version // 10_000, len(known_migrations())
    outdated = await _outdated(connection, schema) if applied == known else ()
    return Checkup(version, applied, known, creates, connection.info.user, power, outdated)


async def _outdated(connection: psycopg.AsyncConnection, schema: str) -> tuple[str, ...]:
    may = await (await connection.execute(roles.NOTES_READ, {"table": roles.notes_name(schema)})).fetchone()
    if not may or not may[0]:
        return ()
    return tuple(
        [name async for name, _, current in await connection.execute(*roles.noted_roles(schema)) if not current]
    )
