"""A source of many partitions, scripted: what a Kafka topic is, and what one worker of its group reads of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.ports.parts import Part
from fieldwarden.engine.ports.source import Batch, Observation, Start, Take
from fieldwarden.engine.testing.source import observed


class PartitionedSource:
    """One worker's view of `log` (partition -> its changes, whose order is their offset).

    It reads the partitions it was given last; `give`, as a rebalance does, has it begin anew: it takes them, and goes
    on where the hub left them. One that is not told so at once (`lose`: it hung meanwhile) goes on with what it had,
    until it opens anew.
    """

    def __init__(self, system: str, log: Mapping[str, list[RawChange]], *, size: int = 3) -> None:
        self.system = system
        self._log = log
        self._take: Take | None = None
        self._size = size
        self._given: list[str] = []
        self._parts: dict[str, Part] = {}
        self._rebalanced = False
        self._news = asyncio.Event()
        self.holds: dict[RowRef, RawChange] = {}
        """The rows that its system holds, whatever the log says, for whoever looks."""

    def give(self, partitions: Sequence[str]) -> None:
        self._given = list(partitions)
        self._rebalanced = True
        self.tell()

    def lose(self, partition: str) -> None:
        self._given.remove(partition)

    def tell(self) -> None:
        """There is more in the log."""
        self._news.set()

    async def open(self, start: Start) -> None:
        self._take = start.take
        self._rebalanced = True

    async def batches(self) -> AsyncIterator[Batch]:
        assert self._take is not None, "it is open"
        while True:
            if self._rebalanced:
                self._rebalanced = False
                self._parts = await self._take(self._given)
            batch = self._cut()
            if batch.parts:
                yield batch
                continue
            self._news.clear()
            if not self._rebalanced:  # it may have been given others while it took these
                await self._news.wait()

    def _cut(self) -> Batch:
        changes: list[RawChange] = []
        moved: dict[str, Part] = {}
        for name, part in self._parts.items():
            start = int(part.position or "0", 16)
            told = self._log[name][start : start + self._size]
            if told:
                changes += [_placed(change, name, start + n) for n, change in enumerate(told)]
                self._parts[name] = moved[name] = Part(part.epoch, f"{start + len(told):016x}")
        return Batch(changes, moved)

    async def acknowledge(self, batch: Batch) -> None:
        """Nobody asks how far it is but the hub."""
        del batch

    async def ends(self, baseline: int) -> dict[str, str]:
        del baseline  # its offsets go on, whatever is told again
        return {name: f"{len(told):016x}" for name, told in self._log.items()}

    async def again(self, raw: RawChange) -> RawChange:
        return raw

    async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
        return [Observation(row, observed(self.holds[row]) if row in self.holds else None) for row in rows]

    async def close(self) -> None:
        return


def _placed(change: RawChange, partition: str, offset: int) -> RawChange:
    return replace(change, position=f"{offset:016x}", place=f"{partition}@{offset}")
