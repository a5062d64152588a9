"""What the hub knows of the rows of a system, in the order of their keys and in pages: its side of `check`.

Everything is asked inside one snapshot of the hub, so that a record, its marks and what is set aside fit together;
`anew` goes on to the next snapshot.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Any

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.checking.agreement import Noted
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.reading import Connection, begin
from fieldwarden.engine.hub.rows import notes_of, plain_array, record_of, text_array
from fieldwarden.engine.hub.session import translated
from fieldwarden.engine.record import Record

PAGE = 1000
_NIL = "00000000-0000-0000-0000-000000000000"


class Linked:
    """Over a connection of `engine.hub.reading.snapshot`. Every method raises TransientError."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._schema = schema

    async def anew(self) -> None:
        """See the hub as it is from now on."""
        with translated():
            await self._connection.rollback()
            await begin(self._connection, self._schema)

    async def rows(self, system: str, stream: str) -> AsyncGenerator[tuple[str, str], None]:
        """(key, record) of every linked row of the stream, by key."""
        after, more = "", True
        while more:
            page = await self._ask("linked_page", system, stream, after, PAGE)
            more = len(page) == PAGE
            for key, record in page:
                yield key, record
                after = key

    async def links(self, rows: Collection[RowRef]) -> dict[RowRef, str]:
        """Those of these rows that are linked, with their records."""
        found = {}
        for system, stream in {(row.system, row.stream) for row in rows}:
            keys = text_array([row.key for row in rows if (row.system, row.stream) == (system, stream)])
            for key, record in await self._ask("links", system, stream, keys):
                found[RowRef(system, stream, key)] = record
        return found

    async def records(self, ids: Collection[str]) -> dict[str, Record]:
        if not ids:
            return {}
        return {record.id: record for record in await self._noted("known_records", plain_array(ids))}

    async def joined(self, ids: Collection[str]) -> dict[str, str]:
        """Those of these records that were joined to others, with the one that each of them is now."""
        return dict(await self._ask("joined", plain_array(ids)))

    async def walk(self, entities: Sequence[str]) -> AsyncGenerator[list[Record], None]:
        """Every live record of these entities, in pages."""
        after, more = _NIL, True
        while more:
            page = await self._noted("record_page", after, text_array(entities), PAGE)
            more = len(page) == PAGE
            if page:
                yield page
                after = page[-1].id

    async def marks(self, target: str, records: Collection[str]) -> dict[str, Noted]:
        """What is still to be delivered there of these records."""
        if not records:
            return {}
        rows = await self._ask("marks_of", target, plain_array(records))
        return {record: Noted(status, reason) for record, status, reason in rows}

    async def aside(self, system: str, stream: str, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Those of these rows of which a change is set aside, with the reason and its kind."""
        rows = await self._ask("aside_of", system, stream, text_array(keys)) if keys else []
        return {key: (reason, kind) for key, reason, kind in rows}

    async def _noted(self, query: str, *values: object) -> list[Record]:
        rows = await self._ask(query, *values)
        notes = notes_of(await self._ask("notes", plain_array([row[0] for row in rows])))
        return [record_of(row, notes.get(row[0], ())) for row in rows]

    async def _ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with translated():
            return await (await self._connection.execute(QUERIES[query], values)).fetchall()
