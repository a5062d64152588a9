"""What a look at all records has counted, as `plan` and `onboard` give it alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows of a table would be created, updated and deleted."""

    system: str
    stream: str
    create: int
    update: int
    delete: int


def rows_counted(rows: Counter[tuple[str, str, str]]) -> list[RowCount]:
    """By table. `rows`: by system, stream and what would be done."""
    places = sorted({(system, stream) for system, stream, _ in rows})
    return [RowCount(*place, *(rows[(*place, what)] for what in ("create", "update", "delete"))) for place in places]
