"""A system's inbox as its source reads it, roused by what this process receives and looking for what others do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from fieldwarden.engine import failpoints
from fieldwarden.engine.ports.inbox import Arrived, Inbox
from fieldwarden.engine.running.wake import Wake

_LOOK = 0.2
"""Seconds between two looks for what other processes have received."""


def arrival(system: str) -> str:
    """The name by which whoever reads a system's inbox is roused."""
    return f"inbox:{system}"


def microseconds() -> int:
    return time.time_ns() // 1000


class InboxArrivals:
    """The port over an inbox. `look` is how many seconds another process's items may wait to be seen."""

    def __init__(
        self,
        system: str,
        inbox: Inbox,
        wake: Wake,
        *,
        clock: Callable[[], int] = microseconds,
        look: float = _LOOK,
    ) -> None:
        self.position = _encoded(0)
        self._system = system
        self._inbox = inbox
        self._wake = wake
        self._clock = clock
        self._look = look

    async def open(self, position: str | None) -> None:
        self.position = position or _encoded(0)
        await self.durable(self.position)

    async def wait(self, seconds: float) -> list[Arrived]:
        loop, never = asyncio.get_running_loop(), asyncio.Event()
        end = loop.time() + seconds
        while True:
            page = await self._inbox.after(self._system, int(self.position, 16))
            left = end - loop.time()
            if page or left <= 0:
                break
            await self._wake.wait(arrival(self._system), never, min(left, self._look))
        if page:
            self.position = _encoded(page[-1].number)
            failpoints.hit("inbox.read")
        return page

    async def durable(self, position: str) -> None:
        await self._inbox.taken(self._system, int(position, 16), self._clock())


def _encoded(number: int) -> str:
    return f"{number:016x}"
