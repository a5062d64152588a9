"""The inbox: what systems tell us by webhook, durable in the hub before they are answered, until their sources read it.

    receive -> after -> (the source's changes are durable) -> taken

Whoever receives and whoever reads may be two processes. Reading takes nothing away: a source keeps the number that it
has read up to as the position of a part of its own, and what stands before that is `taken` strictly after it is
durable, in a transaction of its own. So nobody who receives waits for a batch to be decided, nor the other way round;
and a crash in between leaves items in the inbox that stand before the position, which nobody reads again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple, Protocol, TypeAlias

INBOX: Final = "inbox"
"""The part of a source that is its system's inbox."""

PAGE: Final = 500
"""Items that are read at once."""

PAGE_BYTES: Final = 8_000_000
"""Bytes of payloads that are read at once, beyond the first item's."""

REMEMBERED: Final = 8 * 86_400 * 1_000_000
"""How long (µs) the id of an event is known after it was taken: longer than any vendor goes on repeating one."""

_LONGEST = 1000
"""Bytes: an entry of an index holds two of them."""


class Event(NamedTuple):
    """What a system tells under an id of its own: the same id is the same event, however often it comes."""

    id: str
    payload: bytes


class Hint(NamedTuple):
    """That a row may have changed, which is to be looked at; with no key: some rows of the stream."""

    stream: str
    key: str = ""


Item: TypeAlias = Event | Hint


class Arrived(NamedTuple):
    """An item and its number. Greater is later; some numbers are nobody's."""

    number: int
    item: Item


class Received(NamedTuple):
    """What became of the items of one request: `new` ones, and those that were there or had been."""

    new: int
    known: int


@dataclass(frozen=True, slots=True)
class InboxState:
    """How one inbox fares: what is unread and since when the first of it, when something was sent last, and counts of
    all items taken in, items known already and requests turned away. Times in µs since 1970 UTC."""

    system: str
    unread: int = 0
    oldest: int | None = None
    arrived: int | None = None
    received: int = 0
    repeated: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Sorted:
    """The items of one request as an inbox keeps them: each event and each hint once, under what can be stored."""

    events: Mapping[str, bytes]
    hints: Sequence[Hint]
    repeated: int

    @classmethod
    def of(cls, items: Iterable[Item]) -> Sorted:
        """An id that is too long is known by its digest, a hint of a key that is too long is one of its stream.

        >>> Sorted.of([Event("e1", b"x"), Event("e1", b"x"), Hint("people", "p1")])
        Sorted(events={'e1': b'x'}, hints=[Hint(stream='people', key='p1')], repeated=1)
        """
        events: dict[str, bytes] = {}
        hints: dict[Hint, None] = {}
        number = 0
        for number, item in enumerate(items, 1):  # noqa: B007 (how many there were)
            if isinstance(item, Event):
                events.setdefault(item.id if _storable(item.id) else _digest(item.id), item.payload)
            else:
                stream = item.stream if _storable(item.stream) else _digest(item.stream)
                hints[Hint(stream, item.key if _storable(item.key) else "")] = None
        return cls(events, list(hints), number - len(events) - len(hints))


def _storable(text: str) -> bool:
    """Whether a database's text, and an index of it, can hold it."""
    size = len(text.encode("utf-8", "surrogatepass"))
    return size <= _LONGEST and "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def _digest(text: str) -> str:
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


class Inbox(Protocol):
    """The inboxes of all systems. Times are in µs since 1970 UTC. All raise TransientError."""

    async def receive(self, system: str, items: Sequence[Item], room: int, now: int) -> Received | None:
        """Take these in, events first; durable when it returns. None: there are `room` unread items or more, and none
        of these was taken. So there are never more than `room` and those of one request.

        An event whose id is known is not taken again; a hint that is there already goes to the end, so that whoever
        reads it just now reads it once more. Numbers become visible in their order: who has read up to one never
        misses a smaller one that is committed later."""

    async def after(self, system: str, number: int, limit: int = PAGE) -> list[Arrived]:
        """The next items behind a number, in their order: at most `limit` of them, and no further than payloads of
        PAGE_BYTES go."""

    async def taken(self, system: str, number: int, now: int) -> None:
        """All up to this number is durable where it was read to, and goes. The ids of events stay for REMEMBERED; of
        older ones each call forgets no fewer than it takes, and no more than a page's worth beyond."""

    async def refused(self, system: str, number: int) -> None:
        """So many more requests for this system were turned away."""

    async def states(self) -> list[InboxState]:
        """How every inbox fares that something was ever sent to, by system."""

    async def close(self) -> None: ...


class Arrivals(Protocol):
    """One system's inbox as its source reads it; `position` is that of the source's part INBOX: up to where items have
    been given. It compares as text."""

    position: str

    async def open(self, position: str | None) -> None:
        """Go on after the last position that is durable (None: none is). What a crash has left before it goes."""

    async def wait(self, seconds: float) -> list[Arrived]:
        """The next items, as soon as there are any; none when so many seconds have passed. Whichever process receives
        them."""

    async def durable(self, position: str) -> None:
        """All up to this position is durable where it was read to."""
