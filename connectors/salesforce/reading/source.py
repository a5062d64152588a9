"""Salesforce as a source: an org's topics are its parts, one for each object."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from fieldwarden.connectors.salesforce.asking.session import SalesforceSession
from fieldwarden.connectors.salesforce.decoding.described import topic_of
from fieldwarden.connectors.salesforce.reading.feed import OrgFeed
from fieldwarden.connectors.salesforce.reading.subscription import Bus
from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.ports.parts import FIRST_BASELINE, Part
from fieldwarden.engine.ports.source import Batch, Observation, Start
from fieldwarden.engine.wanted import wanted_tables
from fieldwarden.rules.rulebook import System


class SalesforceSource:
    """`engine.ports.Source` for an org."""

    def __init__(self, session: SalesforceSession, bus: Bus, system: System) -> None:
        self.system = system.name
        wanted = wanted_tables(system.read_streams.values(), str)
        self._topics = {topic_of(name): each.stream for name, each in wanted.items()}
        self._feed = OrgFeed(session, bus, wanted, session.client)
        self._parts: dict[str, Part] = {}
        self._positions: dict[str, str | None] = {}
        self._baseline = FIRST_BASELINE

    async def open(self, start: Start) -> None:
        self._parts = await start.take(sorted(self._topics))
        self._positions = {name: None if start.is_new_to(part) else part.position for name, part in self._parts.items()}
        self._baseline = start.baseline

    async def ends(self, baseline: int) -> None:
        """It reads its rows by itself."""

    async def batches(self) -> AsyncGenerator[Batch, None]:
        parked: dict[str, str] = {}
        async with aclosing(self._feed.read(self._positions, self._baseline)) as reading:
            async for read in reading:
                if read.parked:
                    parked[self._topics[read.part]] = read.parked
                part = replace(self._parts[read.part], position=read.position)
                yield Batch(read.changes, {read.part: part}, read.phase, streams=read.streams, parked=dict(parked))

    async def acknowledge(self, batch: Batch) -> None:
        """Salesforce keeps its events for 72 hours, whoever has read them."""

    async def again(self, raw: RawChange) -> RawChange:
        return await self._feed.again(raw)

    async def look(self, rows: Sequence[RowRef]) -> Sequence[Observation]:
        """A row has no version that its events show, too: what is seen stands behind all that was told of it before."""
        found: list[Observation] = []
        for stream in dict.fromkeys(row.stream for row in rows):
            mine = [row for row in rows if row.stream == stream]
            images = await self._feed.look(stream, [row.key for row in mine])
            found += [Observation(row, images[row.key]) for row in mine]
        return found

    async def close(self) -> None:
        """The session is not ours."""
