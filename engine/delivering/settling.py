"""What a delivery has learnt of the rows it wrote, taken into a record that may have moved on meanwhile.

A delivery works on the record as it stood when it was claimed. If a source's change came in before the delivery
settles, the record's newer word about a row stands, and what we believe to have written is forgotten, unless that
change tells the same: whether it came before our write or after it cannot be told from here, and the next look at the
row will show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.echoes import added
from fieldwarden.engine.record import Contribution, Record, Stamp

Learnt = Mapping[RowRef, Mapping[str, Value]]
"""What rows are now known to hold, by field, where that is news."""
Note = tuple[RowRef, dict[str, Value]]
"""A row that we created and what we wrote into it, as long as the record itself does not tell of it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """`rows`: the contributions as they now are (None: as they were). `clean`: all that the delivery went by still
    stands, so that its verdict does too; otherwise the record is to be looked at again."""

    rows: list[Contribution] | None
    clean: bool


def settle(
    current: Record,
    claimed: Record,
    target: str,
    learnt: Learnt,
    links: Sequence[RowRef],
    versions: Mapping[RowRef, str] = MappingProxyType({}),
) -> Settled:
    """Overlay what was learnt of the target's rows on the record as it is now. Neither record is changed.

    `links` are the rows that were created for it, `versions` what the target calls the versions of rows.
    """
    if current is claimed:
        news = learnt or links or versions
        return Settled(overlaid(claimed.rows, learnt, links, versions) if news else None, clean=True)
    then = {row.ref: row for row in claimed.rows}
    now = {row.ref: row for row in current.rows}
    standing = {ref: _standing(values, now.get(ref), then.get(ref)) for ref, values in learnt.items()}
    rows = overlaid(current.rows, standing, links, versions)
    expected = overlaid(claimed.rows, learnt, links)
    clean = (
        current.golden == claimed.golden
        and current.retired == claimed.retired
        and _beliefs(rows, target) == _beliefs(expected, target)
    )
    return Settled(rows if rows != current.rows else None, clean)


def overlaid(
    rows: Sequence[Contribution],
    learnt: Learnt,
    links: Sequence[RowRef],
    versions: Mapping[RowRef, str] = MappingProxyType({}),
) -> list[Contribution]:
    """The contributions with what their rows are now known to hold; created rows get one of their own."""
    merged = list(rows)
    for link in links:
        if not any(row.system == link.system and row.stream == link.stream and row.key == link.key for row in rows):
            merged.append(Contribution(link.system, link.stream, link.key, "", Stamp("", None), {}))
    for ref, news in learnt.items():
        for index, row in enumerate(merged):
            if row.key == ref.key and row.stream == ref.stream and row.system == ref.system and row.deleted is None:
                merged[index] = msgspec.structs.replace(row, sent=_overlay(row, news), known=_superseded(row, news))
    if versions:
        return [msgspec.structs.replace(r, row_version=versions[r.ref]) if r.ref in versions else r for r in merged]
    return merged


def noted(rows: list[Contribution], notes: Sequence[Note]) -> None:
    """Add the rows that only notes tell of. Of a row that the record knows by now a note says nothing new."""
    for ref, sent in notes:
        if not any(row.key == ref.key and row.stream == ref.stream and row.system == ref.system for row in rows):
            rows.append(Contribution(*ref, "", Stamp("", None), {}, sent=sent))


def only_created(claimed: Record, learnt: Learnt, links: Sequence[RowRef]) -> bool:
    """Whether all that was learnt is of rows that were created, and that the record did not know."""
    if not links:
        return False
    for ref in learnt:
        if ref not in links:
            return False
    for row in claimed.rows:  # noqa: SIM110 (asked for every row settled)
        if row.system == links[0].system and row.ref in links:
            return False
    return True


def _overlay(row: Contribution, news: Mapping[str, Value]) -> dict[str, Value]:
    """What the row holds that its source has not told yet."""
    overlay = {**row.sent, **news}
    if not (row.fields or row.carried or row.void):
        return overlay
    return {name: value for name, value in overlay.items() if row.told(name) != value or name in row.unreadable}


def _superseded(row: Contribution, news: Mapping[str, Value]) -> dict[str, list[str]]:
    """What we wrote before, and what came back of it is still to come: only the newest is remembered as it is."""
    if not row.sent:
        return row.known
    known = row.known
    for name, value in row.sent.items():
        if name in news and news[name] != value:
            known = added(known, name, value)
    return known


def _standing(values: Mapping[str, Value], now: Contribution | None, then: Contribution | None) -> Mapping[str, Value]:
    """What of the values learnt of a row is still news of it. Once its source has spoken of the row again, that may
    come from before our write or from after it, even where it repeats what the row held before."""
    if now is None or then is None:
        return values if now is then else {}
    quiet = now.said == then.said and now.deleted == then.deleted
    return {
        name: value
        for name, value in values.items()
        if (quiet and now.holds(name) == then.holds(name))
        or (now.live and now.told(name) == value and name not in now.unreadable)
    }


def _beliefs(rows: Sequence[Contribution], system: str) -> dict[RowRef, dict[str, Value]]:
    return {
        row.ref: {**row.fields, **row.carried, **row.void, **row.still, **row.sent}
        for row in rows
        if row.system == system and row.deleted is None
    }
