"""Records and notes that are too large to be read as one row: they come in pieces (`pieces`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.delivering.settling import Note, noted
from fieldwarden.engine.hub.pieces import Arriving, Texts
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.rows import notes_of, plain_array, record_of
from fieldwarden.engine.hub.session import Connection
from fieldwarden.engine.record import Record


class Reading:
    """What is read of records in one transaction: their notes first, then the records themselves.

    `at_most`: bytes of what is large after which no further record is read, where not all are needed; a record counts
    with its notes, and the first is read whatever its size. None: all are read."""

    def __init__(self, connection: Connection, texts: Texts, at_most: int | None = None) -> None:
        self._connection = connection
        self._texts = texts
        self._at_most = at_most
        self._read = 0
        self.noted: set[str] = set()
        """Records with large notes, which are read with the record."""

    async def notes(self, ids: Iterable[str]) -> dict[str, list[Note]]:
        """What was written into rows that these records do not tell of themselves yet, by record."""
        cursor = await self._connection.execute(QUERIES["plain_notes"], [plain_array(ids)], prepare=True)
        rows = await cursor.fetchall()
        self.noted = {row[0] for row in rows if row[4] is None}
        return notes_of(row for row in rows if row[4] is not None) if self.noted else notes_of(rows)

    async def records(
        self, rows: Sequence[Sequence[Any]], notes: Mapping[str, Sequence[Note]]
    ) -> dict[str, tuple[Record, int]]:
        """The records of these rows of `lock_records` or `read_plain_records`, with their revisions; what is large is
        read by itself."""
        found: dict[str, tuple[Record, int]] = {}
        for row in rows:
            id = row[0]
            if row[4] is not None and id not in self.noted:
                found[id] = (record_of(row, notes.get(id, ())), row[6])
            elif self._at_most is None or self._read < self._at_most:
                told = [*notes.get(id, ()), *(await self._notes(id) if id in self.noted else ())]
                # After its notes, as every record: one that takes them over meanwhile has another revision then.
                large = await self._record(id, told)
                if large is not None:
                    found[id] = large
        return found

    async def _record(self, id: str, notes: Sequence[Note]) -> tuple[Record, int] | None:
        """A record with its revision; None if there is none."""
        head: tuple[Any, ...] | None = None
        parts = [Arriving(self._texts), Arriving(self._texts)]
        async with aclosing(one_at_a_time(self._connection, "large_record", id)) as rows:
            async for *about, part, piece in rows:
                head = tuple(about)
                parts[part].take(piece)
                self._read += len(piece)
        if head is None:
            return None
        entity, version, retired, revision = head
        golden, contributions = parts[0].values(), parts[1].rows()
        if notes:
            noted(contributions, notes)
        return Record(id, entity, version, golden, contributions, retired, large=True), int(revision)

    async def _notes(self, record: str) -> list[Note]:
        arriving: dict[RowRef, Arriving] = {}
        async with aclosing(one_at_a_time(self._connection, "large_notes", record)) as rows:
            async for system, stream, key, piece in rows:
                arriving.setdefault(RowRef(system, stream, key), Arriving(self._texts)).take(piece)
                self._read += len(piece)
        return [(ref, each.values()) for ref, each in arriving.items()]


async def one_at_a_time(connection: Connection, name: str, *values: object) -> AsyncGenerator[tuple[Any, ...], None]:
    """One row is asked for at a time: a server that sends all it has fills the client's memory."""
    async with connection.cursor(name="pieces") as cursor:
        cursor.itersize = 1
        await cursor.execute(QUERIES[name], values, binary=True)
        async for row in cursor:
            yield row
