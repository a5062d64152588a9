"""What the in-memory hub tells of changes that are set aside, and of the records behind rows."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from engine.aside import FOR_A_PERSON
from engine.change import RowRef
from engine.ports import SetAside
from engine.record import Record

__all__ = ["FOR_A_PERSON", "MemoryAside"]


class MemoryAside:
    set_aside: dict[int, SetAside]
    released: set[int]
    crosswalk: dict[RowRef, str]
    records: dict[str, tuple[Record, int]]

    async def standing_for(self, rows: Sequence[RowRef]) -> dict[RowRef, tuple[Record, int]]:
        linked = {row: self.records[self.crosswalk[row]] for row in rows if row in self.crosswalk}
        return {row: (deepcopy(record), revision) for row, (record, revision) in linked.items()}

    async def held_up(self, rows: Sequence[RowRef]) -> dict[RowRef, int]:
        found: dict[RowRef, int] = {}
        for id, kept in sorted(self.set_aside.items()):
            if kept.row in rows and kept.kind != "unreadable" and id not in self.released:
                found.setdefault(kept.row, id)
        return found
