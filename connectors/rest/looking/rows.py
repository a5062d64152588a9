"""A look at a vendor's rows as they are now, beside what is told of them: `check`'s side of a vendor's system.

A vendor lists its rows in an order of its own. They are put into that of the keys' bytes in a file, so that any number
of them can be compared in bounded memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from fieldwarden.connectors.rest.asking.session import RestSession
from fieldwarden.connectors.rest.progress import begun
from fieldwarden.connectors.rest.reading.source import Rows
from fieldwarden.connectors.rest.rows import Row
from fieldwarden.engine.change import UNKNOWN, RawChange, Relation, key_parts, key_text
from fieldwarden.engine.named_sql import statements
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.engine.ports.parts import FIRST_BASELINE
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.rulebook import Stream

_SORTING = {name: body.decode() for name, body in statements(Path(__file__).with_name("sorting.sql")).items()}
_PAGE = 1000
_ABSENT = 0
"""In the file, of what a row does not tell."""


class RestLooking:
    """As `engine.ports.looks.Looking`."""

    def __init__(self, session: RestSession) -> None:
        self._session = session

    def relation(self, stream: Stream) -> Relation:
        return self._rows(stream).relation

    async def rows(self, stream: Stream, relation: Relation) -> AsyncGenerator[list[RawChange], None]:
        rows = self._rows(stream)
        # Without a name it is a file of its own, in the system's folder for such, and is gone with the connection.
        with closing(sqlite3.connect("")) as file:
            file.execute(_SORTING["make_sorted"])
            async for told in rows.feed.all(begun(FIRST_BASELINE, rows.feed.spec, await self._session.now())):
                kept = [
                    (key_text(row.key).encode(), _packed(row)) for row in told.rows if not row.gone and all(row.key)
                ]
                file.executemany(_SORTING["keep_sorted"], kept)
            ordered = file.execute(_SORTING["read_sorted"])
            while page := ordered.fetchmany(_PAGE):
                yield [_seen(rows, relation, str(key, "utf-8"), told) for key, told in page]

    async def again(self, stream: Stream, relation: Relation, keys: Sequence[str]) -> list[RawChange]:
        rows = self._rows(stream)
        found = await rows.feed.look([key_parts(key, len(stream.key)) for key in keys])
        return [_seen(rows, relation, key_text(row.key), _packed(row)) for row in found if not row.gone]

    async def untold(self, followed: Followed, position: str | None) -> bool | None:  # noqa: ARG002 - the port's
        """That cannot be seen: a vendor tells what is new only by being asked for it."""
        return None

    def _rows(self, stream: Stream) -> Rows:
        return Rows.of(self._session, stream.table, wanted_columns(stream))


def _packed(row: Row) -> bytes:
    values = [_ABSENT if value is UNKNOWN else value for value in row.values]
    return msgspec.json.encode((row.trouble, values))


def _seen(rows: Rows, relation: Relation, key: str, told: bytes) -> RawChange:
    trouble, values = msgspec.json.decode(told)
    row = Row(
        key_parts(key, len(rows.wanted.key)),
        tuple(UNKNOWN if value == _ABSENT else value for value in values),
        trouble=trouble,
    )
    seen = rows.observed(row)
    return seen if row.trouble else RawChange(relation, "observe", row.values, "", None, large=seen.large)
