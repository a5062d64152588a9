"""How we log in to an org: one token for its REST API and for its event bus, asked for when it is needed.

The token endpoint's answer names the org's own address and, in the address of the user, the org's id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from fieldwarden.connectors.salesforce.asking.access import Access
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.secret import Secret

_LIFE = 1_800.0
"""Seconds that a token is used: Salesforce does not tell how long it holds, and an org may end it after 15 minutes
without use."""


class Granting(Protocol):
    """Whoever asks a token endpoint (`connectors.rest.asking.logins.Client`)."""

    async def ask(self, form: Mapping[str, str]) -> Mapping[str, Any]: ...


class OAuth:
    """`form` is what is asked with, made anew each time; `now` is any clock of seconds that only goes forward."""

    def __init__(
        self, system: str, client: Granting, form: Callable[[], Mapping[str, str]], now: Callable[[], float]
    ) -> None:
        self._system = system
        self._client = client
        self._form = form
        self._now = now
        self._held: Access | None = None
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def access(self) -> Access:
        async with self._turn:
            if self._held is None or self._now() >= self._until:
                begun = self._now()
                self._held = self._read(await self._client.ask(self._form()))
                self._until = begun + _LIFE
            return self._held

    async def renew(self, refused: Access) -> Access:
        async with self._turn:
            if self._held is refused:
                self._held = None
        return await self.access()

    def _read(self, told: Mapping[str, Any]) -> Access:
        token, instance, who = told.get("access_token"), told.get("instance_url"), told.get("id")
        parts = urlsplit(who).path.split("/") if isinstance(who, str) else []
        if not isinstance(token, str) or not isinstance(instance, str) or len(parts) < 3 or len(parts[-2]) != 18:
            raise EnvironmentUnfit(
                f"{self._system}: the token endpoint does not say which org the token is for",
                suggestion="correct url:, it is to be the org's own address (My Domain)",
            )
        Secret(token)  # from here on it is blotted out wherever it may show
        return Access(token, instance, parts[-2])
