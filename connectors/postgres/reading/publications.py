"""The publication: ours is created and mended before a baseline, a foreign one is only checked.

Once a position is stored nothing is repaired silently: changes that were committed while a table was not published
cannot be read any more, and that is a declared gap.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, tables_of
from fieldwarden.connectors.postgres.harm import needs_stored
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.reading.server import Server, gap
from fieldwarden.connectors.postgres.session import rows, translated
from fieldwarden.connectors.postgres.words import words
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.rulebook import System

Connection = psycopg.AsyncConnection[TupleRow]

_FORMER_COMMENT = "made by fieldwarden"


def comment_of(project: str) -> str:
    """The comment on a publication of ours; any other is only checked, never altered."""
    return f"{_FORMER_COMMENT} for the project {project}"


def is_ours(comment: str | None, project: str | None) -> bool:
    """Whether we may alter a publication with this comment; one of before projects had ids is anybody's."""
    return comment == _FORMER_COMMENT or (project is not None and comment == comment_of(project))


async def check_publication(
    system: System, connection: Connection, name: str, tables: Mapping[str, Table], server: Server, project: str
) -> None:
    """With a stored position: the publication must be there and cover every table. One of ours then publishes no table
    that is not read any more, and what its applications need it to. Raises SourceGap, EnvironmentUnfit."""
    with translated(system.name):
        found = await rows(connection, QUERIES["publication"], [name])
    if not found:
        raise gap(system, f"the publication {name} is gone, and changes without it cannot be read", safe=True)
    needed = tables_of(system)
    uncovered = sorted(set(needed) - set(found[0]["tables"]))
    if uncovered:
        raise gap(system, f"the publication {name} no longer covers {', '.join(uncovered)}", safe=True)
    _check_options(system, name, found[0]["options"])
    if is_ours(found[0]["mark"], project):
        with translated(system.name):
            await _let_go(connection, name, found[0]["listed"], needed)
            if _leaves_out_generated(found[0]["options"], server):
                await _set(connection, name, server)
    else:
        _check_harmless(system, name, found[0]["options"], [tables[each] for each in needed], server)


async def ensure_publication(
    system: System, connection: Connection, name: str, tables: Mapping[str, Table], server: Server, project: str
) -> None:
    """Before a baseline (and before the slot is made, or decoding would not find it). Raises EnvironmentUnfit."""
    needed = {table: tables[table] for table in tables_of(system)}
    with translated(system.name):
        found = await rows(connection, QUERIES["publication"], [name])
        if not found:
            await _create_publication(system, connection, name, list(needed.values()), _options(server))
            await _comment(connection, name, comment_of(project))
            return
        missing = [table for full_name, table in needed.items() if full_name not in found[0]["tables"]]
        if is_ours(found[0]["mark"], project):
            # First what is published, then more of it: no table is published for a moment in a way that harms.
            await _set(connection, name, server)
            await _let_go(connection, name, found[0]["listed"], needed)
            if missing:
                alter = sql.SQL("alter publication {} add table ").format(sql.Identifier(name))
                await connection.execute(alter + _listed(missing))
            return
    if missing:
        listed = ", ".join(f"{table.schema}.{table.name}" for table in missing)
        raise EnvironmentUnfit(
            f"{system.name}: the publication {name} was not made by this project and does not cover {listed}",
            suggestion=f"ALTER PUBLICATION {name} ADD TABLE {listed}",
        )
    _check_options(system, name, found[0]["options"])
    _check_harmless(system, name, found[0]["options"], list(needed.values()), server)


def _options(server: Server) -> sql.SQL:
    """Generated columns are published, mapped or not: PostgreSQL 18 refuses the application's own updates of a table
    with REPLICA IDENTITY FULL where one is left out, also one that is added later."""
    plain = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
    return sql.SQL(f"{plain}, publish_generated_columns = stored" if server.version >= 180000 else plain)


def _leaves_out_generated(options: Mapping[str, Any], server: Server) -> bool:
    return server.version >= 180000 and options["pubgencols"] != "s"


def _check_harmless(
    system: System, name: str, options: Mapping[str, Any], tables: Sequence[Table], server: Server
) -> None:
    harmed = sorted({part for table in tables for part in needs_stored(table.parts, server.version)})
    if harmed and _leaves_out_generated(options, server):
        raise EnvironmentUnfit(
            f"{system.name}: the publication {name} leaves out stored generated columns of {', '.join(harmed)}, so "
            "that its application cannot update or delete rows (REPLICA IDENTITY FULL)",
            suggestion=f"ALTER PUBLICATION {name} SET (publish_generated_columns = stored)",
        )


def _check_options(system: System, name: str, options: Mapping[str, Any]) -> None:
    lacking = [what for what in ("insert", "update", "delete", "truncate") if not options[f"pub{what}"]]
    if lacking:
        raise EnvironmentUnfit(
            f"{system.name}: the publication {name} does not publish {', '.join(lacking)}",
            suggestion=f"ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')",
        )


async def _create_publication(
    system: System, connection: Connection, name: str, tables: Sequence[Table], options: sql.Composable
) -> None:
    listed = _listed(tables)
    create = sql.SQL("create publication {} for table {} with ({})")
    try:
        await connection.execute(create.format(sql.Identifier(name), listed, options))
    except psycopg.errors.InsufficientPrivilege as error:
        raise EnvironmentUnfit(
            f"{system.name}: no privilege to create the publication {name}: {words(error)}",
            suggestion=f"as the tables' owner: {create.format(sql.Identifier(name), listed, options).as_string()}",
        ) from error


async def _comment(connection: Connection, name: str, text: str) -> None:
    await connection.execute(sql.SQL("comment on publication {} is {}").format(sql.Identifier(name), sql.Literal(text)))


async def _set(connection: Connection, name: str, server: Server) -> None:
    await connection.execute(
        sql.SQL("alter publication {} set (").format(sql.Identifier(name)) + _options(server) + sql.SQL(")")
    )


async def _let_go(connection: Connection, name: str, listed: Sequence[Sequence[str]], needed: Collection[str]) -> None:
    """Take tables that are not read out of the publication: whatever becomes of their identity."""
    for schema, table in listed:
        if f"{schema}.{table}" not in needed:
            drop = sql.SQL("alter publication {} drop table only {}")
            await connection.execute(drop.format(sql.Identifier(name), sql.Identifier(schema, table)))


def _listed(tables: Sequence[Table]) -> sql.Composed:
    """Without the tables that inherit from them, which are not read, and may have no replica identity."""
    return sql.SQL(", ").join(sql.SQL("only ") + sql.Identifier(table.schema, table.name) for table in tables)
