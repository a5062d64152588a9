"""What of ours may still come back to us: values on their way to rows, known again by their digests.

A delivery that was claimed writes the golden value of then, and whether it has written is known only once it settles;
golden may have moved on meanwhile. So each value that may have been written is noted, in the order of golden. What a
source tells comes in the order of our writes: an echo ends all that was noted before it.

What was noted and never written stays until a later echo ends it. It was golden once, so it is no stranger's value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from fieldwarden.engine.change import Value
from fieldwarden.engine.record import UNDERWAY, Contribution, Record, digest

Places = Mapping[tuple[str, str], tuple[frozenset[str], bool]]
"""By system and stream of an entity: the protected fields of other owners that we write there, and whether we create
rows there."""

_NOWHERE: tuple[frozenset[str], bool] = (frozenset(), False)
Known = Mapping[str, list[str]]
"""By field: the digests of what may still come back there, the oldest first."""


def added(known: Known, name: str, value: Value) -> dict[str, list[str]]:
    """`known` with one more value that may still come back to a field. The newest stands last, and of more than
    UNDERWAY the oldest is dropped. Gives another mapping: `known` itself is not changed.

    >>> noted = added({}, "name", "Ann")
    >>> noted["name"] == [digest("Ann")], added(noted, "name", "Ann") == noted
    (True, True)
    """
    pending, news = known.get(name, []), digest(value)
    if not pending or pending[-1] != news:
        pending = [*pending, news]
    return _with(known, name, pending)


def came_back(row: Contribution, name: str, value: Value, *, newest: bool) -> None:
    """An echo of a field of which something is noted holds this value, which `row` has not taken in yet. What was noted
    before it will not come any more; `row.known` is replaced. `newest`: nothing newer than this value was ever meant.

    An echo of what the row held anyway ends nothing: it may be that of a write of other fields."""
    pending, news = row.known[name], digest(value)
    sent = name in row.sent and row.sent[name] == value
    if row.told(name) != value:
        if news in pending:
            pending = pending[pending.index(news) + 1 :]
        elif sent or newest:
            pending, sent = [], False
    if sent and pending:
        pending = [*pending, news]  # it may have been a former write of the same value: the newest may come yet
    row.known = _with(row.known, name, pending)


def moved(record: Record, name: str, before: Value, places: Places) -> None:
    """A golden value has moved on from `before`, which may be on its way to the rows that we write the field to
    (`places`). Note that in these rows (`known`), and in one row of the record (`former`) while a system that we create
    rows in has none yet."""
    for row in record.rows:
        fields, _ = places.get((row.system, row.stream), _NOWHERE)
        if row.deleted is None and name in fields and _may_come(row, name, before):
            row.known = added(row.known, name, before)
    told = {(row.system, row.stream) for row in record.rows if row.deleted is None and row.said}
    if any(creates and name in fields and place not in told for place, (fields, creates) in places.items()):
        for row in record.rows:
            if row.told(name) is not msgspec.UNSET:
                row.former = added(row.former, name, before)
                break
    else:
        for row in record.rows:
            if name in row.former:
                row.former = {other: known for other, known in row.former.items() if other != name}


def made(row: Contribution, rows: Collection[Contribution], names: Collection[str]) -> None:
    """The source is about to tell of `row` for the first time, or again after its deletion. We may have made it with a
    former golden value: what is noted of those (`former` of any of `rows`) may come back in it.

    `names` are the fields that it tells of, and may be told of by nobody but their owner."""
    for other in rows:
        for name in other.former.keys() & names if other.former else ():
            row.known = _with(row.known, name, [*other.former[name], *row.known.get(name, ())])


def _may_come(row: Contribution, name: str, before: Value) -> bool:
    """True if `before` may be on its way to the row. False where the row holds it and nothing else was on its way
    either, and where there was no value to write."""
    told = row.told(name)
    if before is None and told is msgspec.UNSET and name not in row.sent:
        return False
    return told != before or name in row.sent or name in row.known


def _with(known: Known, name: str, pending: list[str]) -> dict[str, list[str]]:
    """`known` with these digests for one field. Another mapping is made, since a record that was claimed by a delivery
    keeps the one that it has."""
    others = {other: kept for other, kept in known.items() if other != name}
    return {**others, name: pending[-UNDERWAY:]} if pending else others
