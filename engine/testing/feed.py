"""A system that has to be asked for what is new, as a vendor's API has: in pages, from a token that may have expired.

Feed          the system: of each part its rows as they are, and its last changes
PolledSource  reads it: all rows first, then what is new since each part's token
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

from fieldwarden.engine.block import Block
from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.errors import SourceGap
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.ports.parts import Part
from fieldwarden.engine.ports.source import Batch, Observation, Start
from fieldwarden.engine.testing.source import observed


class Row(NamedTuple):
    """A row as it is: `image` shows it, `version` counts the changes of its part up to its last one."""

    image: RawChange
    version: int


class Feed:
    """`parts` have their own changes, numbered from 1; a row stays in its part."""

    def __init__(self, system: str, parts: Iterable[str]) -> None:
        self.system = system
        self.changes: dict[str, list[RawChange]] = {part: [] for part in parts}
        self.rows: dict[str, dict[str, Row]] = {part: {} for part in self.changes}
        self._homes: dict[str, str] = {}
        self._forgotten = dict.fromkeys(self.changes, 0)

    def tell(self, part: str, key: str, change: RawChange, image: RawChange | None) -> None:
        """`change` may name some of the row's columns only, or be a hint; `image` shows the whole row, None: it is
        deleted."""
        self.changes[part].append(change)
        self._homes[key] = part
        if image is None:
            del self.rows[part][key]
        else:
            self.rows[part][key] = Row(image, len(self.changes[part]))

    def row(self, key: str) -> tuple[RawChange | None, int]:
        """A row as it is now, and a version at which it was so: that of its last change, or, where it is not there, of
        its part's."""
        part = self._homes.get(key)
        if part is None:
            return None, 0
        row = self.rows[part].get(key)
        return (None, len(self.changes[part])) if row is None else row

    def token(self, part: str, version: int) -> str:
        """What says nothing but to the feed."""
        return sha256(f"{part}@{version}".encode()).hexdigest()[:16]

    def forget(self, part: str) -> None:
        """No token but the newest is good any more."""
        self._forgotten[part] = len(self.changes[part])

    def since(self, part: str, token: str) -> int:
        """The version that a token stands for. Raises SourceGap if it has expired."""
        for version in range(self._forgotten[part], len(self.changes[part]) + 1):
            if self.token(part, version) == token:
                return version
        raise SourceGap(f"{self.system}: the token of {part} has expired", safe=True)


class Position(NamedTuple):
    """How far a part is: in which baseline, whether all its rows have been told in that, up to which version it is
    read, and the feed's token for what comes after that."""

    baseline: int
    told: bool
    version: int
    token: str

    def encode(self) -> str:
        return f"{self.baseline:04x}.{self.told:d}.{self.version:08x}.{self.token}"

    @classmethod
    def decode(cls, text: str) -> Position:
        baseline, told, version, token = text.split(".")
        return cls(int(baseline, 16), told == "1", int(version, 16), token)


class PolledSource:
    """One worker that reads all parts of a feed, at most `page` changes at a time, and asks again every `seconds`. As
    long a look takes.

    Each answer repeats the last `overlap` changes before its token, as a vendor's does whose clock is not exact; what
    has been told is known by its version. A token is durable with the last page of an answer only. `fail` is called
    before each page and may raise (a lost connection).
    """

    def __init__(
        self,
        feed: Feed,
        hub: Hub,
        *,
        page: int = 100,
        overlap: int = 2,
        seconds: float = 0.05,
        fail: Callable[[], None] = lambda: None,
    ) -> None:
        self.system = feed.system
        self._feed = feed
        self._hub = hub
        self._page = page
        self._overlap = overlap
        self._seconds = seconds
        self._fail = fail
        self._parts: dict[str, Part] = {}
        self._number = 0

    async def open(self, start: Start) -> None:
        self._parts = await start.take(sorted(self._feed.changes))

    async def ends(self, baseline: int) -> dict[str, str]:
        return {part: self._now(part, baseline).encode() for part in self._feed.changes}

    async def batches(self) -> AsyncIterator[Batch]:
        baseline = await self._hub.baseline(self.system)
        self._number = baseline.number
        if not baseline.heard:
            async for batch in self._all_rows(baseline.number):
                yield batch
        while True:
            for part in sorted(self._parts):
                for batch in self._news(part):
                    self._fail()
                    yield batch
            await asyncio.sleep(self._seconds)

    async def _all_rows(self, baseline: int) -> AsyncIterator[Batch]:
        """Each part's rows as they are when its page is read. The tokens are of before the first page, and durable
        before it: what went while this was interrupted stands behind them."""
        for part, known in self._parts.items():
            if known.position is None:
                yield self._batch(part, [], self._now(part, baseline))
        ends = {part: Position.decode(known.position or "") for part, known in self._parts.items()}
        untold = [part for part, end in ends.items() if not end.told]
        ends = {part: end._replace(told=True) for part, end in ends.items()}
        await self._hub.read_until(self.system, {part: end.encode() for part, end in ends.items()}, baseline)
        for part in untold:
            rows, end = self._feed.rows[part], ends[part]
            keys = sorted(rows)
            pages = [keys[first : first + self._page] for first in range(0, len(keys), self._page)] or [[]]
            for number, page in enumerate(pages, 1):
                self._fail()
                there = sorted((rows[key] for key in page if key in rows), key=lambda row: row.version)
                seen = [(observed(row.image), row.version) for row in there]
                told = _by_columns([_placed(image, part, baseline, version) for image, version in seen])
                yield self._batch(part, told, end if number == len(pages) else None)

    def _news(self, part: str) -> Iterable[Batch]:
        known = Position.decode(self._parts[part].position or "")
        since, changes = self._feed.since(part, known.token), self._feed.changes[part]
        end = self._now(part, known.baseline)._replace(told=True)
        answer = [(n, change) for n, change in enumerate(changes, 1) if n > since - self._overlap]
        for first in range(0, len(answer), self._page):
            page = answer[first : first + self._page]
            told = [_placed(change, part, known.baseline, n) for n, change in page if n > known.version]
            if told:
                yield self._batch(part, told, end if first + self._page >= len(answer) else None)

    def _now(self, part: str, baseline: int) -> Position:
        version = len(self._feed.changes[part])
        return Position(baseline, False, version, self._feed.token(part, version))

    def _batch(self, part: str, changes: Sequence[RawChange], reached: Position | None) -> Batch:
        position = reached.encode() if reached is not None else None
        moved = replace(self._parts[part], position=position)
        if reached is not None:
            self._parts[part] = moved
        return Batch(changes, {part: moved})

    async def acknowledge(self, batch: Batch) -> None:
        """Nobody asks how far it is but the hub."""
        del batch

    async def again(self, raw: RawChange) -> RawChange:
        return raw

    async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
        """Each row stands just behind the version at which it was so: its own changes up to there are older."""
        self._fail()
        found = [(row, *self._feed.row(row.key)) for row in rows]
        await asyncio.sleep(self._seconds)  # people go on meanwhile
        return [
            Observation(row, None if image is None else observed(image), f"{_position(self._number, version)}!")
            for row, image, version in found
        ]

    async def close(self) -> None:
        return


def _placed(change: RawChange, part: str, baseline: int, version: int) -> RawChange:
    return replace(change, position=_position(baseline, version), place=f"{part}@{version - 1}")


def _by_columns(rows: Sequence[RawChange]) -> Sequence[RawChange]:
    """A page of rows that were seen, as a block where all have one shape: so a vendor's bulk export comes."""
    shapes = {(row.relation.stream, row.relation.columns, row.relation.types) for row in rows}
    if len(shapes) != 1:
        return rows
    columns = tuple(zip(*(row.values for row in rows), strict=True))
    positions, places = [row.position for row in rows], [row.place for row in rows]
    return Block(rows[0].relation, "observe", columns, positions, places=places)


def _position(baseline: int, version: int) -> str:
    return f"{baseline:04x}.{version:08x}"
