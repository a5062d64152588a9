"""What `doctor` asks of the rows that are there: is their time ahead of the server's, and which values would match.

Each question reads a table once, for a few seconds at most. What it counts holds no value of any row.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table
from fieldwarden.engine.ports.finding import Finding, good, note, warning
from fieldwarden.rules.errors import ValueRefused
from fieldwarden.rules.normalising import EXACT
from fieldwarden.rules.rulebook import Entity, FieldMap, MatchKey, Stream
from fieldwarden.rules.values import moment_micros

_SECONDS = 10
_TOLERANCE = 5 * 60 * 1_000_000
"""µs; a zone that is wrong makes a quarter of an hour at least."""
_PAGE = 5_000
_MOST = 1_000_000
"""Different values that are compared, for the memory they take."""


async def value_findings(
    stream: Stream, table: Table, entity: Entity | None, connection: psycopg.AsyncConnection[TupleRow]
) -> list[Finding]:
    """About the rows of a stream that fits its table. Raises psycopg.Error."""
    found = []
    try:
        if stream.reads and stream.changed_at is not None:
            found += await _ahead(stream, table, connection)
        for key in entity.match if entity is not None and stream.reads else ():
            if set(key.forms) != {EXACT} and set(key.fields) <= stream.fields.keys():
                found.append(await _collisions(stream, table, key, connection))
    except psycopg.errors.QueryCanceled:
        found.append(note("rows", f"{stream.name} has too many rows to look at in {_SECONDS} s", stream=stream.name))
    except psycopg.errors.CharacterNotInRepertoire:  # in a database in SQL_ASCII: that row's trouble, when it is read
        found.append(note("rows", f"a text in {stream.name} is not valid UTF-8", stream=stream.name))
    return found


async def _ahead(stream: Stream, table: Table, connection: psycopg.AsyncConnection[TupleRow]) -> list[Finding]:
    assert stream.changed_at is not None
    newest = sql.SQL("to_json(max({}))").format(
        sql.SQL(stream.changed_at.sql("t"))
    )  # ISO 8601, whatever DateStyle says
    clock = sql.SQL("(extract(epoch from clock_timestamp()) * 1000000)::bigint")
    [(text, now)] = [row async for row in _asked(stream, table, [newest, clock], connection)]
    try:
        ahead = 0 if text is None else moment_micros(text, stream.zone) - now
    except ValueRefused:  # infinity, or no moment at all: what it is, the rows themselves will say
        return []
    if ahead <= _TOLERANCE:
        return []
    zone = "UTC" if stream.zone is None else stream.zone.key
    message = (
        f"the newest changed_at of {stream.name} is {timedelta(seconds=ahead // 1_000_000)} ahead of the server's "
        f"clock, read as {zone}"
    )
    return [warning("changed_at", message, "name the zone of its columns: timezone: Europe/Berlin", stream.name)]


async def _collisions(
    stream: Stream, table: Table, key: MatchKey, connection: psycopg.AsyncConnection[TupleRow]
) -> Finding:
    """How many values that are different as they are written the key's normalisers make one."""
    columns = [sql.SQL("({})::text").format(sql.SQL(_read(stream.fields[name]))) for name in key.fields]
    written: dict[bytes, bytes] = {}
    several: set[bytes] = set()
    number = 0
    # Closed at once where it is left early, or its transaction would end amid the next question.
    async with aclosing(_asked(stream, table, columns, connection, distinct=True)) as asked:
        async for row in asked:
            exact = [(text or "").strip() for text in row]
            parts = [normalised(text) for (_, normalised), text in zip(key.parts, exact, strict=True)]
            if not all(parts):
                continue
            number += 1
            if number > _MOST:
                break
            digest, spelling = _digest(parts), _digest(exact)
            if written.setdefault(digest, spelling) != spelling:
                several.add(digest)
    counted = f"{number:,} values of {key} in {stream.name}" if number <= _MOST else f"a million values of {key}"
    if not several:
        return good("match", f"no two of {counted} are one and written differently", stream.name)
    message = f"{len(several):,} of {counted} are written in several ways that count as one"
    return warning("match", message, "look whether they are the same; if not, name another normaliser", stream.name)


def _digest(parts: Sequence[str]) -> bytes:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=12).digest()


def _read(mapping: FieldMap) -> str:
    if mapping.read is not None:
        return mapping.read.sql("t")
    return sql.Identifier("t", str(mapping.column)).as_string()


async def _asked(
    stream: Stream,
    table: Table,
    columns: Sequence[sql.Composable],
    connection: psycopg.AsyncConnection[TupleRow],
    *,
    distinct: bool = False,
) -> AsyncGenerator[TupleRow, None]:
    """One pass over the stream's rows, in pages. Raises QueryCanceled where it takes too long."""
    query = sql.SQL("select {}{} from {} t where {}").format(
        sql.SQL("distinct " if distinct else ""),
        sql.SQL(", ").join(columns),
        sql.Identifier(table.schema, table.name),
        sql.SQL(stream.where.sql("t") if stream.where is not None else "true"),
    )
    async with connection.transaction(), connection.cursor(name="fieldwarden_rows") as cursor:
        await connection.execute(f"set local statement_timeout = '{_SECONDS}s'".encode())
        await cursor.execute(query)
        while page := await cursor.fetchmany(_PAGE):
            for row in page:
                yield row
