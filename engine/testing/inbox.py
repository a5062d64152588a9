"""The inbox in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fieldwarden.engine.ports.inbox import (
    PAGE,
    PAGE_BYTES,
    REMEMBERED,
    Arrived,
    Event,
    InboxState,
    Item,
    Received,
    Sorted,
)


@dataclass
class _Box:
    """One system's. `ids` are of all events that are known: None as long as one is unread, then when it was taken."""

    last: int = 0
    unread: dict[int, Item] = field(default_factory=dict)
    since: dict[int, int] = field(default_factory=dict)
    ids: dict[str, int | None] = field(default_factory=dict)
    arrived: int | None = None
    received: int = 0
    repeated: int = 0
    refused: int = 0

    def put(self, item: Item, since: int) -> None:
        self.unread[self.last], self.since[self.last] = item, since

    def pop(self, number: int) -> tuple[Item, int]:
        return self.unread.pop(number), self.since.pop(number)


class MemoryInbox:
    """As PostgreSQL keeps it; no two calls come between each other."""

    def __init__(self) -> None:
        self.boxes: dict[str, _Box] = {}

    async def receive(self, system: str, items: Sequence[Item], room: int, now: int) -> Received | None:
        box, found = self._box(system), Sorted.of(items)
        if len(box.unread) >= room:
            return None
        known = found.repeated
        for id, payload in found.events.items():
            box.last += 1
            if id in box.ids:
                known += 1
            else:
                box.ids[id] = None
                box.put(Event(id, payload), now)
        for hint in found.hints:
            box.last += 1
            there = next((number for number, item in box.unread.items() if item == hint), None)
            known += there is not None
            box.put(hint, now if there is None else box.pop(there)[1])
        received = Received(len(found.events) + len(found.hints) + found.repeated - known, known)
        box.arrived, box.received, box.repeated = now, box.received + received.new, box.repeated + received.known
        return received

    async def after(self, system: str, number: int, limit: int = PAGE) -> list[Arrived]:
        found: list[Arrived] = []
        size = 0
        for at, item in sorted(self._box(system).unread.items()):
            if at > number and len(found) < limit and size < PAGE_BYTES:
                found.append(Arrived(at, item))
                size += len(item.payload) if isinstance(item, Event) else 0
        return found

    async def taken(self, system: str, number: int, now: int) -> None:
        box = self._box(system)
        gone = [box.pop(at) for at in sorted(box.unread) if at <= number]
        box.ids.update({item.id: now for item, _ in gone if isinstance(item, Event)})
        for id in list(box.ids)[: len(gone) + PAGE]:
            at = box.ids[id]
            if at is not None and at < now - REMEMBERED:
                del box.ids[id]

    async def refused(self, system: str, number: int) -> None:
        self._box(system).refused += number

    async def states(self) -> list[InboxState]:
        return [
            InboxState(
                system,
                len(box.unread),
                box.since[min(box.unread)] if box.unread else None,
                box.arrived,
                box.received,
                box.repeated,
                box.refused,
            )
            for system, box in sorted(self.boxes.items())
        ]

    async def close(self) -> None:
        return

    def _box(self, system: str) -> _Box:
        return self.boxes.setdefault(system, _Box())
