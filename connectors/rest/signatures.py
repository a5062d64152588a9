"""How a webhook is known to be its system's: signatures over its very bytes, and what systems send in their place.

    Stamped         Stripe: t=<seconds>,v1=<hex>[,v1=<hex>], HMAC-SHA256 of `<seconds>.<body>`
    BodySigned      Intuit, Xero, Shopify, Frappe: base64 of the HMAC-SHA256 of the body
    RequestSigned   HubSpot v3: base64 of the HMAC-SHA256 of method, address, body and milliseconds
    Basic           Chargebee: a user and a password
    Token           a token in a header
    Unsigned        nothing: whoever finds the address can send it

Each takes several secrets, of which any will do: while one is changed, the new and the old one hold. Everything is
compared in a time that says nothing of how much was right. A time that stands in the signature has to be within a
window around ours, both ways: older is a repeat, and newer could be repeated for longer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from fieldwarden.engine.ports.inbound import HookRequest
from fieldwarden.engine.ports.kinds import Reach
from fieldwarden.rules.references import ReferenceUnresolved
from fieldwarden.rules.secret import Secret
from fieldwarden.rules.settings import Webhooks

WINDOW = 300 * 1_000_000
"""Microseconds: what Stripe and HubSpot advise."""


class Scheme(Protocol):
    """How requests of one system are told from others'."""

    @property
    def words(self) -> str:
        """In a few words, for people."""

    @property
    def signs(self) -> bool:
        """Whether what holds is known to be the system's."""

    def holds(self, request: HookRequest, now: int) -> bool:
        """Whether a request, at this time (µs since 1970 UTC), is one of the system's."""

    def signed(self, request: HookRequest, now: int) -> HookRequest:
        """The request as the system would send it, by the first secret."""


def secrets_of(webhooks: Webhooks, reach: Reach, where: str) -> tuple[Secret, ...]:
    """What a system's webhooks are signed with. Raises ReferenceUnresolved, also for one that is empty: what is signed
    with nothing, everybody can sign."""
    found = tuple(reach.secret(text, where) for text in webhooks.secrets)
    if not all(each.reveal().strip() for each in found):
        raise ReferenceUnresolved("a secret of its webhooks is empty", suggestion="give it its value", path=where)
    return found


@dataclass(frozen=True, slots=True)
class Stamped:
    """As Stripe signs. Signatures of other schemes (v0) beside `v1` say nothing.

    >>> request = HookRequest("POST", "https://h.test/hooks/stripe", "", {}, b"{}")
    >>> by = Stamped((Secret("whsec"),))
    >>> sent = by.signed(request, 1_700_000_000_000_000)
    >>> by.holds(sent, 1_700_000_299_000_000), by.holds(sent, 1_700_000_301_000_000)
    (True, False)
    >>> by.holds(replace(sent, body=b"{ }"), 1_700_000_000_000_000)
    False
    """

    secrets: Sequence[Secret]
    header: str = "stripe-signature"
    window: int = WINDOW
    signs: bool = field(default=True, init=False)
    words: str = field(default="time and HMAC-SHA256 of the body", init=False)

    def holds(self, request: HookRequest, now: int) -> bool:
        pairs = [part.strip().partition("=")[::2] for part in request.headers.get(self.header, "").split(",")]
        stamps = [value for name, value in pairs if name == "t"]
        given = [value for name, value in pairs if name == "v1"]
        if len(stamps) != 1 or not _within(stamps[0], 1_000_000, now, self.window):
            return False
        return _any_equal(given, (self._digest(each, stamps[0], request.body) for each in self.secrets))

    def signed(self, request: HookRequest, now: int) -> HookRequest:
        stamp = str(now // 1_000_000)
        return _with(request, self.header, f"t={stamp},v1={self._digest(self.secrets[0], stamp, request.body)}")

    @staticmethod
    def _digest(secret: Secret, stamp: str, body: bytes) -> str:
        return _hmac(secret, stamp.encode() + b"." + body).hex()


@dataclass(frozen=True, slots=True)
class BodySigned:
    """By the header that the system names: `intuit-signature`, `x-xero-signature`, `x-shopify-hmac-sha256`. There is no
    time in it: an event is known again by its id, and a hint does no harm twice.

    >>> request = HookRequest("POST", "https://h.test/hooks/xero", "", {}, "ä ".encode())
    >>> by = BodySigned((Secret("new"), Secret("old")), "x-xero-signature")
    >>> by.holds(BodySigned((Secret("old"),), "x-xero-signature").signed(request, 0), 0)
    True
    """

    secrets: Sequence[Secret]
    header: str
    signs: bool = field(default=True, init=False)
    words: str = field(default="HMAC-SHA256 of the body", init=False)

    def holds(self, request: HookRequest, now: int) -> bool:
        del now
        given = request.headers.get(self.header, "")
        return _any_equal([given], (self._digest(each, request.body) for each in self.secrets))

    def signed(self, request: HookRequest, now: int) -> HookRequest:
        del now
        return _with(request, self.header, self._digest(self.secrets[0], request.body))

    @staticmethod
    def _digest(secret: Secret, body: bytes) -> str:
        return base64.b64encode(_hmac(secret, body)).decode()


_DECODED = {"3a": ":", "2f": "/", "3f": "?", "40": "@", "21": "!", "24": "$", "27": "'"}
_DECODED |= {"28": "(", "29": ")", "2a": "*", "2c": ",", "3b": ";"}
_ENCODED = re.compile("%(" + "|".join(_DECODED) + ")", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RequestSigned:
    """As HubSpot signs (v3): over the address as it was told, with some of its characters decoded. So the address has
    to be the one that is written at HubSpot (`run: {address: ...}`).

    >>> request = HookRequest("POST", "https://h.test/hooks/hubspot", "a=x%3Ay", {}, b"[]")
    >>> by = RequestSigned((Secret("client secret"),))
    >>> sent = by.signed(request, 1_700_000_000_000_000)
    >>> by.holds(sent, 1_700_000_000_000_000)
    True
    >>> by.holds(replace(sent, method="PUT"), 1_700_000_000_000_000)
    False
    """

    secrets: Sequence[Secret]
    header: str = "x-hubspot-signature-v3"
    stamp: str = "x-hubspot-request-timestamp"
    window: int = WINDOW
    signs: bool = field(default=True, init=False)
    words: str = field(default="time and HMAC-SHA256 of method, address and body", init=False)

    def holds(self, request: HookRequest, now: int) -> bool:
        stamp, given = request.headers.get(self.stamp, ""), request.headers.get(self.header, "")
        if not _within(stamp, 1_000, now, self.window):
            return False
        return _any_equal([given], (self._digest(each, request, stamp) for each in self.secrets))

    def signed(self, request: HookRequest, now: int) -> HookRequest:
        stamp = str(now // 1_000)
        stamped = _with(request, self.stamp, stamp)
        return _with(stamped, self.header, self._digest(self.secrets[0], request, stamp))

    @staticmethod
    def _digest(secret: Secret, request: HookRequest, stamp: str) -> str:
        asked = f"{request.address}?{request.query}" if request.query else request.address
        decoded = _ENCODED.sub(lambda found: _DECODED[found[1].lower()], asked)
        text = request.method.encode() + _bytes(decoded) + request.body + stamp.encode()
        return base64.b64encode(_hmac(secret, text)).decode()


@dataclass(frozen=True, slots=True)
class Basic:
    """A user and a password, as `user:password` in the secret. It signs no body: keep the way to us encrypted."""

    secrets: Sequence[Secret]
    signs: bool = field(default=True, init=False)
    words: str = field(default="a user and a password", init=False)

    def holds(self, request: HookRequest, now: int) -> bool:
        del now
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "basic" and _any_equal([given.strip()], map(self._encoded, self.secrets))

    def signed(self, request: HookRequest, now: int) -> HookRequest:
        del now
        return _with(request, "authorization", f"Basic {self._encoded(self.secrets[0])}")

    @staticmethod
    def _encoded(secret: Secret) -> str:
        return base64.b64encode(secret.reveal().encode()).decode()


@dataclass(frozen=True, slots=True)
class Token:
    """A token in a header, behind a word if there is one (`Bearer`). It signs no body, as `Basic`."""

    secrets: Sequence[Secret]
    header: str = "authorization"
    word: str = "Bearer"
    signs: bool = field(default=True, init=False)
    words: str = field(default="a token", init=False)

    def holds(self, request: HookRequest, now: int) -> bool:
        del now
        word, _, given = f"{'' if self.word else ' '}{request.headers.get(self.header, '')}".partition(" ")
        if word.lower() != self.word.lower():
            return False
        return _any_equal([given.strip()], (each.reveal() for each in self.secrets))

    def signed(self, request: HookRequest, now: int) -> HookRequest:
        del now
        return _with(request, self.header, f"{self.word} {self.secrets[0].reveal()}".strip())


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Anybody can send it, so it is only ever a hint."""

    signs: bool = field(default=False, init=False)
    words: str = field(default="nothing: hints only", init=False)

    def holds(self, request: HookRequest, now: int) -> bool:
        del request, now
        return True

    def signed(self, request: HookRequest, now: int) -> HookRequest:
        del now
        return request


def _within(stamp: str, unit: int, now: int, window: int) -> bool:
    """Whether a time, of which one is so many µs, is within the window around now."""
    return stamp.isascii() and stamp.isdecimal() and len(stamp) < 20 and abs(int(stamp) * unit - now) <= window


def _any_equal(given: Sequence[str], expected: Iterable[str]) -> bool:
    """Whether one that was given is one of those expected. All are compared, whichever is right."""
    pairs = [(each, right) for right in expected for each in given]
    return any([hmac.compare_digest(_bytes(each), _bytes(right)) for each, right in pairs])  # noqa: C419


def _hmac(secret: Secret, text: bytes) -> bytes:
    return hmac.digest(secret.reveal().encode(), text, hashlib.sha256)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _with(request: HookRequest, header: str, value: str) -> HookRequest:
    return replace(request, headers={**request.headers, header: value})
