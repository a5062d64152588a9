"""What a vendor's books hold: rows in the order in which they were made, each with the states that late readers see.

A state is never changed in place. Whoever changes a row puts a new one there, so that what was handed out (an event's
object, a stored answer) stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fieldwarden.sandbox.frame.clock import Clock

Json = dict[str, Any]
"""An object as the vendor writes it. Fractions are Decimal."""

_STATES = 8


@dataclass(slots=True)
class Row:
    """One record. `version` counts its states from 1; a deleted row keeps its last."""

    key: str
    data: Json
    created: float
    modified: float
    version: int = 1
    deleted: bool = False
    earlier: list[tuple[float, Json]] = field(default_factory=list)

    def as_of(self, at: float) -> Json | None:
        """What somebody sees whose index was brought up to date at that time: None if it was not made yet."""
        if self.modified <= at:
            return None if self.deleted else self.data
        return next((data for since, data in reversed(self.earlier) if since <= at), None)


class Table:
    """Rows by key. Deleted ones stay, for those who ask what was deleted."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._rows: list[Row] = []
        self._places: dict[str, int] = {}
        self._living = 0

    def __len__(self) -> int:
        return self._living

    def __iter__(self) -> Iterator[Row]:
        """Those that are not deleted, oldest first."""
        return (row for row in self._rows if not row.deleted)

    def all(self) -> Iterator[Row]:
        return iter(self._rows)

    def get(self, key: str) -> Row | None:
        row = self.ever(key)
        return None if row is None or row.deleted else row

    def ever(self, key: str) -> Row | None:
        """The row of that key, though it be deleted."""
        place = self._places.get(key)
        return None if place is None else self._rows[place]

    def pick(self, number: int) -> Row | None:
        """One that is not deleted, the same for the same number while nothing is deleted; None if there is none."""
        length = len(self._rows)
        return next((row for step in range(length) if not (row := self._rows[(number + step) % length]).deleted), None)

    def older(self, key: str = "") -> Iterator[Row]:
        """Newest first: all, or those made before the row of that key."""
        start = self._places[key] if key else len(self._rows)
        return (row for place in range(start - 1, -1, -1) if not (row := self._rows[place]).deleted)

    def newer(self, key: str = "") -> Iterator[Row]:
        """Oldest first: all, or those made after the row of that key."""
        start = self._places[key] + 1 if key else 0
        return (row for place in range(start, len(self._rows)) if not (row := self._rows[place]).deleted)

    def add(self, key: str, data: Json, created: float | None = None) -> Row:
        """The key has to be new. `created` is in the past for what a sandbox begins with."""
        if key in self._places:
            raise KeyError(f"{self.name} has {key!r} already")
        at = self._clock.now() if created is None else created
        row = Row(key, data, at, at)
        self._places[key] = len(self._rows)
        self._rows.append(row)
        self._living += 1
        return row

    def put(self, key: str, data: Json) -> Row:
        """A new state of a living row."""
        row = self._changed(key)
        row.data = data
        return row

    def forget(self, key: str) -> None:
        """The newest row was never made."""
        row = self._rows.pop()
        assert row.key == key, f"{key!r} is not the newest"
        del self._places[key]
        self._living -= 0 if row.deleted else 1

    def restore(self, former: Row) -> None:
        """A row is as it was: `former` is a copy from before."""
        now = self._rows[self._places[former.key]]
        self._living += int(now.deleted) - int(former.deleted)
        self._rows[self._places[former.key]] = former

    def remove(self, key: str) -> Row:
        row = self._changed(key)
        row.deleted = True
        self._living -= 1
        return row

    def _changed(self, key: str) -> Row:
        row = self.get(key)
        if row is None:
            raise KeyError(f"{self.name} has no {key!r}")
        row.earlier = [*row.earlier, (row.modified, row.data)][-_STATES:]
        row.modified = self._clock.now()
        row.version += 1
        return row
