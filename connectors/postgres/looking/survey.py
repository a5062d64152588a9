"""What a catalogue tells somebody who has yet to write a system's file: tables, keys, foreign keys, kinds of rows.

It reads the catalogue alone, and no row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, describe, table_name
from fieldwarden.connectors.postgres.session import connect, rows, translated
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.secret import Secretive

_TABLES = """
    select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
    order by 1"""

_REFERENCES = """
    select n.nspname || '.' || c.relname as source, rn.nspname || '.' || r.relname as target,
           k.confdeltype = 'c' as owned,
           array(select a.attname::text from unnest(k.conkey) with ordinality as u (attnum, place)
                 join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.attnum order by u.place) as columns,
           array(select a.attname::text from unnest(k.confkey) with ordinality as u (attnum, place)
                 join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.attnum order by u.place) as keys
    from pg_constraint k
    join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_class r on r.oid = k.confrelid join pg_namespace rn on rn.oid = r.relnamespace
    where k.contype = 'f' and k.conparentid = 0 and n.nspname || '.' || c.relname = any(%s)
    order by source, k.conname"""

_LABELS = """
    select enumtypid as type, array_agg(enumlabel::text order by enumsortorder) as labels from pg_enum
    where enumtypid = any(%s) group by enumtypid"""

_CHECKS = """
    select n.nspname || '.' || c.relname as source, a.attname as column, pg_get_constraintdef(k.oid) as text
    from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
    where k.contype = 'c' and cardinality(k.conkey) = 1 and n.nspname || '.' || c.relname = any(%s)"""

_LISTED = re.compile(r"= ANY \(+ARRAY\[")
_LITERAL = re.compile(r"'((?:[^']|'')*)'::")


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key: `columns` of `source` hold `keys` of `target`; `owned`: rows go with the row they refer to."""

    source: str
    target: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    owned: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """Tables by "schema.table" in the order asked for, their foreign keys, and the values that a column may have,
    by (table, column), where its type or a constraint lists them."""

    database: str
    tables: Mapping[str, Table]
    references: Sequence[Reference]
    labels: Mapping[tuple[str, str], tuple[str, ...]]


async def survey(dsn: Secretive, names: Sequence[str]) -> Survey:
    """`names` as "schema.table", or a table of the schema public; none: all tables.

    Raises TransientError, and EnvironmentUnfit where there is no such table, or none at all."""
    async with await connect("the database", dsn) as connection:
        with translated("the database"):
            return await _surveyed(connection, names)


async def _surveyed(connection: psycopg.AsyncConnection[TupleRow], names: Sequence[str]) -> Survey:
    there = [row["name"] for row in await rows(connection, _TABLES)]
    asked = [table_name(name) for name in names] or there
    for name in asked:
        if name not in there:
            raise EnvironmentUnfit(
                f"there is no table {name}", suggestion=f"the tables are {', '.join(there) or 'none at all'}"
            )
    if not asked:
        raise EnvironmentUnfit("there is no table in this database", suggestion="is it the right one?")
    found = await describe(connection, asked)
    tables = {name: found[name] for name in asked}
    labels = await _labels(connection, tables)
    references = [_reference(row) for row in await rows(connection, _REFERENCES, [asked])]
    return Survey(connection.info.dbname, tables, references, labels)


async def _labels(
    connection: psycopg.AsyncConnection[TupleRow], tables: Mapping[str, Table]
) -> dict[tuple[str, str], tuple[str, ...]]:
    types = [column.base for table in tables.values() for column in table.columns.values()]
    listed = {row["type"]: tuple(row["labels"]) for row in await rows(connection, _LABELS, [types])}
    found = {
        (name, column.name): listed[column.base]
        for name, table in tables.items()
        for column in table.columns.values()
        if column.base in listed
    }
    for row in await rows(connection, _CHECKS, [list(tables)]):
        if _LISTED.search(row["text"]):
            values = tuple(text.replace("''", "'") for text in _LITERAL.findall(row["text"]))
            found.setdefault((row["source"], row["column"]), values)
    return found


def _reference(row: Mapping[str, Any]) -> Reference:
    return Reference(row["source"], row["target"], tuple(row["columns"]), tuple(row["keys"]), row["owned"])
