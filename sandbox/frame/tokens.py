"""Tokens of OAuth 2: given for a while, by the sandbox's clock, and taken back on demand."""

from __future__ import annotations

import base64
import binascii
import random
from dataclasses import dataclass

from fieldwarden.sandbox.frame.clock import Clock

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Pair:
    access: str
    refresh: str


class Tokens:
    """`lasts` is how many seconds an access token is good for. With `rotating` a refresh token is good for one use:
    whoever comes second with it is refused, as two workers would be."""

    def __init__(self, clock: Clock, random: random.Random, lasts: float, first: str, rotating: bool = False) -> None:
        """`first` is the refresh token that a person got in the vendor's own pages."""
        self._clock = clock
        self._random = random
        self._access: dict[str, float] = {}
        self._refresh = {first}
        self._rotating = rotating
        self.lasts = lasts

    def issue(self, refresh: str = "") -> Pair:
        """A new access token. Expired ones are forgotten."""
        now = self._clock.now()
        self._access = {token: until for token, until in self._access.items() if until > now}
        access = "at_" + self._code()
        self._access[access] = now + self.lasts
        return Pair(access, refresh)

    def refreshed(self, refresh: str) -> Pair | None:
        """None where the refresh token is none, or was used."""
        if refresh not in self._refresh:
            return None
        if self._rotating:
            self._refresh.discard(refresh)
            refresh = "rt_" + self._code()
            self._refresh.add(refresh)
        return self.issue(refresh)

    def good(self, access: str) -> bool:
        return self._access.get(access, 0.0) > self._clock.now()

    def revoke(self) -> None:
        """All access tokens end; refresh tokens stay."""
        self._access.clear()

    def _code(self) -> str:
        return "".join(self._random.choice(_LETTERS) for _ in range(32))


def bearer(value: str) -> str:
    """The token of an Authorization header's value; empty where it has none."""
    kind, _, token = value.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def basic(value: str) -> tuple[str, str]:
    """User and password of an Authorization header's value; empty where it has none."""
    kind, _, code = value.partition(" ")
    try:
        user, _, password = base64.b64decode(code).decode().partition(":") if kind.lower() == "basic" else ("", "", "")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
