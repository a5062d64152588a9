"""How a transaction of ours begins, and how its source will know it for ours: by a mark in the log that nobody else can
make, or by an announcement in the hub where the change stream does not carry marks.

Neither costs a round trip of its own to the target: the transaction's number is asked for as it begins, and the mark,
which is sealed over that number, goes out together with the first statement that may write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.marks import Mark

_BEGIN = b"""
begin; set constraints all immediate;
select pg_current_xact_id()::xid::text, (extract(epoch from clock_timestamp()) * 1000000)::bigint
"""
_MARK = b"select pg_logical_emit_message(true, $1::text, $2::text)"

Cursor: TypeAlias = psycopg.AsyncRawCursor[TupleRow]

Announce: TypeAlias = Callable[[str, int], Awaitable[None]]
"""Told, before each commit, the transaction's number as a change stream states it (32 bits), and when it began by the
server's clock, in µs since 1970 UTC."""


class Own:
    """Makes the transactions of one system's target known. With `announce` no mark is written."""

    def __init__(self, system: str, mark: Mark, announce: Announce | None = None) -> None:
        self._system = system
        self._mark = mark
        self._announce = announce
        self._begun = ("", 0)
        self._due = False

    @property
    def due(self) -> bool:
        """Whether the mark is still to be written, which has to come before all rows: what stands before it is not
        ours. (What is copied into temporary tables stands in no log.)"""
        return self._due

    async def begin(self, cursor: Cursor) -> None:
        """Begin a transaction. After this the mark is due, where there is one."""
        await cursor.execute(_BEGIN, prepare=False)
        while cursor.nextset():
            pass
        ((number, at),) = await cursor.fetchall()
        self._begun = number, at
        self._due = self._announce is None

    async def mark(self, cursor: Cursor) -> None:
        """Write the mark that is due. Not within a savepoint: what rolls back to it would take the mark along."""
        number, at = self._begun
        content = self._mark.seal.content(self._system, int(number), at)
        await cursor.execute(_MARK, [self._mark.prefix, content])
        self._due = False

    async def before_commit(self) -> None:
        """Nothing may be committed unless this returns. Raises what `announce` raises."""
        if self._announce is not None:
            await self._announce(*self._begun)
