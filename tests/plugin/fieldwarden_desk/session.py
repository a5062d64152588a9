"""How one desk is reached: the token, and the pace that its source and its target keep together."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.engine.ports.duties import Half
from fieldwarden.rules.secret import Secret

GONE = (404, 412)
"""Answers that say how a row is; whoever asked knows what they mean."""


class DeskSession:
    """One request at a time, and a pause after each, whoever asks: a desk counts the requests of a token, not of its
    users."""

    def __init__(self, system: str, url: str, token: Secret, pause: float) -> None:
        self.system = system
        self.requests = 0
        self._client = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token.reveal()}"})
        self._pause = pause
        self._turn = asyncio.Lock()

    async def ask(self, method: str, path: str, **words: Any) -> httpx.Response:
        """Raises TransientError, EnvironmentUnfit."""
        async with self._turn:
            self.requests += 1
            try:
                answer = await self._client.request(method, path, **words)
            except httpx.TransportError as error:
                raise TransientError(f"{self.system}: the desk does not answer ({type(error).__name__})") from error
            await asyncio.sleep(self._pause)
        if answer.status_code == 401:
            raise EnvironmentUnfit(f"{self.system}: the desk does not take our token", suggestion="make another there")
        if answer.status_code not in GONE and answer.is_error:
            raise TransientError(f"{self.system}: the desk answers {answer.status_code}")
        return answer

    async def cut_off(self, process: str, half: Half) -> None:
        """A desk holds nothing for anybody."""

    async def close(self) -> None:
        await self._client.aclose()
