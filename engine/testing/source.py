"""A source of one part that replays a script, from any position, with the faults that it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.ports.parts import LOG, Part
from fieldwarden.engine.ports.source import Batch, Observation, Start


def _never(_next: int) -> None:
    return


def observed(image: RawChange) -> RawChange:
    """A row as a look shows it: when it came to be so is not seen."""
    return replace(image, operation="observe", at=None)


class ScriptedSource:
    """Replays `changes` in batches of `size`. A batch's position is the number of changes up to its end.

    Opened at a position it goes on after it, or `rewind` changes earlier, as a source does that repeats after a
    crash; what it repeats does not take its position back. `extend` appends; `finish` ends the stream once everything
    was handed over, and until then it waits. `fail` is called before each batch and may raise (a lost connection).
    `snapshot` batches come first: that many changes are a re-read of all rows, which begins anew when it was
    interrupted; `tell_again` appends another one.
    """

    def __init__(
        self,
        system: str,
        changes: Sequence[RawChange] = (),
        *,
        size: int = 100,
        rewind: int = 0,
        snapshot: int = 0,
        fail: Callable[[int], None] = _never,
    ) -> None:
        self.system = system
        self.changes = list(changes)
        self.acknowledged: list[str] = []
        self.opened: list[str | None] = []
        self._part = Part(0, None)
        self._size = size
        self._rewind = rewind
        self._snapshot = range(snapshot)
        self._fail = fail
        self._next = 0
        self._reached = 0
        self._reading = False
        self._finished = False
        self._news = asyncio.Event()
        self.holds: dict[RowRef, RawChange] = {}
        """The rows that its system holds, for whoever looks."""

    def extend(self, changes: Sequence[RawChange]) -> None:
        self.changes.extend(changes)
        self._news.set()

    def tell_again(self, rows: Sequence[RawChange]) -> None:
        """All rows as they are now. Everything so far must have been acknowledged, and the source be closed."""
        self._snapshot = range(len(self.changes), len(self.changes) + len(rows))
        self.extend(rows)

    def finish(self) -> None:
        self._finished = True
        self._news.set()

    async def open(self, start: Start) -> None:
        part = self._part = (await start.take([LOG]))[LOG]
        self.opened.append(part.position)
        done = int(part.position or "0")
        self._reached = done
        self._reading = start.is_new_to(part) or done in self._snapshot
        self._next = self._snapshot.start if self._reading else max(0, done - self._rewind)

    async def batches(self) -> AsyncIterator[Batch]:
        while True:
            while self._next < len(self.changes):
                self._fail(self._next)
                yield self._cut()
            if self._finished:
                return
            self._news.clear()
            await self._news.wait()

    def _cut(self) -> Batch:
        start = self._next
        reading = self._reading and start in self._snapshot
        end = min(start + self._size, self._snapshot.stop if reading else len(self.changes))
        self._next = end
        self._reached = max(self._reached, end)
        batch = Batch(self.changes[start:end], {LOG: replace(self._part, position=f"{self._reached:012d}")})
        if reading:
            batch.snapshot = "done" if end == self._snapshot.stop else "running"
        batch.lag_bytes = len(self.changes) - end
        return batch

    async def acknowledge(self, batch: Batch) -> None:
        self.acknowledged.append(batch.parts[LOG].position or "")

    async def ends(self, baseline: int) -> None:
        del baseline  # it reads its rows by itself

    async def again(self, raw: RawChange) -> RawChange:
        return raw

    async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
        return [Observation(row, observed(self.holds[row]) if row in self.holds else None) for row in rows]

    async def close(self) -> None:
        return
