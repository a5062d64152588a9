"""How the loops of one process rouse each other, so that a change is delivered at once and nobody polls hard; and how
they give way to each other where something large is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager


class Wake:
    """One event per name. Other processes are noticed by the waiter's timeout."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}
        self._large = 0
        self.room = asyncio.Event()
        """Set but while something large is delivered: what is large is not read then, lest both are in memory."""
        self.room.set()

    def rouse(self, names: Iterable[str]) -> None:
        for name in sorted(names):  # so that one order of events is one run, whatever strings hash to
            self._event(name).set()

    async def wait(self, name: str, stop: asyncio.Event, timeout_s: float) -> None:
        """Until roused, stopped, or `timeout_s` seconds have passed."""
        event = self._event(name)
        if not event.is_set() and not stop.is_set():
            await either(event.wait(), stop, timeout_s)
        event.clear()

    @contextmanager
    def delivering(self, *, large: bool) -> Iterator[None]:
        """What is done inside is a delivery."""
        self._large += large
        if self._large:
            self.room.clear()
        try:
            yield
        finally:
            self._large -= large
            if not self._large:
                self.room.set()

    def _event(self, name: str) -> asyncio.Event:
        return self._events.setdefault(name, asyncio.Event())


async def either(work: Awaitable[object], stop: asyncio.Event, timeout_s: float | None = None) -> bool:
    """Wait for an awaitable or `stop`, whichever is first; True if the awaitable came to its end."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(task.done())
    finally:
        for pending in (task, stopping):
            if not pending.done():
                pending.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Sleep, unless stopped."""
    await either(asyncio.sleep(seconds), stop)
