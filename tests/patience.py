"""How long tests wait for what must come: in seconds of a machine that has nothing else to do.

A test that waits has a deadline only so that a failing test ends. On a machine that works for others as well everything
takes longer, and a deadline in seconds of the clock would fail tests of a product that is sound. So there is one
measure for all waits, `Patience`: a second of the clock counts as much of a second as one of our processes could have
computed in it, which is the number of processors over the number of processes that want one.

    2 processors, 2 busy processes     a second counts as one
    2 processors, 10 busy processes    a second counts as a fifth

Why not by what moves (a log that grows, a counter of the hub): what fails again and again moves, too, and would be
waited for without end. Why not by the CPU time of whoever is watched: it stands still while the database works.

`eventually` and `until` poll, `within` bounds a block of a coroutine, `ended` and `called` wait for a process. A whole
test has the same measure (`pytest_timeout_set_timer` in conftest.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

SECONDS = 120.0
"""For whatever is waited for, by itself."""
_LOOK = 0.5


def share(processors: int, busy: float) -> float:
    """How much of a processor each of so many busy processes has: 1.0 if there are enough."""
    return min(1.0, processors / busy) if busy > 0 else 1.0


def busy() -> float:
    """How many processes want a processor: at this moment, or on the average of the last minute if that is more."""
    now = 0.0
    with contextlib.suppress(OSError):  # a system without /proc
        now = float(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    return max(now, os.getloadavg()[0])


class Patience:
    """So many seconds of an idle machine, from now on. `clock` and `free` (how much of a second counts) are given by
    tests of it."""

    def __init__(
        self,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
        free: Callable[[], float] = lambda: share(os.cpu_count() or 1, busy()),
    ) -> None:
        self._left = seconds
        self._clock = clock
        self._free = free
        self._seen = clock()

    def over(self) -> bool:
        """Whether it is at its end. To be asked every now and then: the time since the last question counts by how
        busy the machine is now."""
        now = self._clock()
        self._left -= (now - self._seen) * self._free()
        self._seen = now
        return self._left <= 0


def eventually(question: Callable[[], Any], what: str, found: Callable[[], object] = lambda: "") -> Any:
    """Poll until the answer is true; the answer. A test that fails here says what was `found` instead."""
    patience = Patience()
    while not (answer := question()):
        assert not patience.over(), f"waited in vain for: {what} {found()}"
        time.sleep(0.03)
    return answer


async def until(question: Callable[[], Any], what: str) -> Any:
    """As `eventually`, while other coroutines go on. The answer may have to be awaited."""
    patience = Patience()
    while True:
        answer = question()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert not patience.over(), f"waited in vain for: {what}"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def within(seconds: float = SECONDS) -> AsyncIterator[None]:
    """What is done inside has come to its end by then, or TimeoutError is raised in it."""
    patience = Patience(seconds)

    async def watch(scope: asyncio.Timeout) -> None:
        while not patience.over():  # noqa: ASYNC110 (only time makes it so)
            await asyncio.sleep(min(_LOOK, seconds))
        scope.reschedule(0)

    async with asyncio.timeout(None) as scope:
        watching = asyncio.create_task(watch(scope))
        try:
            yield
        finally:
            watching.cancel()


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for a process's end; what it still had to say on both streams that are pipes. Whoever began it kills it if
    this fails."""
    patience = Patience()
    while True:
        try:
            out, err = process.communicate(timeout=_LOOK)
            return out or "", err or ""
        except subprocess.TimeoutExpired:
            assert not patience.over(), f"waited in vain for the end of {process.args!r}"


def called(command: Sequence[Any], **options: Any) -> subprocess.CompletedProcess[str]:
    """A command's outcome, and all that it said; `options` are those of `subprocess.Popen`."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, text=True, **options) as process:
        try:
            out, err = ended(process)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, out, err)
