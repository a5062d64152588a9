"""Which child rows speak for their record: of several of one stream only the first, and none without a parent.

A row keeps what it is ordered by as short texts: a number as a number, a moment in microseconds, anything else by its
characters. Nulls come last, and so does a row of which that was never read; its key decides where all else is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from fieldwarden.engine.change import UNKNOWN, Change, RawValue, RowRef
from fieldwarden.engine.errors import ValueRefused
from fieldwarden.engine.record import Contribution
from fieldwarden.rules.values import moment_micros

Place = tuple[str, str]
"""(system, stream)."""
_NUMBERS = ("integer", "numeric", "float")
_MOMENTS = ("timestamp", "timestamptz")
_NUMBER, _TEXT = "n", "t"


def order_text(value: RawValue, kind: str) -> RawValue:
    """A column's value as a row keeps it to be ordered by: "n" and a number, or "t" and a text. `kind` is the column's
    portable type. Null and UNKNOWN come back as they are.

    >>> order_text("10", "integer"), order_text("b", "text"), order_text(None, "text")
    ('n10', 'tb', None)
    """
    if not isinstance(value, str):
        return value
    try:
        if kind in _NUMBERS and not Decimal(value).is_nan():
            return _NUMBER + value
        if kind in _MOMENTS:
            return _NUMBER + str(moment_micros(value))
    except (InvalidOperation, ValueRefused):
        pass  # infinity, a year of five digits: after all numbers
    return _TEXT + value


def ordered(row: Contribution, told: Sequence[RawValue]) -> None:
    """Take in what the row's newest image says the row is ordered by. `row.order` is changed in place; where the image
    left a value out (UNKNOWN), the former one stays.

    >>> row = Contribution("crm", "phone", "1", "7", Stamp("7", None), {}, order=("n1", "tb"))
    >>> ordered(row, [UNKNOWN, "tc"])
    >>> row.order
    ('n1', 'tc')
    """
    # Where the lengths differ, other rules had the row ordered otherwise.
    known = row.order if len(row.order) == len(told) else (None,) * len(told)  # other rules had it ordered otherwise
    row.order = tuple(was if now is UNKNOWN else now for was, now in zip(known, told, strict=True))


def hung(row: Contribution, change: Change) -> bool:
    """Note the row above a child row, as a change of it tells; `row` is changed in place. True if it is another row
    than before. Nothing is noted where the change tells of none, or is older than what the row said."""
    if change.parent is None or change.position < row.said or row.under == change.parent.key:
        return False
    row.under = change.parent.key
    return True


def first(rows: Sequence[Contribution], place: Place) -> Contribution | None:
    """The first live row of a stream by its order, then by its key. None if none is live."""
    live = [row for row in rows if row.deleted is None and (row.system, row.stream) == place]
    return min(live, key=_rank) if len(live) > 1 else live[0] if live else None


def speakers(rows: Sequence[Contribution], plural: Collection[Place]) -> list[Contribution]:
    """The rows without those of `plural` streams that another row stands before: of each such stream only the first
    live row is left. Where none is live, its deleted rows are left."""
    firsts = {place: first(rows, place) for place in plural}
    return [row for row in rows if (one := firsts.get((row.system, row.stream))) is None or one is row]


def with_parents(rows: Sequence[Contribution], below: Mapping[Place, Sequence[Place]]) -> list[Contribution]:
    """The rows without live child rows above which no live row stands. Deleted rows are left in. `below`: by child
    stream, the streams above it."""
    live = {(row.system, row.stream) for row in rows if row.deleted is None}
    return [row for row in rows if row.deleted is not None or live.issuperset(below.get((row.system, row.stream), ()))]


def rows_of(rows: Sequence[Contribution], place: Place, above: Mapping[Place, Sequence[Place]]) -> list[Contribution]:
    """The rows of one stream, live and deleted, without those that hang below a merged row. `above`: by child stream,
    the streams above it, the parent first; only of streams that may hang below a merged row."""
    known = without_husks(rows, above) if above else rows
    return [row for row in known if row.system == place[0] and row.stream == place[1]]


def without_husks(rows: Sequence[Contribution], below: Mapping[Place, Sequence[Place]]) -> Sequence[Contribution]:
    """The rows without child rows of rows that were merged into another: what those say, the rows say that they were
    merged into. The merged rows themselves stay. `below` as `above` in `rows_of`."""
    merged = {row.ref for row in rows if row.merged and row.deleted is not None}
    if not merged:
        return rows
    left = len(rows) + 1
    while len(rows) < left:  # one round for each level of child rows
        left, gone = len(rows), {row.ref for row in rows if row.under and parent_of(row, below) in merged}
        rows, merged = [row for row in rows if row.ref not in gone], merged | gone
    return rows


def parent_of(row: Contribution, below: Mapping[Place, Sequence[Place]]) -> RowRef | None:
    """The row above a child row. None where that is not noted.

    >>> phone = Contribution("crm", "phone", "1", "7", Stamp("7", None), {}, under="42")
    >>> parent_of(phone, {("crm", "phone"): [("crm", "account")]})
    RowRef(system='crm', stream='account', key='42')
    """
    above = below.get((row.system, row.stream))
    return RowRef(*above[0], row.under) if above else None


def is_excluded(row: Contribution, rows: Sequence[Contribution], below: Mapping[Place, Sequence[Place]]) -> bool:
    """True if a row above this child row is missing, so that what the child row says does not count."""
    above = below.get((row.system, row.stream), ())
    if row.under and any(each is row for each in rows) and not any(each is row for each in without_husks(rows, below)):
        return True
    return bool(above) and not {(other.system, other.stream) for other in rows if other.deleted is None}.issuperset(
        above
    )


def _rank(row: Contribution) -> tuple[tuple[tuple[int, Decimal, str], ...], str]:
    return tuple(map(_part, row.order)) or (_part(None),), row.key


def _part(text: str | None) -> tuple[int, Decimal, str]:
    if text is None:
        return 2, Decimal(0), ""
    if text[0] == _NUMBER:
        return 0, Decimal(text[1:]), ""
    return 1, Decimal(0), text
