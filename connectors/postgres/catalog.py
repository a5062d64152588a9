"""What the mapping wants of a system's tables, and what the server's catalogue says they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.harm import Part, parts_of
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.session import rows
from fieldwarden.engine.errors import EnvironmentUnfit, SchemaDrift
from fieldwarden.rules.names import qualified
from fieldwarden.rules.rulebook import Stream, System

_PORTABLE = {
    16: "boolean",
    18: "text",
    19: "text",
    20: "integer",
    21: "integer",
    23: "integer",
    25: "text",
    114: "json",
    700: "float",
    701: "float",
    1042: "text",
    1043: "text",
    1082: "date",
    1114: "timestamp",
    1184: "timestamptz",
    1700: "numeric",
    2950: "uuid",
    3802: "json",
}
"""Built-in type OIDs as portable names; pg_type.dat never renumbers them."""


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is the portable name, `written` as SQL says it; `base` the OID below any domain, `modifier` its typmod.

    `required`: a new row must say it, since it is NOT NULL and nothing fills it."""

    name: str
    type: str
    written: str
    oid: int
    base: int
    modifier: int
    generated: bool
    stored: bool
    readable: bool
    required: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A relation. `identity` is pg_class.relreplident; `unique` the columns of each sound unique index."""

    oid: int
    schema: str
    name: str
    kind: str
    usable: bool
    identity: str
    identity_columns: tuple[str, ...]
    primary: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    columns: Mapping[str, Column]
    parts: tuple[Part, ...] = ()
    """Where its rows stand: the table itself, or its partitions."""
    partial: tuple[tuple[tuple[str, ...], str], ...] = ()
    """The columns and the condition of each valid unique index that has one."""
    partitioned_by: tuple[str, ...] = ()


def table_name(table: str) -> str:
    """The schema.table that a stream's `table` means: a bare one is in public, and quotes are spelling."""
    return ".".join(qualified(table))


def tables_of(system: System) -> list[str]:
    """The tables of the streams that are read, each once, as "schema.table"."""
    return list(dict.fromkeys(table_name(stream.table) for stream in system.read_streams.values()))


async def describe(connection: psycopg.AsyncConnection[TupleRow], names: Iterable[str]) -> dict[str, Table]:
    """The tables (or views) that exist among "schema.table" names."""
    found = await rows(connection, QUERIES["columns"], [list(names)])
    types = await _base_types(connection, {row["atttypid"] for row in found})
    indexes = await rows(connection, QUERIES["indexes"], [list({row["oid"] for row in found})])
    parts = await parts_of(connection, {row["oid"] for row in found})
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        tables.setdefault(row["table_name"], []).append(row)
    return {
        name: _table(
            columns,
            types,
            [index for index in indexes if index["indrelid"] == columns[0]["oid"]],
            parts.get(columns[0]["oid"], ()),
        )
        for name, columns in tables.items()
    }


def readable_column(system: str, stream: Stream, table: Table, name: str) -> Column:
    """A mapped column, which is there and which we may read. Raises SchemaDrift, EnvironmentUnfit."""
    column = table.columns.get(name)
    if column is None:
        raise SchemaDrift(
            f"{system}: {stream.name} has no column {name}, but its mapping uses it",
            suggestion=f"mend the mapping in the system file of {system}",
            path=f"{stream.name}.{name}",
        )
    if not table.usable or not column.readable:
        raise EnvironmentUnfit(
            f"{system}: no privilege to read {stream.name}.{name}",
            suggestion=f"GRANT USAGE ON SCHEMA {table.schema}; GRANT SELECT ON {stream.table} to Fieldwarden's role",
            path=f"{stream.name}.{name}",
        )
    return column


def type_names(tables: Iterable[Table]) -> dict[int, str]:
    """Portable names by type OID: the built-in ones and those the tables use."""
    return _PORTABLE | {column.oid: column.type for table in tables for column in table.columns.values()}


async def _base_types(connection: psycopg.AsyncConnection[TupleRow], oids: set[int]) -> dict[int, tuple[int, str, int]]:
    """Type OID -> (OID below its domains, portable name, type modifier a domain sets or -1)."""
    names = {}
    for row in await rows(connection, QUERIES["base_types"], [list(oids)]):
        textual = row["typtype"] == "e" or row["typcategory"] == "S"
        name = _PORTABLE.get(row["oid"], "text" if textual else "other")
        names[row["of"]] = (row["oid"], name, row["typtypmod"])
    return names


def _table(
    rows: list[dict[str, Any]],
    types: Mapping[int, tuple[int, str, int]],
    indexes: list[dict[str, Any]],
    parts: tuple[Part, ...],
) -> Table:
    first = rows[0]
    primary = next((tuple(index["columns"]) for index in indexes if index["indisprimary"]), ())
    chosen = next((tuple(index["columns"]) for index in indexes if index["indisreplident"]), ())
    identity = first["relreplident"]
    whole = tuple(row["attname"] for row in rows)
    return Table(
        first["oid"],
        first["nspname"],
        first["relname"],
        first["relkind"],
        first["usable"],
        identity,
        {"d": primary, "i": chosen, "f": whole}.get(identity, ()),
        primary,
        tuple(tuple(index["columns"]) for index in indexes if index["sound"]),
        {row["attname"]: _column(row, first["readable"], *types[row["atttypid"]]) for row in rows},
        parts,
        tuple(
            (tuple(index["columns"]), index["predicate"]) for index in indexes if index["valid"] and index["predicate"]
        ),
        tuple(first["partitioned_by"]),
    )


def _column(row: dict[str, Any], readable: bool, base: int, name: str, modifier: int) -> Column:
    return Column(
        row["attname"],
        name,
        row["written"],
        row["atttypid"],
        base,
        row["atttypmod"] if row["atttypmod"] != -1 else modifier,
        row["attgenerated"] != "",
        row["attgenerated"] == "s",
        readable or row["column_readable"],
        row["attnotnull"] and not (row["atthasdef"] or row["attidentity"] or row["attgenerated"]),
    )
