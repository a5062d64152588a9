"""What `doctor` asks of child streams: whether parents have several live rows of which nobody has said which counts,
and whether parents may be locked where rows are looked for before they are created."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, table_name
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.session import rows
from fieldwarden.engine.ports.finding import Finding, bad, warning
from fieldwarden.rules.rulebook import Stream

_SEVERAL = """
    select count(*) as number from (
        select 1 from {table} t where {where} group by {parent} having count(*) > 1 limit {limit}) as several"""
_LIMIT = 1000


async def child_findings(
    stream: Stream, table: Table, connection: psycopg.AsyncConnection[TupleRow]
) -> Sequence[Finding]:
    return [*await _locking(stream, connection), *await _plural(stream, table, connection)]


async def _locking(stream: Stream, connection: psycopg.AsyncConnection[TupleRow]) -> Sequence[Finding]:
    if stream.parent_row is None:
        return ()
    parent = table_name(stream.parent_row[0])
    name = sql.Identifier(*parent.split(".", 1)).as_string(connection)
    (right,) = await rows(connection, QUERIES["may_lock"], [name])
    if right["locks"] is not False:
        return ()
    what = f"the role may not lock rows of {parent}, which creating rows of {stream.name} needs: no UPDATE privilege"
    return [
        bad("privilege", what, f"GRANT UPDATE ON {parent} to the role, or name unique: or external_id:", stream.name)
    ]


async def _plural(stream: Stream, table: Table, connection: psycopg.AsyncConnection[TupleRow]) -> Sequence[Finding]:
    """A warning where there are such parents; nothing of a table that cannot be asked, which is said elsewhere."""
    parents = stream.parent_columns
    if stream.parent is None or stream.first_by or any(set(each) <= set(parents) for each in table.unique):
        return ()
    there = [sql.SQL("t.{} is not null").format(sql.Identifier(name)) for name in parents]
    if stream.where is not None:
        there.append(sql.SQL("({})").format(sql.SQL(stream.where.sql("t"))))
    query = sql.SQL(_SEVERAL).format(
        table=sql.Identifier(table.schema, table.name),
        where=sql.SQL(" and ").join(there),
        parent=sql.SQL(", ").join(sql.Identifier("t", name) for name in parents),
        limit=sql.Literal(_LIMIT),
    )
    try:
        ((number,),) = [tuple(row.values()) for row in await rows(connection, query.as_bytes(connection))]
    except (psycopg.errors.UndefinedColumn, psycopg.errors.InsufficientPrivilege, psycopg.DataError):
        return ()
    if not number:
        return ()
    some = f"{number} or more rows" if number == _LIMIT else "1 row" if number == 1 else f"{number} rows"
    what = (
        f"{some} of {stream.parent} {'has' if number == 1 else 'have'} several rows in {stream.name}: the last edited "
        "counts, and none of them is written"
    )
    return [warning("first_by", what, "say which one counts: first_by:", stream.name)]
