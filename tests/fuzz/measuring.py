"""What one input costs a decoder: CPU time (not the clock's, so that a busy machine tells no lies) and
the most memory that Python held meanwhile. Dear inputs are measured again before anybody is blamed for them."""

from __future__ import annotations

import gc
import signal
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

Input: TypeAlias = tuple[bytes, ...]
"""The parts of one input: a record's key and value, a stream's frames ..."""

SECONDS, BYTES, SHARE = 0.1, 64 << 20, 100_000
"""For each 100 KB of input, and for a smaller one."""
_DEAR = 0.02
"""Seconds from which on an input's memory is looked at too: 64 MB are not filled in less."""
_ENOUGH = 10.0


class Hangs(BaseException):
    """It took ten seconds of CPU time. No decoder's `except Exception` takes it for something else."""


@dataclass(frozen=True, slots=True)
class Cost:
    seconds: float
    bytes: int
    wrong: str = ""


def shares(data: Input) -> float:
    """How many times 100 KB it has; 1 for whatever is smaller."""
    return max(1.0, sum(map(len, data)) / SHARE)


def cost(
    run: Callable[[Input], None], data: Input, *, traced: bool, clock: Callable[[], float] = time.thread_time
) -> Cost:
    """`run` raises for what it must not meet. `traced`: its memory is looked at, whatever it took. `clock`: of CPU
    time, this thread's or the process's."""
    seconds, wrong = _timed(run, data, clock)
    most_seconds, most_bytes = SECONDS * shares(data), BYTES * shares(data)
    for _ in range(3):  # a collection of garbage, or another process's work on the same caches
        if seconds <= most_seconds or wrong:
            break
        gc.collect()
        seconds = min(seconds, _timed(run, data, clock)[0])
    peak = 0
    if traced or seconds > _DEAR:
        peak, wrong = _traced(run, data, wrong)
    if not wrong and seconds > most_seconds:
        wrong = f"it took {seconds * 1_000:.0f} ms"
    if not wrong and peak > most_bytes:
        wrong = f"it took {peak >> 20} MB"
    return Cost(seconds, peak, wrong)


def _timed(run: Callable[[Input], None], data: Input, clock: Callable[[], float]) -> tuple[float, str]:
    began = clock()
    wrong = _said(run, data)
    return clock() - began, wrong


def _traced(run: Callable[[Input], None], data: Input, wrong: str) -> tuple[int, str]:
    tracemalloc.start()
    try:
        again = _said(run, data)
        return tracemalloc.get_traced_memory()[1], wrong or again
    finally:
        tracemalloc.stop()


def _said(run: Callable[[Input], None], data: Input) -> str:
    try:
        with _at_most(_ENOUGH):
            run(data)
    except Hangs:
        return f"it took more than {_ENOUGH:.0f} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hangs

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
