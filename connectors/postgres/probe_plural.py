"""Whether parents have several live rows in a child stream, of which nobody has said which one counts."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from connectors.postgres.catalog import Table
from connectors.postgres.finding import Finding, warning
from connectors.postgres.session import rows
from rules.rulebook import Stream

_SEVERAL = """
    select count(*) as number from (
        select 1 from {table} t where {where} group by {parent} having count(*) > 1 limit {limit}) as several"""
_LIMIT = 1000


async def plural_findings(
    stream: Stream, table: Table, connection: psycopg.AsyncConnection[TupleRow]
) -> Sequence[Finding]:
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
        ((number,),) = [tuple(row.values()) for row in await rows(connection, query.as_string(connection))]
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
