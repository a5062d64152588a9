"""The event bus: what was told on each topic, with replay ids that say nothing but their place.

What happens to records is announced by whoever keeps them (`org.py`, or a store behind REST).
"""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import fastavro

from fieldwarden.sandbox.pubsub.objects import Object

EVERYTHING = "/data/ChangeEvents"
"""The topic of all objects."""
NO_RECORD = "000000000000000AAA"


class Kept(NamedTuple):
    """One event on the bus."""

    entity: str
    schema_id: str
    payload: bytes
    replay_id: bytes


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction of one person or client. `origin` is empty for a person at a desk."""

    key: str
    at: int
    number: int
    origin: str = ""


class Bus:
    """All that was told, in order. `objects` may be replaced while it runs: then their events have a new schema."""

    def __init__(self, objects: Sequence[Object], seed: int = 0) -> None:
        self.objects = {each.name: each for each in objects}
        self.schemas = {each.schema_id: json.dumps(each.schema()) for each in objects}
        self.events: list[Kept] = []
        self.kept_from = 0
        self.channels: dict[str, frozenset[str]] = {}
        self.listeners: set[asyncio.Event] = set()
        self._random = random.Random(seed)  # noqa: S311  ids by a seed: nothing is kept secret by them
        self._places: dict[bytes, int] = {}
        self._numbers: dict[str, int] = {}

    def redefine(self, object: Object) -> None:
        """Its fields are others from now on."""
        self.objects[object.name] = object
        self.schemas[object.schema_id] = json.dumps(object.schema())

    def entities(self, topic: str) -> Collection[str] | None:
        """The objects that a topic tells of; None: there is no such topic."""
        if topic == EVERYTHING:
            return self.objects.keys()
        if topic in self.channels:
            return self.channels[topic]
        named = [name for name, each in self.objects.items() if each.topic == topic]
        return named or None

    def transaction(self, at: int, origin: str = "") -> Transaction:
        """A transaction that is committed at `at` (milliseconds since 1970)."""
        key = f"{self._random.getrandbits(64):016x}-{len(self._numbers):08x}"
        self._numbers[key] = 0
        return Transaction(key, at, 1_000_000 + len(self._numbers), origin)

    def tell(
        self,
        transaction: Transaction,
        entity: str,
        kind: str,
        ids: Sequence[str],
        values: Mapping[str, Any] | None = None,
        changed: Collection[str] = (),
        nulled: Collection[str] = (),
        diffed: Collection[str] = (),
    ) -> Kept:
        """Put one event on the bus. Of an update `values` holds what changed, and what is enriched."""
        object = self.objects[entity]
        gap = kind.startswith("GAP_")
        self._numbers[transaction.key] += 1
        head = {
            "entityName": entity,
            "recordIds": [NO_RECORD] if kind == "GAP_OVERFLOW" else list(ids),
            "changeType": kind,
            "changeOrigin": transaction.origin,
            "transactionKey": transaction.key,
            "sequenceNumber": 1 if gap else self._numbers[transaction.key],
            "commitTimestamp": transaction.at,
            "commitNumber": transaction.number,
            "commitUser": "005xx000001TT96AAG",
            "nulledFields": object.bitmaps({*nulled}),
            "diffFields": object.bitmaps({*diffed}),
            "changedFields": object.bitmaps({*changed}),
        }
        content = {"ChangeEventHeader": head, **({} if gap else object.event(values or {}))}
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, fastavro.parse_schema(object.schema()), content)
        return self.put(Kept(entity, object.schema_id, stream.getvalue(), b""))

    def put(self, event: Kept) -> Kept:
        """Put an event behind all others, under a replay id of its own."""
        event = event._replace(replay_id=self._new_id(len(self.events) + 1))
        self.events.append(event)
        for each in self.listeners:
            each.set()
        return event

    def mark(self, place: int) -> bytes:
        """A replay id for a place, as an empty answer carries one."""
        return self._new_id(place)

    def after(self, replay_id: bytes) -> int | None:
        """The place of what comes behind a replay id; None: it is too old, or was never given."""
        place = self._places.get(replay_id)
        return None if place is None or place < self.kept_from else place

    def forget(self, keep: int = 0) -> None:
        """Drop all but the last `keep` events, as after 72 hours. Replay ids of what is dropped are no good any more,
        and neither is that of the last of it."""
        self.kept_from = max(self.kept_from, len(self.events) - keep)
        self._places = {id: place for id, place in self._places.items() if place > self.kept_from}

    def _new_id(self, place: int) -> bytes:
        """Opaque, of no order, and of no fixed length."""
        id = self._random.randbytes(self._random.randint(6, 12))
        self._places[id] = place
        return id
