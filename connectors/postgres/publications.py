"""The publication: ours is created and mended before a baseline, a foreign one is only checked.

Once a position is stored nothing is repaired silently: changes that were committed while a table was not published
cannot be read any more, and that is a declared gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from connectors.postgres.catalog import Table, table_name
from connectors.postgres.server import Server, gap
from connectors.postgres.session import rows, translated
from engine.errors import EnvironmentUnfit
from engine.wanted import wanted_columns
from rules.rulebook import System

Connection = psycopg.AsyncConnection[TupleRow]

_FORMER_COMMENT = "made by fieldwarden"


def comment_of(project: str) -> str:
    """The comment on a publication of ours; any other is only checked, never altered."""
    return f"{_FORMER_COMMENT} for the project {project}"


def is_ours(comment: str | None, project: str | None) -> bool:
    """Whether we may alter a publication with this comment; one of before projects had ids is anybody's."""
    return comment == _FORMER_COMMENT or (project is not None and comment == comment_of(project))


_PUBLICATION = """
    select p.oid, to_jsonb(p) as options, obj_description(p.oid, 'pg_publication') as mark,
           array(select schemaname || '.' || tablename from pg_publication_tables where pubname = p.pubname) as tables
    from pg_publication p where pubname = %s"""


async def check_publication(system: System, connection: Connection, name: str) -> None:
    """With a stored position: the publication must be there and cover every table. Raises SourceGap."""
    with translated(system.name):
        found = await rows(connection, _PUBLICATION, [name])
    if not found:
        raise gap(system, f"the publication {name} is gone, and changes without it cannot be read")
    uncovered = sorted({table_name(stream) for stream in system.read_streams} - set(found[0]["tables"]))
    if uncovered:
        raise gap(system, f"the publication {name} no longer covers {', '.join(uncovered)}")
    _check_options(system, name, found[0]["options"])


async def ensure_publication(
    system: System, connection: Connection, name: str, tables: Mapping[str, Table], server: Server, project: str
) -> None:
    """Before a baseline (and before the slot is made, or decoding would not find it). Raises EnvironmentUnfit."""
    needed = {table_name(stream): tables[table_name(stream)] for stream in system.read_streams}
    generated = server.version >= 180000 and any(
        needed[table_name(stream.name)].columns[column].generated
        for stream in system.read_streams.values()
        for column in wanted_columns(stream).columns
    )
    options = sql.SQL("publish = 'insert, update, delete, truncate', publish_via_partition_root = true") + (
        sql.SQL(", publish_generated_columns = stored") if generated else sql.SQL("")
    )
    with translated(system.name):
        found = await rows(connection, _PUBLICATION, [name])
        if not found:
            await _create_publication(system, connection, name, list(needed.values()), options)
            await _comment(connection, name, comment_of(project))
            return
        missing = [table for full_name, table in needed.items() if full_name not in found[0]["tables"]]
        if is_ours(found[0]["mark"], project):
            await _mend_publication(connection, name, missing, options)
            return
    if missing:
        listed = ", ".join(f"{table.schema}.{table.name}" for table in missing)
        raise EnvironmentUnfit(
            f"{system.name}: the publication {name} was not made by this project and does not cover {listed}",
            suggestion=f"ALTER PUBLICATION {name} ADD TABLE {listed}",
        )
    _check_options(system, name, found[0]["options"])


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
            f"{system.name}: no privilege to create the publication {name}: {error.diag.message_primary}",
            suggestion=f"as the tables' owner: {create.format(sql.Identifier(name), listed, options).as_string()}",
        ) from error


async def _comment(connection: Connection, name: str, text: str) -> None:
    await connection.execute(sql.SQL("comment on publication {} is {}").format(sql.Identifier(name), sql.Literal(text)))


async def _mend_publication(
    connection: Connection, name: str, missing: Sequence[Table], options: sql.Composable
) -> None:
    alter = sql.SQL("alter publication {} ").format(sql.Identifier(name))
    if missing:
        await connection.execute(alter + sql.SQL("add table ") + _listed(missing))
    await connection.execute(alter + sql.SQL("set (") + options + sql.SQL(")"))


def _listed(tables: Sequence[Table]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
