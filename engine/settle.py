"""What a delivery has learnt of the rows it wrote, taken into a record that may have moved on meanwhile.

A delivery works on the record as it stood when it was claimed. If a source's change came in before the delivery
settles, the record's newer word about a row stands, and what we believe to have written is forgotten: whether the
change came before our write or after it cannot be told from here, and the next look at the row will show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from engine.change import RowRef, Value
from engine.record import Contribution, Record, Stamp

Held = tuple[RowRef, str, Value]


@dataclass(frozen=True, slots=True)
class Settled:
    """`rows`: the contributions as they now are (None: as they were). `clean`: all that the delivery went by still
    stands, so that its verdict does too; otherwise the record is to be looked at again."""

    rows: list[Contribution] | None
    clean: bool


def settle(current: Record, claimed: Record, target: str, held: Sequence[Held], links: Sequence[RowRef]) -> Settled:
    """Overlay what was learnt of the target's rows on the record as it is now. Neither record is changed.

    `links` are the rows that were created for it; `held` what rows are now known to hold, where that is news.
    """
    if current is claimed:
        return Settled(overlaid(claimed.rows, held, links) if held or links else None, clean=True)
    then = {row.ref: row for row in claimed.rows}
    now = {row.ref: row for row in current.rows}
    standing = [
        (ref, name, value) for ref, name, value in held if _belief(now.get(ref), name) == _belief(then.get(ref), name)
    ]
    rows = overlaid(current.rows, standing, links)
    expected = overlaid(claimed.rows, held, links)
    clean = (
        current.golden == claimed.golden
        and current.retired == claimed.retired
        and _beliefs(rows, target) == _beliefs(expected, target)
    )
    return Settled(rows if rows != current.rows else None, clean)


def overlaid(rows: Sequence[Contribution], held: Sequence[Held], links: Sequence[RowRef]) -> list[Contribution]:
    """The contributions with what their rows are now known to hold; created rows get one of their own."""
    merged = list(rows)
    for link in links:
        if not any(row.system == link.system and row.stream == link.stream and row.key == link.key for row in rows):
            merged.append(Contribution(link.system, link.stream, link.key, "", Stamp("", None), {}))
    for ref, news in _by_row(held).items():
        for index, row in enumerate(merged):
            if row.key == ref.key and row.stream == ref.stream and row.system == ref.system and row.deleted is None:
                merged[index] = msgspec.structs.replace(row, held=_overlay(row, news))
    return merged


def _by_row(held: Sequence[Held]) -> dict[RowRef, dict[str, Value]]:
    values: dict[RowRef, dict[str, Value]] = {}
    last: RowRef | None = None
    news: dict[str, Value] = {}
    for ref, name, value in held:
        if ref is not last:  # what is learnt of one row stands together
            last, news = ref, values.setdefault(ref, {})
        news[name] = value
    return values


def _overlay(row: Contribution, news: dict[str, Value]) -> dict[str, Value]:
    """What the row holds that is not what it said."""
    own, overlay = row.fields, {**row.held, **news}
    if not own:
        return overlay
    return {name: value for name, value in overlay.items() if name not in own or own[name] != value}


def _belief(row: Contribution | None, name: str) -> object:
    return None if row is None else (row.deleted is None, row.holds(name))


def _beliefs(rows: Sequence[Contribution], system: str) -> dict[RowRef, dict[str, Value]]:
    return {row.ref: {**row.fields, **row.held} for row in rows if row.system == system and row.deleted is None}
