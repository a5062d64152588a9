"""How far the reading of one object is: a value that is kept with the rows it stands for, and goes on from there.

    begun -> all rows, page by page -> told -> window after window, or delta after delta

The cursor is taken before the first row is asked for: what changes while all rows are read stands behind it. It moves
only with the last page of an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import msgspec

from fieldwarden.connectors.rest.description import ObjectSpec, Page, SeparateFeed, TimeWindow
from fieldwarden.connectors.rest.moments import SECOND
from fieldwarden.connectors.rest.pages import PageAt
from fieldwarden.connectors.rest.rows import Row


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """`step` counts what was handed over, so that a later telling has a greater position. `page`: where the reading of
    all rows goes on; None: it has not begun or is `told`. `since`: up to where changes are read, of a time window (µs
    since 1970 UTC); `delta`: the link or token for the next; `deletions`: as `since`, of the feed of deletions.
    `asked`: the vendor's time up to which all is known. `streams` are those that all rows were read for."""

    baseline: int
    step: int = 0
    told: bool = False
    page: PageAt | None = None
    since: int = 0
    delta: str = ""
    deletions: int = 0
    asked: int = 0
    streams: tuple[str, ...] = ()

    def encode(self) -> str:
        """As text: of two of one object the later is greater.

        >>> Progress(1, 7, told=True).encode()
        '0001.000000000007.{"baseline":1,"step":7,"told":true}'
        """
        return f"{self.baseline:04x}.{self.step:012x}.{msgspec.json.encode(self).decode()}"

    @classmethod
    def decode(cls, text: str) -> Progress:
        return msgspec.json.decode(text.split(".", 2)[2], type=cls)

    def next(self, **changed: object) -> Progress:
        """Of what is handed over next."""
        return msgspec.structs.replace(self, step=self.step + 1, **changed)


def begun(baseline: int, spec: ObjectSpec, now: int, step: int = 0) -> Progress:
    """Before anything of a baseline is read. `now` is the vendor's time."""
    cursor, delete = spec.changes.cursor, spec.delete
    since = now - _micros(cursor.end_lag) if isinstance(cursor, TimeWindow) else 0
    deletions = now - _micros(delete.cursor.end_lag) if isinstance(delete, SeparateFeed) else 0
    return Progress(baseline, step, since=since, deletions=deletions, asked=since or now)


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for: from `since` (included) up to `until`. With it done, all up to `until` is read."""

    since: int
    until: int

    def half(self) -> Window | None:
        """The earlier half, where the whole is more than the vendor tells at once. None: it cannot be less.

        >>> Window(0, 10_000_000).half()
        Window(since=0, until=5000000)
        >>> Window(0, 1_000_000).half() is None
        True
        """
        middle = self.since + (self.until - self.since) // 2 // SECOND * SECOND
        return Window(self.since, middle) if middle > self.since else None


def window(cursor: TimeWindow, reached: int, now: int) -> Window | None:
    """What to ask for, where all up to `reached` is read and it is `now` at the vendor. None: there is nothing new yet.

    It begins before what is read, for rows whose time is that of their transaction's beginning.

    >>> from datetime import timedelta
    >>> cursor = TimeWindow(kind="time_window", overlap=timedelta(seconds=60), end_lag=timedelta(seconds=5))
    >>> window(cursor, 100 * SECOND, 200 * SECOND)
    Window(since=40000000, until=195000000)
    >>> window(cursor, 195 * SECOND, 200 * SECOND) is None
    True
    """
    until = now - _micros(cursor.end_lag)
    return Window(reached - _micros(cursor.overlap), until) if until > reached else None


def expired(cursor: TimeWindow, reached: int, now: int) -> bool:
    """Whether the vendor does not tell any more of all that came after `reached`."""
    return cursor.retention is not None and reached - _micros(cursor.overlap) < now - _micros(cursor.retention)


def full(page: Page, records: int) -> bool:
    """Whether an answer of so many records may have been cut off: the vendor tells of no more than its cap."""
    return page.cap is not None and records >= page.cap


def position(spec: ObjectSpec, progress: Progress, row: Row, now: int) -> str:
    """Where a row's telling stands among all of that row: of two the greater is the newer.

    Where the vendor's own times order a row's versions, an older one that is told later (by a copy that lags behind)
    is older all the same; a deletion without a time is of now.

    >>> row = Row(("1",), (), modified=5)
    >>> position(ObjectSpec.model_construct(newer_by="reading"), Progress(2, 16), row, 9)
    '0002.000000000010'
    >>> position(ObjectSpec.model_construct(newer_by="modified"), Progress(2, 16), row, 9)
    '0002.0000000000000005.000000000010'
    """
    step = f"{progress.step:012x}"
    if spec.newer_by == "reading":
        return f"{progress.baseline:04x}.{step}"
    at = row.modified if row.modified is not None else now if row.gone else 0
    return f"{progress.baseline:04x}.{max(0, at):016x}.{step}"


def _micros(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
