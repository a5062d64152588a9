"""All records of some entities as they stand at one moment, for a preview: streamed in order of their ids.

What was written into created rows and is known by their links alone comes in a second stream, side by side.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial

from psycopg import sql

from engine.hub.audit import stream
from engine.hub.reading import Connection
from engine.hub.rows import notes_of, record_of
from engine.preview import Preview
from engine.settle import Note

_RECORDS = sql.SQL("""
select id::text, entity, version, golden::text, contributions, retired from record
where entity = any(%s::text[]) order by record.id
""")
_NOTES = sql.SQL("""
select record::text, system, stream, key, sent from crosswalk c where sent is not null order by c.record
""")


async def preview(connection: Connection, entities: frozenset[str], into: Preview) -> None:
    """`connection` is one of `reading.snapshot`."""
    async with (
        aclosing(stream(connection, _RECORDS, [sorted(entities)])) as records,
        aclosing(stream(connection, _NOTES, [])) as created,
    ):
        ahead = await anext(created, None)
        async for row in records:
            notes: list[Note] = []
            while ahead is not None and ahead[0] <= row[0]:
                if ahead[0] == row[0]:
                    notes += notes_of([ahead])[row[0]]
                ahead = await anext(created, None)
            into.take(record_of(row, notes), partial(record_of, row, notes))
