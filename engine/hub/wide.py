"""Records and notes that are too large to be read as one row: they come in pieces (`pieces`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from engine.change import RowRef
from engine.hub.pieces import Arriving, Texts
from engine.hub.queries import QUERIES
from engine.hub.rows import notes_of, plain_array, record_of
from engine.hub.session import Connection
from engine.record import Record
from engine.settle import Note, noted

_READ_AT_ONCE = 32 << 20
"""Bytes of large records after which no further one is read, where not all are needed."""


async def read_notes(connection: Connection, ids: Iterable[str], texts: Texts) -> dict[str, list[Note]]:
    """What was written into rows that these records do not tell of themselves yet, by record."""
    cursor = await connection.execute(QUERIES["plain_notes"], [plain_array(ids)], prepare=True)
    rows = await cursor.fetchall()
    if None not in (row[4] for row in rows):
        return notes_of(rows)
    found = notes_of(row for row in rows if row[4] is not None)
    for record in dict.fromkeys(row[0] for row in rows if row[4] is None):
        found.setdefault(record, []).extend(await _wide_notes(connection, record, texts))
    return found


async def records_of(
    connection: Connection,
    rows: Sequence[Sequence[Any]],
    notes: Mapping[str, Sequence[Note]],
    texts: Texts,
    *,
    all_of_them: bool = True,
) -> dict[str, tuple[Record, int]]:
    """The records of these rows of `lock_records` or `read_plain_records`, with their revisions; large ones are read
    by themselves. Not `all_of_them`: of these no more than fit, but one at least."""
    found: dict[str, tuple[Record, int]] = {}
    read = 0
    for row in rows:
        if row[4] is not None:
            found[row[0]] = (record_of(row, notes.get(row[0], ())), row[6])
        elif all_of_them or read < _READ_AT_ONCE:
            wide = await _wide_record(connection, row[0], notes.get(row[0], ()), texts)
            if wide is not None:
                found[row[0]], size = wide
                read += size
    return found


async def _wide_record(
    connection: Connection, id: str, notes: Sequence[Note], texts: Texts
) -> tuple[tuple[Record, int], int] | None:
    """A record with its revision, and how many bytes were read; None if there is none."""
    head: tuple[Any, ...] | None = None
    parts = [Arriving(texts), Arriving(texts)]
    size = 0
    async with aclosing(_streamed(connection, "wide_record", id)) as rows:
        async for *about, part, piece in rows:
            head = tuple(about)
            parts[part].take(piece)
            size += len(piece)
    if head is None:
        return None
    entity, version, retired, revision = head
    golden, contributions = parts[0].values(), parts[1].rows()
    if notes:
        noted(contributions, notes)
    return (Record(id, entity, version, golden, contributions, retired, wide=True), int(revision)), size


async def _wide_notes(connection: Connection, record: str, texts: Texts) -> list[Note]:
    arriving: dict[RowRef, Arriving] = {}
    async with aclosing(_streamed(connection, "wide_notes", record)) as rows:
        async for system, stream, key, piece in rows:
            arriving.setdefault(RowRef(system, stream, key), Arriving(texts)).take(piece)
    return [(ref, each.values()) for ref, each in arriving.items()]


async def _streamed(connection: Connection, name: str, *values: object) -> AsyncGenerator[tuple[Any, ...], None]:
    """One row is asked for at a time: a server that sends all it has fills the client's memory."""
    async with connection.cursor(name="pieces") as cursor:
        cursor.itersize = 1
        await cursor.execute(QUERIES[name], values, binary=True)
        async for row in cursor:
            yield row
