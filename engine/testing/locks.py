"""Row locks of the hub in memory: a transaction keeps what it has locked until its end, as PostgreSQL has it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable

Locks = dict[Hashable, asyncio.Event]
"""Of rows by any name, those that are held; told when they are released."""


async def free(locks: Locks, rows: Collection[Hashable]) -> None:
    """Wait until nobody holds any of these. They are free until the caller next waits for something."""
    while held := [locks[row] for row in rows if row in locks]:
        await held[0].wait()


class RowLocks:
    """What one transaction has locked. Two that wait for each other do so for ever."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._rows: dict[Hashable, None] = {}

    async def take(self, row: Hashable) -> None:
        if row not in self._rows:
            await free(self._locks, [row])
            self._locks[row] = asyncio.Event()
            self._rows[row] = None

    def release(self) -> None:
        for row in self._rows:
            self._locks.pop(row).set()
