"""What the in-memory hub tells of changes that are set aside, and of the records behind rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.ports.aside import FOR_A_PERSON, FOR_A_STEWARD, SetAside
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.record import Record

__all__ = ["FOR_A_PERSON", "MemoryAside"]


class MemoryAside:
    set_aside: dict[int, SetAside]
    released: set[int]
    crosswalk: dict[RowRef, str]
    records: dict[str, tuple[Record, int]]
    joined: dict[str, str]
    _numbers: Iterator[int]

    def _keep_aside(self, outcome: IngestOutcome) -> None:
        for number in outcome.released:
            self.set_aside.pop(number, None)
            self.released.discard(number)
        for kept in outcome.set_aside:
            number = kept.id or next(self._numbers)
            old = self.set_aside.get(number)
            self.set_aside[number] = replace(kept, id=number, payload=old.payload if old else kept.payload)
            self.released.discard(number)
        self.released.update(self.set_aside.keys() & set(outcome.retried))
        gone = set(outcome.vacated) | {id for id, record in self.joined.items() if record in outcome.vacated}
        waiting = (id for id, kept in self.set_aside.items() if kept.kind in FOR_A_STEWARD)
        self.released.update(id for id in waiting if gone.intersection(self.set_aside[id].candidates))

    async def standing_for(self, rows: Sequence[RowRef]) -> dict[RowRef, tuple[Record, int]]:
        linked = {row: self.records[self.crosswalk[row]] for row in rows if row in self.crosswalk}
        return {row: (deepcopy(record), revision) for row, (record, revision) in linked.items()}

    async def held_up(self, rows: Sequence[RowRef]) -> dict[RowRef, int]:
        found: dict[RowRef, int] = {}
        for id, kept in sorted(self.set_aside.items()):
            if kept.row in rows and kept.kind != "unreadable" and id not in self.released:
                found.setdefault(kept.row, id)
        return found
