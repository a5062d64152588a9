"""One topic as a part of a source: what its events come to, and where that leaves us."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fieldwarden.connectors.salesforce.decoding.events import EventDecoder, SchemaNeeded, Told
from fieldwarden.connectors.salesforce.decoding.places import Place
from fieldwarden.connectors.salesforce.decoding.repeats import Repeats
from fieldwarden.connectors.salesforce.reading.subscription import Fetched
from fieldwarden.engine.change import RawChange

_MOST_SCHEMAS = 256


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
    """What some events come to. `look` has the keys of rows that have to be read from Salesforce now, `rescan` the
    beginnings of those of all rows that have to be ("": all), both by stream; what is read stands behind `place`."""

    place: Place
    changes: list[RawChange] = field(default_factory=list)
    look: dict[str, dict[str, None]] = field(default_factory=dict)
    rescan: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, told: Told) -> None:
        self.changes += told.changes
        if told.look:
            self.look.setdefault(told.stream, {}).update(dict.fromkeys(told.look))
        if told.rescan:
            self.rescan.setdefault(told.stream, {}).update(dict.fromkeys(told.rescan))


class TopicReader:
    """Begins behind `place`. Events that come twice are told once, and those from before the baseline not at all."""

    def __init__(self, decoder: EventDecoder, schemas: Schemas, place: Place) -> None:
        self.place = place
        self.repeated = 0
        self._decoder = decoder
        self._schemas = schemas
        self._repeats = Repeats()

    async def take(self, fetched: Fetched) -> Taken:
        """What these events come to. Raises SchemaDrift, TransientError, EnvironmentUnfit; then none of them counts,
        and the topic has to be read anew from what is durable."""
        taken = Taken(self.place)
        for event in fetched.events:
            place = taken.place.after(event.replay)
            while True:
                try:
                    told = self._decoder.decode(event, place)
                    break
                except SchemaNeeded as needed:
                    await self._schemas.fetch(needed.id)
            taken.place = place
            if told.head is not None:
                if told.head.at < place.since * 1_000:
                    continue
                if self._repeats.again(told.head.identity):
                    self.repeated += 1
                    continue
            taken.add(told)
        if fetched.latest != taken.place.replay:
            taken.place = taken.place.after(fetched.latest)
        self.place = taken.place
        return taken
