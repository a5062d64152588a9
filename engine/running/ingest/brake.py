"""The brake on mass deletion: a slip of the hand in one system must not retire every record in all of them.

Where a system has authority over deletes, a TRUNCATE, or a statement that forgot its `where`, would retire record after
record. So the deletions of a stream within a window are counted, and those past a number and a share of its rows are
held: set aside ("brake") for a person to answer. A row that is there again takes its held deletion off the list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from fieldwarden.engine.deciding.known import Known, Mapped
from fieldwarden.engine.ports.hub import IngestTransaction
from fieldwarden.rules.rulebook import Rulebook

_REASON = "held by the brake on mass deletion: too many rows of its stream were deleted at once"


class Bounds(NamedTuple):
    """Deletions are held past `number` and past `share` of a stream's live rows, both, within `window` µs."""

    share: Decimal
    number: int
    window: int

    def passed(self, told: int, rows: int) -> bool:
        """Whether `told` deletions are too many for a stream that had `rows` live rows before them."""
        return told > self.number and told > self.share * rows


class Brake:
    """Looks at the deletions of one system, batch by batch, before they are decided; a batch at a time.

    What it let through is counted in this process: a count in the hub would cost every commit with a deletion a write
    into rows that all lanes share. So each lane has the bounds for itself, and a restart begins the window anew.
    """

    def __init__(self, rulebook: Rulebook, system: str, bounds: Bounds | None, clock: Callable[[], int]) -> None:
        """`clock` gives µs. Without bounds nothing is ever held."""
        self._bounds = bounds
        self._clock = clock
        self._system = system
        self._streams = frozenset(
            stream.name
            for stream in rulebook.systems[system].read_streams.values()
            if stream.parent is None and system in rulebook.entities[stream.entity].delete_authority
        )
        self._through: dict[str, deque[tuple[int, int]]] = {}
        """By stream: when, and how many."""
        self._now: dict[str, int] = {}
        self._rows: dict[str, tuple[int, int]] = {}
        """By stream: when its rows were last counted, and how many they were: once in a window, or a long run of
        deletions would count a large table for every batch."""

    async def look(self, tx: IngestTransaction, mapped: Sequence[Mapped], known: Known) -> None:
        """Mark the deletions that have to be held (`Mapped.held`). Those that go on count once `decided` says so."""
        self._now = {}
        if self._bounds is None or not self._streams:
            return
        batch: dict[str, list[Mapped]] = {}
        for item in mapped:
            item.held = ""
            if item.row.stream in self._streams and _retires(item, known):
                batch.setdefault(item.row.stream, []).append(item)
        for stream, items in batch.items():
            if not await self._holds(tx, self._bounds, stream, items):
                self._now[stream] = len({item.row for item in items})
                continue
            for item in items:
                item.held = _REASON

    def decided(self) -> None:
        """What was looked at last is durable."""
        for stream, number in self._now.items():
            self._through.setdefault(stream, deque()).append((self._clock(), number))
        self._now = {}

    async def _holds(self, tx: IngestTransaction, bounds: Bounds, stream: str, items: Sequence[Mapped]) -> bool:
        before = self._within(stream, bounds.window)
        told = max(before + len({item.row for item in items}), *(item.among for item in items))
        if told <= bounds.number:
            return False  # the rows need not be counted
        counted, rows = self._rows.get(stream, (0, -1))
        if rows < 0 or self._clock() >= counted + bounds.window:
            rows = await tx.live(self._system, stream) + before
            self._rows[stream] = self._clock(), rows
        return bounds.passed(told, rows)

    def _within(self, stream: str, window: int) -> int:
        through = self._through.get(stream)
        while through and through[0][0] <= self._clock() - window:
            through.popleft()
        return sum(number for _, number in through) if through else 0


def _retires(item: Mapped, known: Known) -> bool:
    """Whether it deletes a row that stands for a live record, and is neither our own doing, nor approved, nor part of a
    change of key."""
    change = item.change
    if change is None or not (change.operation == "delete" or item.leaves) or change.echo or item.release:
        return False
    if change.old_row is not None or change.follows_rekey:
        return False
    record = known.records.get(known.links.get(item.row, ""))
    return record is not None and not record.retired
