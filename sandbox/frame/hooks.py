"""Webhooks: what happened in the sandbox is sent to the addresses that were given, in order, and again until they say
2xx. Bodies are signed as they leave, so that a repeated one has a signature of its own time, as vendors do it."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from fieldwarden.sandbox.frame.clock import Clock
from fieldwarden.sandbox.frame.faults import Faults

KEPT = 1000
WAITING = 100_000
WRONG_SECONDS = 600.0
_TIMEOUT = 20.0


@dataclass(slots=True)
class Destination:
    """`secrets`: the present one first; an earlier one signs too, while both are told."""

    url: str
    secrets: list[str]


Sign = Callable[[str, bytes, Sequence[str], float], Mapping[str, str]]
"""The headers of a body for a URL, by the secrets, at a time."""


@dataclass(slots=True)
class Sending:
    """One webhook to one destination. `status` is that of the last attempt: 0 where nobody answered."""

    name: str
    destination: Destination
    body: bytes
    sign: Sign = field(repr=False)
    attempts: int = 0
    status: int | None = None
    dropped: bool = False

    @property
    def done(self) -> bool:
        return self.dropped or (self.status is not None and 200 <= self.status < 300)


class Hooks:
    """`retries` are the seconds after which the vendor sends what was not taken, by the sandbox's clock."""

    def __init__(self, clock: Clock, faults: Faults, retries: Sequence[float]) -> None:
        self.destinations: list[Destination] = []
        self.sent: deque[Sending] = deque(maxlen=KEPT)
        self._clock = clock
        self._faults = faults
        self._retries = retries
        self._due: list[tuple[float, int, Sending]] = []
        self._held: list[Sending] = []
        self._number = 0
        self._woken = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many are to be sent yet."""
        return len(self._due) + len(self._held)

    def tell(self, name: str, body: bytes, sign: Sign) -> None:
        """Send it to all destinations, as far as no fault stands against it. Above WAITING it is dropped."""
        for destination in self.destinations:
            sending = Sending(name, destination, body, sign)
            self.sent.append(sending)
            if self._faults.strikes("hook_drop") or self.waiting >= WAITING:
                sending.dropped = True
            elif self._faults.strikes("hook_reorder"):
                self._held.append(sending)
            else:
                self._send(sending)
                if self._faults.strikes("hook_duplicate"):
                    self._send(sending)
                self.release()

    def release(self) -> None:
        """Send what was held back to come after the next one."""
        for sending in self._held:
            self._send(sending)
        self._held.clear()

    def look(self) -> None:
        """The clock was moved: something may be due."""
        self._woken.set()

    def clear(self) -> None:
        """Forget what was sent and what waits; destinations stay."""
        self.sent.clear()
        self._due.clear()
        self._held.clear()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            while True:
                self._woken.clear()
                if not self._due or (wait := self._due[0][0] - self._clock.now()) > 0:
                    goes_by_itself = bool(self._due) and not self._clock.stands
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._woken.wait(), wait if goes_by_itself else None)
                    continue
                await self._deliver(heapq.heappop(self._due)[2], client)

    def _send(self, sending: Sending, after: float = 0.0) -> None:
        self._number += 1
        heapq.heappush(self._due, (self._clock.now() + after, self._number, sending))
        self._woken.set()

    async def _deliver(self, sending: Sending, client: httpx.AsyncClient) -> None:
        at = self._clock.now() - (WRONG_SECONDS if self._faults.strikes("wrong_clock") else 0.0)
        secrets = ["another secret"] if self._faults.strikes("hook_signature") else sending.destination.secrets
        url = sending.destination.url
        headers = {"content-type": "application/json", **sending.sign(url, sending.body, secrets, at)}
        try:
            answer = await client.post(url, content=sending.body, headers=headers)
            sending.status = answer.status_code
        except httpx.HTTPError:
            sending.status = 0
        if not sending.done and sending.attempts < len(self._retries):
            self._send(sending, self._retries[sending.attempts])
        sending.attempts += 1
