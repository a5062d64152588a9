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
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.session import connect, rows, translated
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.secret import Secretive

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
    there = [row["name"] for row in await rows(connection, QUERIES["surveyed_tables"])]
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
    references = [_reference(row) for row in await rows(connection, QUERIES["references"], [asked])]
    return Survey(connection.info.dbname, tables, references, labels)


async def _labels(
    connection: psycopg.AsyncConnection[TupleRow], tables: Mapping[str, Table]
) -> dict[tuple[str, str], tuple[str, ...]]:
    types = [column.base for table in tables.values() for column in table.columns.values()]
    listed = {row["type"]: tuple(row["labels"]) for row in await rows(connection, QUERIES["labels"], [types])}
    found = {
        (name, column.name): listed[column.base]
        for name, table in tables.items()
        for column in table.columns.values()
        if column.base in listed
    }
    for row in await rows(connection, QUERIES["column_checks"], [list(tables)]):
        if _LISTED.search(row["text"]):
            values = tuple(text.replace("''", "'") for text in _LITERAL.findall(row["text"]))
            found.setdefault((row["source"], row["column"]), values)
    return found


def _reference(row: Mapping[str, Any]) -> Reference:
    return Reference(row["source"], row["target"], tuple(row["columns"]), tuple(row["keys"]), row["owned"])
