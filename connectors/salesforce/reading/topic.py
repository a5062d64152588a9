"""One topic as a part of a source: what its events come to, and where that leaves us."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from fieldwarden.connectors.salesforce.decoding.events import Event, EventDecoder, SchemaNeeded, Told
from fieldwarden.connectors.salesforce.decoding.places import Place
from fieldwarden.connectors.salesforce.decoding.repeats import Repeats
from fieldwarden.connectors.salesforce.reading.subscription import Fetched
from fieldwarden.engine.change import RawChange

OVERLAP: Final = 120_000
"""Milliseconds before a baseline begins from which on events are told: their order puts right whatever they say of rows
that were read later."""
_SURE: Final = 5_000
"""Milliseconds by which an event is older than rows that hold what it tells of, whoever's clock it is."""
_MOST_SCHEMAS: Final = 256


class Schemas:
    """The schemas of an org's topics by their ids, which never change. `ask` asks Salesforce for one."""

    def __init__(self, ask: Callable[[str], Awaitable[str]]) -> None:
        self._ask = ask
        self._known: dict[str, str] = {}

    def get(self, id: str) -> str | None:
        """The text of one that was asked for."""
        return self._known.get(id)

    async def fetch(self, id: str) -> None:
        """Ask for one. Raises TransientError, EnvironmentUnfit."""
        text = await self._ask(id)
        if len(self._known) >= _MOST_SCHEMAS:
            self._known.clear()
        self._known[id] = text


@dataclass(slots=True)
class Taken:
    """What some events come to. `rescan` are streams of which all rows have to be read, `lost` those of which some may
    be gone that nobody tells of; what is read stands behind `place`."""

    place: Place
    changes: list[RawChange] = field(default_factory=list)
    rescan: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    def add(self, told: Told, *, read_since: bool) -> None:
        """`read_since`: the rows were read after the event was committed."""
        self.changes += told.changes
        if read_since:
            return
        self.changes += told.hints
        if told.rescan:
            self.rescan.add(told.stream)
        if told.lost:
            self.lost.add(told.stream)


class TopicReader:
    """Begins behind `place`. Events that come twice are told once, and those from before the baseline not at all."""

    def __init__(self, decoder: EventDecoder, schemas: Schemas, place: Place, now: Callable[[], int]) -> None:
        """`now` is Salesforce's time (milliseconds since 1970), or a little earlier."""
        self.place = place
        self.repeated = 0
        self._decoder = decoder
        self._schemas = schemas
        self._repeats = Repeats()
        self._now = now

    async def take(self, fetched: Fetched) -> Taken:
        """What these events come to. Raises SchemaDrift, TransientError, EnvironmentUnfit; then none of them counts,
        and the topic has to be read anew from what is durable."""
        taken = Taken(self.place)
        for event in fetched.events:
            place = taken.place.after(event.replay)
            told = await self.decoded(event, place)
            taken.place = place
            if told.head is None:
                taken.add(told, read_since=False)
                continue
            at = told.head.at // 1_000
            taken.place = place._replace(told=max(place.told, at))
            if at < place.since:
                continue
            if self._repeats.again(told.head.identity):
                self.repeated += 1
                continue
            taken.add(told, read_since=at < place.since + OVERLAP - _SURE)
        if not fetched.events:  # there is nothing that was not told
            taken.place = taken.place.after(fetched.latest)._replace(told=max(taken.place.told, self._now()))
        self.place = taken.place
        return taken

    async def decoded(self, event: Event, place: Place) -> Told:
        """What one event tells that stands at `place`. Raises SchemaDrift, TransientError, EnvironmentUnfit."""
        while True:
            try:
                return self._decoder.decode(event, place)
            except SchemaNeeded as needed:
                await self._schemas.fetch(needed.id)
