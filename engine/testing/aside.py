"""What the in-memory hub tells of changes that are set aside."""

from __future__ import annotations

from collections.abc import Sequence

from engine.change import RowRef
from engine.ports import SetAside


class MemoryAside:
    set_aside: dict[int, SetAside]
    released: set[int]

    async def held_up(self, rows: Sequence[RowRef]) -> dict[RowRef, int]:
        found: dict[RowRef, int] = {}
        for id, kept in sorted(self.set_aside.items()):
            if kept.row in rows and kept.kind != "unreadable" and id not in self.released:
                found.setdefault(kept.row, id)
        return found
