"""Which rows a table holds at this moment: asked before rows are taken for gone because nobody has told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.session import connect, translated
from fieldwarden.engine.change import key_parts
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.names import qualified
from fieldwarden.rules.rulebook import Stream
from fieldwarden.rules.secret import Secretive

_QUERY = (
    "select n from unnest({lists}) with ordinality as k ({names}, n) where exists (select from {table} t where {same})"
)


async def standing(system: str, dsn: Secretive, stream: Stream, keys: Sequence[str]) -> set[str]:
    """Those of `keys` (as `engine.change` writes them) under which the stream's table holds a row.

    Raises EnvironmentUnfit if the table's key cannot be read, TransientError."""
    parts = _parts(stream, keys)
    if not parts:
        return set()
    async with await connect(system, dsn) as connection:
        with translated(system):
            types = await _types(connection, system, stream)
            try:
                numbers = await _found(connection, stream, parts, types)
            except psycopg.DataError:  # the column has another type by now, which cannot hold some of them
                numbers = await _found(connection, stream, parts, {})
    known = list(parts)
    return {known[number - 1] for number in numbers}


def _parts(stream: Stream, keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Key -> its columns' values; without the names that unusable keys go by."""
    found = {}
    for key in keys:
        try:
            found[key] = key_parts(key, len(stream.key))
        except ValueError:
            continue
    return found


async def _types(connection: psycopg.AsyncConnection[TupleRow], system: str, stream: Stream) -> dict[str, str]:
    cursor = await connection.execute(QUERIES["key_types"], [_table(stream).as_string(connection), list(stream.key)])
    types: dict[str, str] = dict(await cursor.fetchall())
    if missing := sorted(set(stream.key) - set(types)):
        raise EnvironmentUnfit(
            f"{system}: {stream.name} has no column {', '.join(missing)} that can be read",
            suggestion="fieldwarden doctor",
            path=system,
        )
    return types


async def _found(
    connection: psycopg.AsyncConnection[TupleRow],
    stream: Stream,
    parts: Mapping[str, tuple[str, ...]],
    types: Mapping[str, str],
) -> list[int]:
    """The numbers (from 1) of those that are there, compared in the columns' own types, for their index, or as text."""
    names = [sql.Identifier(f"k{number}") for number in range(len(stream.key))]
    same = []
    for column, name in zip(stream.key, names, strict=True):
        form = "t.{} = {}::" + types[column] if column in types else "t.{}::text = {}"
        same.append(sql.SQL(form).format(sql.Identifier(column), name))
    query = sql.SQL(_QUERY).format(
        lists=sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(names)),
        names=sql.SQL(", ").join(names),
        table=_table(stream),
        same=sql.SQL(" and ").join(same),
    )
    cursor = await connection.execute(query, [list(column) for column in zip(*parts.values(), strict=True)])
    return [number for (number,) in await cursor.fetchall()]


def _table(stream: Stream) -> sql.Identifier:
    return sql.Identifier(*qualified(stream.table))
