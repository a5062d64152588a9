"""Single rows of a database as they are at this moment, and where in its log that moment is.

    the log's end L -> no transaction that may have ended before L is invisible to us -> read -> observations at L

A transaction's end stands in the log a moment before others see what it did (longer, while a standby is waited for).
Rows read in between would be older than what the log says up to L, and said at L they would win over it. So it is
waited until no such transaction is left. One that has been open for long keeps us no longer than that: then the rows
are read all the same, and told without a place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, describe, readable_column, table_name
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.reading.observing import Observing, relation_of
from fieldwarden.connectors.postgres.session import connect, take_bytes_as_they_are, translated
from fieldwarden.engine.change import UNKNOWN, RawChange, Relation, RowRef, key_parts, key_text
from fieldwarden.engine.errors import EnvironmentUnfit, SchemaDrift
from fieldwarden.engine.ports.source import Observation
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.rulebook import Stream, System
from fieldwarden.rules.secret import Secretive

Place = Callable[[int], str]
"""A row's position for an LSN."""
_TRIES, _PAUSE = 20, 0.05


async def look_at(system: System, dsn: Secretive, rows: Sequence[RowRef], place: Place | None) -> list[Observation]:
    """These rows (each once) as they are now. Without a `place` for an LSN, all are told without one.

    Raises EnvironmentUnfit, TransientError."""
    if not rows:
        return []
    found: list[Observation] = []
    streams = {row.stream: system.streams[row.stream] for row in rows}
    try:
        async with await connect(system.name, dsn) as connection:
            with translated(system.name):
                tables = await describe(connection, {table_name(each.table) for each in streams.values()})
            await take_bytes_as_they_are(system.name, connection)
            async with _moment(system.name, connection) as end:
                position = place(end) if place is not None and end is not None else ""
                for name, some in groupby(sorted(rows), lambda row: row.stream):
                    asked, table = list(some), table_of(system.name, streams[name], tables)
                    images = await _images(connection, streams[name], table, [row.key for row in asked])
                    found += [Observation(row, images.get(row.key), position) for row in asked]
    except SchemaDrift as drift:  # the stream will say so itself
        raise EnvironmentUnfit(drift.message, suggestion=drift.suggestion, path=drift.path) from drift
    return found


def table_of(system: str, stream: Stream, tables: Mapping[str, Table]) -> Table:
    """Raises EnvironmentUnfit if it is not there."""
    name = table_name(stream.table)
    if name not in tables:
        raise EnvironmentUnfit(
            f"{system}: there is no table {name}",
            suggestion=f"mend the system file of {system}, or create the table",
            path=name,
        )
    return tables[name]


def readable_relation(system: str, stream: Stream, table: Table) -> Relation:
    """The shape in which the stream's rows come. Raises SchemaDrift, EnvironmentUnfit where a column cannot be read."""
    for name in sorted(wanted_columns(stream).columns):
        readable_column(system, stream, table, name)
    return relation_of(stream, table)


async def rows_at(
    connection: psycopg.AsyncConnection[TupleRow],
    stream: Stream,
    table: Table,
    relation: Relation,
    keys: Sequence[str],
    *,
    as_text: bool = False,
) -> list[RawChange]:
    """Those of these rows that are there, in any order. `as_text`: some keys may be none that their columns can hold;
    no index helps then."""
    parts = list(zip(*(key_parts(key, len(stream.key)) for key in keys), strict=True))
    names = [sql.Identifier(f"k{number}") for number in range(len(stream.key))]
    types = ["text" if as_text else table.columns[name].written for name in stream.key]
    same = "t.{}::text = k.{}" if as_text else "t.{} = k.{}"
    asked = sql.SQL(" join unnest({}) as k ({}) on {}").format(
        sql.SQL(", ").join(
            sql.SQL("{}::text[]::{}[]").format(sql.Literal(list(values)), sql.SQL(type))
            for type, values in zip(types, parts, strict=True)
        ),
        sql.SQL(", ").join(names),
        sql.SQL(" and ").join(
            sql.SQL(same).format(sql.Identifier(column), name) for column, name in zip(stream.key, names, strict=True)
        ),
    )
    return [raw async for raw, _ in Observing(stream, table, relation).rows(connection, asked)]


@asynccontextmanager
async def _moment(system: str, connection: psycopg.AsyncConnection[TupleRow]) -> AsyncIterator[int | None]:
    """One snapshot, and the LSN up to which all that ended is seen in it; None: nobody can tell."""
    with translated(system):
        end = await _one(connection, "log_end")
        ending = await _ending(connection)
        for again in range(_TRIES):
            await connection.execute("begin isolation level repeatable read read only")
            ((below, hidden),) = await (await connection.execute(QUERIES["snapshot"])).fetchall()
            unseen = [number for number in ending if not is_seen(number, below, hidden)]
            if not unseen or again == _TRIES - 1:
                break
            await connection.rollback()
            await asyncio.sleep(_PAUSE)
            ending &= await _ending(connection)
    try:
        yield None if unseen else end
    finally:
        if not connection.broken:
            await connection.rollback()


def is_seen(number: int, below: int, hidden: Sequence[int]) -> bool:
    """Whether a snapshot sees what the transaction with this number of 32 bits did, which was open a moment ago. The
    snapshot counts in 64 bits: it sees all `below` that, but for the `hidden`.

    >>> is_seen(7, 9, [8]), is_seen(8, 9, [8]), is_seen(9, 9, [8])
    (True, False, False)
    >>> is_seen(3, (1 << 32) + 1, []), is_seen((1 << 32) - 1, (1 << 32) + 1, [])
    (False, True)
    """
    ahead = (number - below + (1 << 31)) % (1 << 32) - (1 << 31)
    return ahead < 0 and below + ahead not in hidden


async def _ending(connection: psycopg.AsyncConnection[TupleRow]) -> set[int]:
    return set(await _one(connection, "open_transactions") or ())


async def _one(connection: psycopg.AsyncConnection[TupleRow], name: str) -> Any:
    ((value,),) = await (await connection.execute(QUERIES[name])).fetchall()
    return value


async def _images(
    connection: psycopg.AsyncConnection[TupleRow], stream: Stream, table: Table, keys: Sequence[str]
) -> dict[str, RawChange]:
    """By the key that was asked for, the rows that are there."""
    relation = readable_relation(stream.system, stream, table)
    usable = [key for key in keys if _is_usable(key, stream)]
    if not usable:
        return {}
    try:
        async with connection.transaction():  # a savepoint
            seen, as_text = await rows_at(connection, stream, table, relation, usable), False
    except EnvironmentUnfit as error:
        if not isinstance(error.__cause__, psycopg.DataError):
            raise
        seen, as_text = await rows_at(connection, stream, table, relation, usable, as_text=True), True
    found = {_key(image, stream): image for image in seen}
    images = {key: found.pop(key) for key in usable if key in found}
    for key in usable if found else ():  # the server spells some otherwise than whoever asked for them
        if key not in images and (image := await rows_at(connection, stream, table, relation, [key], as_text=as_text)):
            images[key] = image[0]
    return images


def _is_usable(key: str, stream: Stream) -> bool:
    """Not so the names that unusable keys go by."""
    try:
        return "\0" not in key and len(key_parts(key, len(stream.key))) == len(stream.key)
    except (ValueError, TypeError):
        return False


def _key(image: RawChange, stream: Stream) -> str:
    values = dict(zip(image.relation.columns, image.values, strict=True))
    return key_text(tuple("" if values[name] is UNKNOWN else str(values[name]) for name in stream.key))
