"""Which row stands in the way of one that was refused: questions to the target about its unique constraints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

from fieldwarden.connectors.postgres.writing.faults import verdict
from fieldwarden.connectors.postgres.writing.passing import Contested, Taken
from fieldwarden.connectors.postgres.writing.refusing import Rejection
from fieldwarden.connectors.postgres.writing.shapes import TargetTable
from fieldwarden.engine.change import Value, key_parts, key_text
from fieldwarden.engine.ports.target import WriteResult
from fieldwarden.rules.names import qualified
from fieldwarden.rules.rulebook import Stream

ASKED = 100
"""Refused rows of one call of which it is asked who stands in their way; more of them are no handover."""

_COLUMNS = b"""
select a.attname::text, a.attnotnull, format_type(a.atttypid, -1), coalesce(pg_get_expr(d.adbin, d.adrelid), '')
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_index i on i.indexrelid = c.oid
join pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0 and (
    a.attnum = any(i.indkey)
    or exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
               and d.refclassid = 'pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid = a.attnum))
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum and a.attgenerated = ''
where n.nspname = $1 and c.relname = $2 and (
    i.indrelid = $3::regclass
    or exists (select from pg_partition_ancestors(i.indrelid) as above (relid) where above.relid = $3::regclass))
"""


async def still_taken(
    cursor: psycopg.AsyncRawCursor[tuple[object, ...]], left: Sequence[Taken], shapes: Mapping[str, TargetTable]
) -> list[WriteResult]:
    """The answers to writes that are refused for good, with whoever stands in their way."""
    results = []
    for number, each in enumerate(left):
        result = WriteResult(each.write.token, "rejected", each.write.key, reason=each.rejection.reason)
        result.said = each.rejection.said
        if number < ASKED:
            result.holder = await _asked(cursor, each, shapes[each.stream.name])
        results.append(result)
    return results


async def _asked(cursor: psycopg.AsyncRawCursor[tuple[object, ...]], taken: Taken, shape: TargetTable) -> str | None:
    """As `holder_of`; what the server refuses to tell (a column that may not be read) leaves the transaction as it was,
    and the answer at None."""
    await cursor.execute(b"savepoint fw_asked", prepare=False)
    try:
        holder = await holder_of(cursor, taken, shape)
    except psycopg.Error as error:
        if verdict(error) == "transient":
            raise
        await cursor.execute(b"rollback to fw_asked", prepare=False)
        return None
    await cursor.execute(b"release fw_asked", prepare=False)
    return holder


async def columns_of(
    cursor: psycopg.AsyncRawCursor[tuple[object, ...]], stream: Stream, rejection: Rejection
) -> list[Contested]:
    """The columns of the constraint that refused a row, those within its expressions too; none of another table's, into
    which a trigger wrote."""
    assert rejection.constraint is not None
    table = sql.Identifier(*qualified(stream.table)).as_string(cursor)
    await cursor.execute(_COLUMNS, [*rejection.constraint, table])
    found = await cursor.fetchall()
    return [Contested(str(name), bool(must), str(kind), str(default)) for name, must, kind, default in found]


async def holder_of(cursor: psycopg.AsyncRawCursor[tuple[object, ...]], taken: Taken, shape: TargetTable) -> str | None:
    """The key of the row that holds what this one brings; None where that cannot be told."""
    stream, values = taken.stream, list[Value]()
    target = sql.Identifier(*qualified(stream.table))

    def given(value: Value, kind: str) -> sql.Composable:
        values.append(value)
        return sql.SQL("${}::text::{}").format(sql.SQL(str(len(values))), sql.SQL(kind))

    tests = []
    for column in taken.columns:
        found, value = _brought(taken, column.name)
        if found:
            what = given(value, column.kind)
        elif taken.write.key is not None:
            what = _own(taken, column.name, shape, target, given)
        elif column.default and "(" not in column.default:  # a constant
            what = sql.SQL(column.default)
        else:
            return None
        tests.append(sql.SQL("h.{} = {}").format(sql.Identifier(column.name), what))
    if not tests:
        return None
    query = sql.SQL("select {} from {} h where {} limit 1").format(_key(stream), target, sql.SQL(" and ").join(tests))
    await cursor.execute(query, values)
    rows = await cursor.fetchall()
    if not rows:
        return None
    key = str(rows[0][0])
    return key if len(stream.key) == 1 else key_text(tuple(json.loads(key)))


def _brought(taken: Taken, column: str) -> tuple[bool, Value]:
    """What the refused row was to hold in a column, as far as its write says."""
    stream, write = taken.stream, taken.write
    for name, value in write.values.items():
        if stream.fields[name].column == column:
            return True, value
    if write.operation != "create":
        return False, None
    if column in stream.constants:
        return True, stream.constants[column]
    if column == stream.external_id:
        return True, write.record
    if column in stream.parent_columns and write.parent_key is not None:
        parts = key_parts(write.parent_key, len(stream.parent_columns))
        return True, parts[stream.parent_columns.index(column)]
    return False, None


def _own(taken: Taken, column: str, shape: TargetTable, target: sql.Composable, given: object) -> sql.Composed:
    assert callable(given)
    parts = key_parts(taken.write.key or "", len(taken.stream.key))
    same = [
        sql.SQL("s.{} = {}").format(sql.Identifier(name), given(value, shape.columns[name].plain))
        for name, value in zip(taken.stream.key, parts, strict=True)
    ]
    where = sql.SQL(" and ").join(same)
    return sql.SQL("(select s.{} from {} s where {})").format(sql.Identifier(column), target, where)


def _key(stream: Stream) -> sql.Composed:
    parts = [sql.SQL("h.{}::text").format(sql.Identifier(name)) for name in stream.key]
    return (
        sql.SQL("{}").format(parts[0])
        if len(parts) == 1
        else sql.SQL("array_to_json(array[{}])::text").format(sql.SQL(", ").join(parts))
    )
