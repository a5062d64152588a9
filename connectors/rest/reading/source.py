"""A vendor's system as a source: each object is a part, whose rows are read first and then what is new, in turn.

open:     every object's progress, as it is durable
batches:  the cursors of what was never read -> all its rows -> what is new in each object -> a pause -> ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from fieldwarden.connectors.rest.asking.session import RestSession
from fieldwarden.connectors.rest.progress import Progress, begun, position
from fieldwarden.connectors.rest.reading.feed import Feed, Told
from fieldwarden.connectors.rest.rows import Row, Shape, answer_of
from fieldwarden.engine.change import UNKNOWN, RawChange, Relation, RowRef, Undecoded, key_parts
from fieldwarden.engine.errors import DecodeError
from fieldwarden.engine.ports.parts import FIRST_BASELINE, Part
from fieldwarden.engine.ports.source import Batch, Observation, Start
from fieldwarden.engine.record import LARGE
from fieldwarden.engine.wanted import Wanted


@dataclass(frozen=True, slots=True)
class Rows:
    """What an object's rows are to the engine: `relation` of whole rows, `bare` of those of which the key is all."""

    feed: Feed
    wanted: Wanted
    relation: Relation
    bare: Relation

    @classmethod
    def of(cls, session: RestSession, name: str, wanted: Wanted) -> Rows:
        """`wanted` is of what the vendor's file has under this name: its columns are among that object's."""
        spec = session.vendor.objects[name]
        shape = Shape(spec, sorted({*wanted.columns, *spec.key}))
        bare = wanted.relation(spec.key, ("text",) * len(spec.key))
        return cls(Feed(session, name, shape), wanted, wanted.relation(shape.columns, shape.types), bare)

    @property
    def streams(self) -> tuple[str, ...]:
        return (self.wanted.stream, *self.wanted.others)

    def observed(self, row: Row, position: str = "", place: str = "") -> RawChange:
        """A row as it was seen. One that cannot be read is kept as it came."""
        if row.trouble:
            return self.undecoded(row, position, place)
        large = sum(len(each) for each in row.values if isinstance(each, str)) > LARGE
        return RawChange(self.relation, "observe", row.values, position, None, place=place, large=large)

    def changed(self, row: Row, now: int, position: str, place: str) -> RawChange:
        """A row that was changed. Where the vendor does not say when, it was just now."""
        if row.trouble:
            return self.undecoded(row, position, place)
        at = row.modified if row.modified is not None else now
        if row.gone:
            return RawChange(self.bare, "delete", row.key, position, at, place=place)
        return replace(self.observed(row, position, place), operation="update", at=at)

    def undecoded(self, row: Row, position: str, place: str) -> RawChange:
        key = tuple(part or UNKNOWN for part in row.key)
        kept = Undecoded(f"{place}: {row.trouble}", None if all(row.key) else row.record, row.record)
        return RawChange(self.bare, "update", key, position, None, place=place, undecoded=kept)


class RestSource:
    """What is new is asked for every `seconds`. Nothing is done beside: a vendor's limits leave no room for it."""

    def __init__(self, session: RestSession, objects: Mapping[str, Wanted], seconds: float) -> None:
        """`objects`: what is read of each of the vendor's objects."""
        self.system = session.system
        self._session = session
        self._rows = {name: Rows.of(session, name, wanted) for name, wanted in objects.items()}
        self._seconds = seconds
        self._baseline = FIRST_BASELINE
        self._parts: dict[str, Part] = {}
        self._progress: dict[str, Progress] = {}

    async def open(self, start: Start) -> None:
        self._parts = await start.take(sorted(self._rows))
        self._rows = {name: replace(rows, feed=rows.feed.anew()) for name, rows in self._rows.items()}
        self._progress = {}
        self._baseline = start.baseline
        for name, part in self._parts.items():
            if part.position is not None and not start.is_new_to(part):
                self._progress[name] = self._durable(name, Progress.decode(part.position))

    async def ends(self, baseline: int) -> None:
        """It reads its rows by itself."""

    async def batches(self) -> AsyncIterator[Batch]:
        untold = [name for name in sorted(self._rows) if name not in self._progress or not self._progress[name].told]
        for name in untold:
            if name not in self._progress:
                progress = begun(self._baseline, self._rows[name].feed.spec, await self._session.now())
                yield self._batch(name, progress.next(streams=self._rows[name].streams), [], untold)
        for name in untold:
            async for told in self._rows[name].feed.all(self._progress[name]):
                yield self._batch(name, told.progress, self._first(name, told), untold)
        while True:
            for name in sorted(self._rows):
                async for told in self._rows[name].feed.news(self._progress[name]):
                    yield self._batch(name, told.progress, self._news(name, told))
            await asyncio.sleep(self._seconds)

    async def acknowledge(self, batch: Batch) -> None:
        """A vendor keeps nothing for us."""

    async def again(self, raw: RawChange) -> RawChange:
        rows = next(each for each in self._rows.values() if raw.relation.stream in each.streams)
        kept = raw.undecoded
        if kept is None or kept.value is None:
            return raw
        try:
            row = rows.feed.shape.row(answer_of(kept.value))
        except DecodeError:
            return raw
        if row.trouble or row.gone:
            return raw
        return replace(rows.observed(row, raw.position, raw.place), operation="update", at=row.modified)

    async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
        """One lane tells of all rows here: a look stands behind all that was told of its row before."""
        found: list[Observation] = []
        for ours in self._rows.values():
            asked = [row for row in rows if row.stream in ours.streams]
            seen = await ours.feed.look([key_parts(row.key, len(ours.wanted.key)) for row in asked])
            images = [None if each.gone else ours.observed(each) for each in seen]
            found += map(Observation, asked, images)
        return found

    async def close(self) -> None:
        """The session is not ours."""

    def _durable(self, name: str, progress: Progress) -> Progress:
        """Of what is durable, where it goes on: at all rows, if they were read for fewer streams than there are now."""
        streams = self._rows[name].streams
        if not {*streams} <= {*progress.streams}:
            progress = progress.next(told=False, page=None)
        return progress.next(streams=streams)

    def _first(self, name: str, told: Told) -> list[RawChange]:
        """Of what is there to begin with, rows. One that is marked as deleted is not there."""
        rows, place = self._rows[name], _place(name, told)
        seen = [row for row in told.rows if not row.gone]
        return [rows.observed(row, position(rows.feed.spec, told.progress, row, told.now), place) for row in seen]

    def _news(self, name: str, told: Told) -> list[RawChange]:
        rows, place = self._rows[name], _place(name, told)
        return [
            rows.changed(row, told.now, position(rows.feed.spec, told.progress, row, told.now), place)
            for row in told.rows
        ]

    def _batch(self, name: str, progress: Progress, changes: list[RawChange], untold: Sequence[str] = ()) -> Batch:
        """`untold` are the objects of which all rows are being read."""
        self._progress[name] = progress
        part = replace(self._parts[name], position=progress.encode())
        done = all(each in self._progress and self._progress[each].told for each in untold)
        streams = tuple(stream for each in untold for stream in self._rows[each].streams)
        if not untold:
            return Batch(changes, {name: part})
        return Batch(changes, {name: part}, "done" if done else "running", streams=streams)


def _place(name: str, told: Told) -> str:
    return f"{name}@{told.progress.step}"


def reread(position: str, streams: Collection[str]) -> str:
    """How far a part is, if all rows of these streams have to be read again."""
    try:
        progress = Progress.decode(position)
    except (ValueError, IndexError):
        return position
    left = tuple(each for each in progress.streams if each not in streams)
    return progress.next(streams=left).encode() if len(left) < len(progress.streams) else position
