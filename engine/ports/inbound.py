"""The port behind which a kind of connector says what a request to us means that its system has sent: a webhook.

    request -> receive (pure) -> verdict -> its items are durable in the inbox -> the verdict's status

A kind that takes webhooks is a `ReceivingKind`, others leave it out. Everything that waits, fails or is bounded is the
server's: what is here reads bytes and secrets, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from fieldwarden.engine.ports.inbox import Item
from fieldwarden.engine.ports.kinds import Reach
from fieldwarden.rules.rulebook import System


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A request as it came. `address` is where it was sent to, as its sender was told (`run.address`), without the
    `query`; names of `headers` are in lower case; `body` is its very bytes, of which signatures are made."""

    method: str
    address: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is answered, once the `items` are durable. They are taken with a status of 2xx only; one without items says
    that there is nothing to take (a handshake, an event of no concern)."""

    status: int
    items: Sequence[Item] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    content_type: str = "text/plain; charset=utf-8"
    headers: Sequence[tuple[str, str]] = ()
    because: Literal["", "refused", "unreadable"] = ""
    """Why nothing is taken, whatever the system is told. Left empty, the status says so: 400 is unreadable, any other
    that is no 2xx is refused."""

    @property
    def turned_away(self) -> Literal["", "refused", "unreadable"]:
        """Why nothing is taken; empty: the items are."""
        if self.because or 200 <= self.status < 300:
            return self.because
        return "unreadable" if self.status == 400 else "refused"


class Receiving(Protocol):
    """What one system's webhooks are made of."""

    @property
    def scheme(self) -> str:
        """How they are known to be that system's, in a few words."""

    @property
    def methods(self) -> Collection[str]:
        """Those that are answered: POST, and what its handshakes need."""

    @property
    def trusted(self) -> bool:
        """Whether a request that passes is known to be the system's. Where it is not, its events are left out: what
        anybody can send is only ever a hint."""

    def receive(self, request: HookRequest, now: int) -> Verdict:
        """A request of one of the `methods`, at this time (µs since 1970 UTC). 401 for one that is not the system's,
        400 for one that cannot be read, unless the system does harm when it is told so."""

    def told(self, status: int) -> int:
        """The status that the system is told in place of one of the server's own (405, 408, 413, 500, 503): most are
        told as they are, but some systems give up a subscription for what another tries again."""

    def sample(self, address: str, now: int) -> HookRequest:
        """A request as the system would send it, in which there is nothing to take: for a person who tries it."""


@runtime_checkable
class ReceivingKind(Protocol):
    """A kind of which systems may send webhooks."""

    def receiving(self, system: System, reach: Reach) -> Receiving | None:
        """What this system's are made of; None: its file says nothing of webhooks. Raises ReferenceUnresolved."""
