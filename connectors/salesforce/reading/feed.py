"""An org as a feed of parts, a topic each: all rows by queries first, then what its topics tell.

A topic is not read while the rows are: it keeps its events for 72 hours, and is told from a moment before the first
row was read. Events tell of what happened to a row in order, so that they put right whatever a query found earlier or
later. Where an event does not say all, it is a hint as well; where it says that rows may be gone which nobody tells of,
that is a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Literal

from fieldwarden.connectors.salesforce.asking.session import SalesforceSession
from fieldwarden.connectors.salesforce.decoding.described import ObjectOf
from fieldwarden.connectors.salesforce.decoding.events import Event, EventDecoder
from fieldwarden.connectors.salesforce.decoding.places import Place, Progress
from fieldwarden.connectors.salesforce.decoding.rows import KEY
from fieldwarden.connectors.salesforce.looking.rows import RowShape, all_rows, some_rows
from fieldwarden.connectors.salesforce.reading.subscription import Bus, Fetched
from fieldwarden.connectors.salesforce.reading.topic import OVERLAP, Schemas, TopicReader
from fieldwarden.engine.change import RawChange
from fieldwarden.engine.errors import SchemaDrift, SourceGap
from fieldwarden.engine.wanted import Wanted

_KEPT: Final = 71 * 3_600_000
"""Milliseconds for which Salesforce is sure to keep an event: it says 72 hours."""
Phase = Literal["running", "done"] | None


@dataclass(slots=True)
class Read:
    """What is handed on at once, of one part. `position` is how far that part is with it; None: no further. `phase`:
    rows are being read, or with this all have been; of `streams`, where not of all. `parked`: why the part's stream
    cannot be followed any more."""

    part: str
    changes: list[RawChange] = field(default_factory=list)
    position: str | None = None
    phase: Phase = None
    streams: tuple[str, ...] = ()
    parked: str = ""


@dataclass(slots=True)
class _Part:
    """One topic: what is read of its object, and how far."""

    topic: str
    wanted: Wanted
    shape: RowShape
    reader: TopicReader
    progress: Progress

    @property
    def streams(self) -> tuple[str, ...]:
        """All streams that read the object."""
        return self.wanted.stream, *self.wanted.others


class OrgFeed:
    """Reads the objects of `wanted` (by name). `client` is the name under which we write."""

    def __init__(self, session: SalesforceSession, bus: Bus, wanted: Mapping[str, Wanted], client: str) -> None:
        self._session = session
        self._bus = bus
        self._wanted = wanted
        self._client = client
        self._parts: list[_Part] = []

    async def read(self, positions: Mapping[str, str | None], baseline: int) -> AsyncGenerator[Read, None]:
        """All that is behind these positions, by part; for ever. Of a part that has none, or one of a baseline before,
        all rows are read first.

        Raises SourceGap, SchemaDrift where nothing is left that can be followed, EnvironmentUnfit, TransientError."""
        objects = {name: await self._session.described(name) for name in self._wanted}
        since = (await self._session.now()) // 1_000 - OVERLAP
        begin = Progress(Place(baseline, 0, b"", since, since + OVERLAP), "")
        parts = self._parts = [self._part(objects[name], positions, begin) for name in sorted(self._wanted)]
        untold = [each for each in parts if each.progress.after is not None]
        streams = () if len(untold) == len(parts) else tuple(name for each in untold for name in each.streams)
        for each in untold:
            async for read in self._rows(each, last=each is untold[-1]):
                read.streams = streams
                yield read
        for each in parts:
            self._check_kept(each)
        async with aclosing(self._news(parts)) as news:
            async for read in news:
                yield read

    def _check_kept(self, part: _Part) -> None:
        """A topic of which nothing was told yet begins with what Salesforce keeps: it has to reach back far enough."""
        place = part.progress.place
        if not place.replay and self._session.clock() - place.since > _KEPT:
            raise SourceGap(
                f"{self._session.system}: Salesforce does not keep what followed the reading of {part.shape.object}",
                suggestion="its rows have to be read again: run with --rebaseline, or set on_gap: rebaseline",
                path=part.topic,
                safe=True,
            )

    def _part(self, object: ObjectOf, positions: Mapping[str, str | None], begin: Progress) -> _Part:
        topic, wanted = object.topic, self._wanted[object.name]
        known = positions.get(topic)
        progress = begin if known is None else Progress.parse(known)
        if progress.place.baseline < begin.place.baseline:
            progress = begin
        schemas = Schemas(lambda id: self._bus.schema(topic, id))
        decoder = EventDecoder(
            topic, {object.name: wanted}, {object.name: object.reads}, client=self._client, schema_of=schemas.get
        )
        reader = TopicReader(decoder, schemas, progress.place, self._session.clock)
        return _Part(topic, wanted, RowShape(wanted, object), reader, progress)

    async def again(self, raw: RawChange) -> RawChange:
        """An event that could not be read, tried once more by what is known now; the same, if in vain. Raises
        TransientError, EnvironmentUnfit."""
        undecoded = raw.undecoded
        if undecoded is None or undecoded.value is None:
            return raw
        told = dict(undecoded.headers)
        part = next((each for each in self._parts if each.wanted.stream == raw.relation.stream), None)
        if part is None or not {"schema", "replay"} <= told.keys():
            return raw
        event = Event(told["schema"].decode(), undecoded.value, told["replay"])
        found = await part.reader.decoded(event, Place.at(raw.position, event.replay))
        mine = (each for each in found.changes if undecoded.key in (None, _key(each).encode()))
        return next((each for each in mine if each.undecoded is None), raw)

    async def look(self, stream: str, keys: Sequence[str]) -> dict[str, RawChange | None]:
        """What these rows of a stream hold now, by key; None: there is none. Raises TransientError, EnvironmentUnfit,
        SchemaDrift."""
        name, wanted = next(found for found in self._wanted.items() if stream in (found[1].stream, *found[1].others))
        shape = RowShape(wanted, await self._session.described(name))
        rows: dict[str, RawChange | None] = dict.fromkeys(keys)
        rows |= {_key(each): each for each in await some_rows(self._session, shape, shape.relation, keys)}
        return rows

    # --- rows ----------------------------------------------------------------------------------------------------

    async def _rows(self, part: _Part, *, last: bool) -> AsyncGenerator[Read, None]:
        """Every row as it is when its page is read. A page is durable by itself: who is interrupted goes on behind
        it."""
        place, after = part.progress.place, part.progress.after or ""
        async with aclosing(all_rows(self._session, part.shape, part.shape.relation, place.row, after)) as pages:
            async for page in pages:
                part.progress = Progress(place, _key(page[-1]))
                yield Read(part.topic, page, part.progress.text, "running")
        part.progress = Progress(place)
        yield Read(part.topic, [], part.progress.text, "done" if last else "running")

    # --- events --------------------------------------------------------------------------------------------------

    async def _news(self, parts: Sequence[_Part]) -> AsyncGenerator[Read, None]:
        """What the topics tell, whichever has something. Of each no more waits here than one answer."""
        ready: asyncio.Queue[tuple[_Part, Fetched | BaseException, Callable[[], None]]] = asyncio.Queue()
        tasks = {each.topic: asyncio.create_task(self._listen(each, ready)) for each in parts}
        try:
            while tasks:
                part, fetched, go_on = await ready.get()
                if isinstance(fetched, BaseException):
                    raise fetched
                try:
                    async for read in self._told(part, fetched):
                        yield read
                except SchemaDrift as drift:
                    tasks.pop(part.topic).cancel()
                    if not tasks:
                        raise
                    yield Read(part.topic, parked=f"{drift.message}: {drift.suggestion}")
                    continue
                go_on()
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _listen(
        self, part: _Part, ready: asyncio.Queue[tuple[_Part, Fetched | BaseException, Callable[[], None]]]
    ) -> None:
        """Hand on one answer after the other; the next is asked for once the last was taken in."""
        try:
            async with aclosing(self._bus.events(part.topic, part.progress.place.replay)) as events:
                async for fetched in events:
                    taken = asyncio.Event()
                    ready.put_nowait((part, fetched, taken.set))
                    await taken.wait()
        except Exception as error:  # whatever it is, it is raised to whoever reads
            ready.put_nowait((part, error, lambda: None))

    async def _told(self, part: _Part, fetched: Fetched) -> AsyncGenerator[Read, None]:
        taken = await part.reader.take(fetched)
        if taken.lost:
            raise SourceGap(
                f"{self._session.system}: Salesforce changed more of {part.shape.object} at once than it tells of",
                suggestion="its rows have to be read again: run with --rebaseline, or set on_gap: rebaseline",
                path=part.topic,
                safe=True,
            )
        changes = taken.changes
        if taken.rescan:
            yield Read(part.topic, changes)
            changes = []
            place = part.reader.place = taken.place = taken.place.after(taken.place.replay)
            async with aclosing(all_rows(self._session, part.shape, part.shape.relation, place.row)) as pages:
                async for page in pages:
                    yield Read(part.topic, page)
        part.progress = Progress(taken.place)
        yield Read(part.topic, changes, part.progress.text)


def _key(row: RawChange) -> str:
    return str(row.values[row.relation.columns.index(KEY)])
