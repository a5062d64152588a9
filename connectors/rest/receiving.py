"""What a system's webhooks come to: a handshake, or a signature that holds and a body that brings something.

request -> handshake? -> signature -> decode -> verdict
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from fieldwarden.connectors.rest.signatures import Scheme
from fieldwarden.engine.ports.inbound import HookRequest, Verdict
from fieldwarden.engine.ports.inbox import Event, Item

Decode: TypeAlias = Callable[[HookRequest], Sequence[Item]]
"""What a request brings. Raises ValueError for what cannot be read. Names that are no text cannot be."""

Handshake: TypeAlias = Callable[[HookRequest], Verdict | None]
"""What a system is answered that only asks whether we are there; None: the request is no such question."""

SUBSCRIPTIONS: Mapping[int, int] = {400: 202, 401: 202, 405: 503, 413: 503}
"""What Microsoft's services are told in place of a status: Business Central gives up a subscription for whatever is not
2xx, 408, 429 or 5xx. What is not theirs is thrown away all the same."""

_LONGEST_TOKEN = 4096


@dataclass(frozen=True, slots=True)
class Receiver:
    """The port `Receiving`, made of its parts. `taken` is the status for what is; `statuses` are those that the system
    is told in place of others; `nothing` is a body that brings nothing."""

    signed_by: Scheme
    decode: Decode
    handshakes: Sequence[Handshake] = ()
    taken: int = 200
    statuses: Mapping[int, int] = field(default_factory=dict)
    methods: Collection[str] = ("POST",)
    nothing: bytes = b"{}"

    @property
    def scheme(self) -> str:
        return self.signed_by.words

    @property
    def trusted(self) -> bool:
        return self.signed_by.signs

    def receive(self, request: HookRequest, now: int) -> Verdict:
        for handshake in self.handshakes:
            if (answer := handshake(request)) is not None:
                return answer
        if not self.signed_by.holds(request, now):
            return Verdict(self.told(401), because="refused")
        try:
            return Verdict(self.taken, [_named_by_text(each) for each in self.decode(request)])
        except (ValueError, RecursionError):  # JSON may be nested deeper than Python follows
            return Verdict(self.told(400), because="unreadable")

    def told(self, status: int) -> int:
        return self.statuses.get(status, status)

    def sample(self, address: str, now: int) -> HookRequest:
        request = HookRequest("POST", address, "", {"content-type": "application/json"}, self.nothing)
        return self.signed_by.signed(request, now)


def _named_by_text(item: Item) -> Item:
    """The item. Raises ValueError where a number, null or object of the body stands for an id, a stream or a key."""
    names = (item.id,) if isinstance(item, Event) else (item.stream, item.key)
    if not all(isinstance(each, str) for each in names):
        raise ValueError("what is no text names an event or a row")
    return item


def validation_token(request: HookRequest) -> Verdict | None:
    """Microsoft Graph, Business Central, Dataverse: the token of the query is given back as it is, as plain text.

    >>> asked = HookRequest("POST", "https://h.test/hooks/bc", "validationToken=a%20b", {}, b"")
    >>> validation_token(asked).body
    b'a b'
    """
    return _given_back(parse_qs(request.query).get("validationToken", []))


def challenge(request: HookRequest) -> Verdict | None:
    """Others ask by GET, with a `challenge` or `hub.challenge` in the query.

    >>> challenge(HookRequest("GET", "https://h.test/hooks/x", "hub.challenge=42", {}, b"")).body
    b'42'
    """
    if request.method != "GET":
        return None
    given = parse_qs(request.query)
    return _given_back(given.get("hub.challenge") or given.get("challenge") or [])


def _given_back(tokens: Sequence[str]) -> Verdict | None:
    """As plain text, which no browser takes for anything else."""
    if len(tokens) != 1 or len(tokens[0]) > _LONGEST_TOKEN:
        return None
    return Verdict(200, body=tokens[0].encode("utf-8", "replace"))


def parsed(body: bytes) -> Any:
    """A body as JSON, for a `decode`; numbers with a fraction stay the text that they are. Raises ValueError, and
    RecursionError for what is nested too deeply."""
    return json.loads(body, parse_float=str, parse_constant=str)
