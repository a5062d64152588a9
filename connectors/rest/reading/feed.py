"""One object of a vendor, read: all its rows, and then what is new, page by page.

What is told, and how far that is, come together: whoever keeps one keeps the other. Nothing is thrown away here that
was not told; what is told twice is left out where that is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fieldwarden.connectors.rest.asking.session import RestSession
from fieldwarden.connectors.rest.description import (
    DeltaLink,
    DeltaToken,
    ObjectSpec,
    Reading,
    SeparateFeed,
    TimeWindow,
)
from fieldwarden.connectors.rest.moments import told as written
from fieldwarden.connectors.rest.pages import Got, PageAt, after_page, filled, first_page, request_of
from fieldwarden.connectors.rest.paths import ABSENT
from fieldwarden.connectors.rest.progress import Progress, Window, expired, full, window
from fieldwarden.connectors.rest.rows import Row, Shape, keys_of
from fieldwarden.connectors.rest.templates import Filled, names
from fieldwarden.engine.errors import DecodeError, EnvironmentUnfit, FieldwardenError, SourceGap

_REMEMBERED = 50_000
_MOST_PAGES = 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """Rows, and how far the reading is with them. `now` is the vendor's time at which they were asked for."""

    rows: Sequence[Row]
    progress: Progress
    now: int


class _Round(NamedTuple):
    """What is asked for over and over: one way of reading, and the values of its names."""

    reading: Reading
    values: dict[str, Filled]
    deletions: bool = False


class Remembered:
    """What the last two rounds told last of each thing, so that the overlap of windows is not told again. Bounded: what
    it does not remember is told again, which does no harm."""

    def __init__(self) -> None:
        self._before: dict[object, int] = {}
        self._now: dict[object, int] = {}

    def new(self, name: object, told: object) -> bool:
        """Whether that is not what was told last under this name. It is from here on."""
        mark = hash(told)
        known = self._now.get(name, self._before.pop(name, None)) == mark
        if len(self._now) < _REMEMBERED or name in self._now:
            self._now[name] = mark
        return not known

    def turn(self) -> None:
        """A round begins."""
        self._before, self._now = self._now, {}


class Feed:
    """`name` is the object's."""

    def __init__(self, session: RestSession, name: str, shape: Shape) -> None:
        self.name = name
        self.shape = shape
        self._session = session
        self.spec: ObjectSpec = shape.spec
        self._remembered = Remembered()
        self._lengths: dict[bool, int] = {}

    def anew(self) -> Feed:
        """The same, as if nothing had been told."""
        return Feed(self._session, self.name, self.shape)

    async def all(self, progress: Progress) -> AsyncIterator[Told]:
        """Every row, from where `progress` is to the last page, with which it is `told`. Raises SourceGap, and what
        asking raises."""
        cursor = self.spec.changes.cursor
        asking = _Round(self.spec.all, {"fields": self.shape.fields})
        resumed = progress.page is not None
        at: PageAt | None = progress.page or first_page(self.spec.all.page)
        for _ in range(_MOST_PAGES):
            assert at is not None
            now = await self._session.now()
            try:
                got = await self._page(asking, at)
            except (SourceGap, EnvironmentUnfit):
                # Where its cursor comes with the last page, what was told before is of a reading that never ended.
                if not resumed or not isinstance(cursor, TimeWindow):
                    raise
                at, resumed = first_page(self.spec.all.page), False
                continue
            resumed = False
            then = after_page(self.spec.all.page, at, got).next
            if then is None:
                delta = progress.delta or ("" if isinstance(cursor, TimeWindow) else _delta(cursor, got))
                progress = progress.next(told=True, page=None, delta=delta)
            else:
                progress = progress.next(page=then)
            yield Told([self.shape.row(each) for each in got.records], progress, now)
            if then is None:
                return
            at = then
        raise self._endless()

    async def news(self, progress: Progress) -> AsyncIterator[Told]:
        """What changed since, as far as it can be known now. Raises SourceGap, and what asking raises."""
        self._remembered.turn()
        cursor = self.spec.changes.cursor
        if isinstance(cursor, TimeWindow):
            async for told in self._windows(progress, cursor, deletions=False):
                progress = told.progress
                yield told
        else:
            async for told in self._delta(progress, cursor):
                progress = told.progress
                yield told
        if isinstance(self.spec.delete, SeparateFeed):
            async for told in self._windows(progress, self.spec.delete.cursor, deletions=True):
                yield told

    async def look(self, keys: Sequence[tuple[str, ...]]) -> list[Row]:
        """These rows as they are now; what is not there is `gone`. In the order of the keys."""
        return list(await asyncio.gather(*(self._one(key) for key in keys)))

    # --- parts ---------------------------------------------------------------------------------------------------

    async def _windows(self, progress: Progress, cursor: TimeWindow, *, deletions: bool) -> AsyncIterator[Told]:
        reached = progress.deletions if deletions else progress.since
        now = await self._session.now()
        if expired(cursor, reached, now):
            raise SourceGap(f"{self._session.system}: {self.name}: the vendor keeps its changes no longer", safe=True)
        asked = window(cursor, reached, now)
        while asked is not None:
            part = self._part(asked, deletions)
            values: dict[str, Filled] = {
                "since": written(part.since, cursor.format),
                "until": written(part.until, cursor.format),
                "fields": self.shape.fields,
            }
            reading = self._deletions() if deletions else self.spec.changed
            whole = False
            async for rows, whole in self._pages(_Round(reading, values, deletions), part):
                if whole:
                    name = "deletions" if deletions else "since"
                    progress = progress.next(**{name: part.until, "asked": _asked(progress, part.until, deletions)})
                else:
                    progress = progress.next()
                yield Told(rows, progress, now)
            if whole:
                asked = Window(part.until, asked.until) if part.until < asked.until else None

    def _part(self, asked: Window, deletions: bool) -> Window:
        """Of a window, as much from its beginning as the vendor told at once the last time."""
        length = self._lengths.get(deletions)
        return asked if length is None else Window(asked.since, min(asked.until, asked.since + length))

    async def _pages(self, asking: _Round, part: Window) -> AsyncIterator[tuple[list[Row], bool]]:
        """The rows of a window, page by page, with True at the last: then it is whole. It ends without that where the
        window is more than the vendor tells at once; the next one is shorter."""
        page, count = asking.reading.page, 0
        at = first_page(page)
        for _ in range(_MOST_PAGES):
            got = await self._page(asking, at)
            count += len(got.records)
            if full(page, count):
                self._halve(asking, part)
                yield await self._rows(asking, got), False
                return
            then = after_page(page, at, got).next
            yield await self._rows(asking, got), then is None
            if then is None:
                length = self._lengths.get(asking.deletions)
                if length is not None:
                    self._lengths[asking.deletions] = 2 * length
                return
            at = then
        raise self._endless()

    def _halve(self, asking: _Round, part: Window) -> None:
        """Raises SourceGap where it cannot be told in less."""
        half = part.half() if "until" in {*_said(asking.reading)} else None
        if half is None:
            what = "deletions" if asking.deletions else "changes"
            raise SourceGap(
                f"{self._session.system}: {self.name}: there were more {what} than the vendor tells of at once",
                safe=True,
            )
        self._lengths[asking.deletions] = half.until - half.since

    async def _delta(self, progress: Progress, cursor: DeltaLink | DeltaToken) -> AsyncIterator[Told]:
        now = await self._session.now()
        asking = _Round(self.spec.changed, {"delta": progress.delta, "fields": self.shape.fields})
        at = PageAt(link=progress.delta) if isinstance(cursor, DeltaLink) else first_page(asking.reading.page)
        for _ in range(_MOST_PAGES):
            got = await self._page(asking, at)
            then = after_page(asking.reading.page, at, got).next
            progress = progress.next(delta=_delta(cursor, got), asked=now) if then is None else progress.next()
            yield Told(await self._rows(asking, got), progress, now)
            if then is None:
                return
            at = then
        raise self._endless()

    async def _rows(self, asking: _Round, got: Got) -> list[Row]:
        """Those of a page of changes that were not told of late."""
        if asking.deletions:
            keys = keys_of(self.spec, asking.reading.records, got.records)
            return await self.look(keys)  # some vendors bring a row back, under its key, and tell of that elsewhere
        if self.spec.changes.reads == "keys":
            events = [each for each in got.records if self._remembered.new(repr(each), None)]
            return await self.look(keys_of(self.spec, asking.reading.records, events))
        return [row for row in map(self.shape.row, got.records) if self._remembered.new(row.key, row)]

    async def _page(self, asking: _Round, at: PageAt) -> Got:
        page, records = asking.reading.page, asking.reading.records
        request = request_of(asking.reading.request, page, at)
        answer = await self._session.ask(request, {**asking.values, **filled(page, at)}, at.link)
        if answer.gone:
            raise EnvironmentUnfit(
                f"{self._session.system}: the vendor has no {self.name} where they are asked for",
                suggestion="see what url: and values: say, and whether the vendor's file is of its present API",
            )
        found = records.path.all(answer.told)
        if asking.deletions and isinstance(self.spec.delete, SeparateFeed) and self.spec.delete.when is not None:
            holds = self.spec.delete.when.holds
            kept = [each for each in found if holds(each)]
            # How many records there were says whether the answer was full, so that the others are kept as well.
            found = [*kept, *([_NONE] * (len(found) - len(kept)))]
        return Got(answer.told, found, [self.shape.row(each).key for each in found], answer.headers)

    async def _one(self, key: tuple[str, ...]) -> Row:
        values: dict[str, Filled] = dict(zip(self.spec.key, key, strict=True))
        values |= {"key": key[0], "fields": self.shape.fields}
        try:
            answer = await self._session.ask(self.spec.one.request, values)
        except ValueError:  # a key that no address can hold is that of no row
            return self.shape.gone(key)
        found: list[Any] = [] if answer.gone else self.spec.one.records.path.all(answer.told)
        rows = [row for row in map(self.shape.row, found) if row.key == key]
        return rows[0] if rows else self.shape.gone(key)

    def _deletions(self) -> Reading:
        delete = self.spec.delete
        assert isinstance(delete, SeparateFeed)
        return Reading(request=delete.request, records=delete.records, page=delete.page)

    def _endless(self) -> FieldwardenError:
        return DecodeError(f"{self._session.system}: {self.name}: its pages come to no end")


_NONE: dict[str, Any] = {}
"""A record of no concern."""


def _asked(progress: Progress, until: int, deletions: bool) -> int:
    return min(progress.since, until) if deletions else until


def _said(reading: Reading) -> list[str]:
    request = reading.request
    return [name for part in (request.path, request.query, request.headers, request.body) for name in names(part)]


def _delta(cursor: DeltaLink | DeltaToken, got: Got) -> str:
    found = cursor.next.first(got.answer)
    if found is ABSENT or not isinstance(found, str) or not found:
        raise DecodeError("the last page does not say how the next changes are asked for")
    return found
