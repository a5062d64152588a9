"""How a transaction of ours begins, and how its source will know it for ours: by a mark in the log that nobody else can
make, or by an announcement in the hub where the change stream does not carry marks.

Either costs one round trip a transaction, whatever it writes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import psycopg
from psycopg.rows import TupleRow

from connectors.postgres.marks import Mark

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

    async def begin(self, cursor: Cursor) -> None:
        """Begin a transaction. The mark comes before all that it writes: what stands before one is not ours."""
        await cursor.execute(_BEGIN, prepare=False)
        while cursor.nextset():
            pass
        ((number, at),) = await cursor.fetchall()
        self._begun = number, at
        if self._announce is None:
            content = self._mark.seal.content(self._system, int(number), at)
            await cursor.execute(_MARK, [self._mark.prefix, content])

    async def before_commit(self) -> None:
        """Nothing may be committed unless this returns. Raises what `announce` raises."""
        if self._announce is not None:
            await self._announce(*self._begun)
