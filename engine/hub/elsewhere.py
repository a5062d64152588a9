"""A function that works in another process, for work that one processor is too slow for: its answer, or what it met."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from fieldwarden.engine.bugs import BugElsewhere, described
from fieldwarden.engine.errors import EngineError, EnvironmentUnfit

T = TypeVar("T")


@contextmanager
def elsewhere(work: Callable[..., T], *given: Any) -> Iterator[Callable[[], T]]:
    """Start `work(*given)` in a process of its own, which ends with the block, however that ends. All of it can be
    pickled, and what it returns.

    Gives a function that waits for the answer. It raises the EngineError that `work` raised, EnvironmentUnfit if the
    process was ended from outside, and BugElsewhere, with its traceback, for anything else."""
    context = multiprocessing.get_context("spawn")  # a fork would share our connections
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(its, work, given), daemon=True)
    with ours:
        with its, _uninterrupted():
            process.start()
        try:
            yield lambda: _answer(ours)
        finally:
            process.terminate()
            process.join()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A process that starts here never hears a terminal's interrupt: whoever started it ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, work: Callable[..., object], given: tuple[Any, ...]) -> None:
    try:
        pipe.send((True, work(*given)))
    except EngineError as error:
        pipe.send((False, (type(error), error.message, error.suggestion)))
    except Exception as error:
        pipe.send((False, (BugElsewhere, described(error), "")))


def _answer(pipe: Connection) -> Any:
    try:
        well, said = pipe.recv()
    except (EOFError, OSError) as error:
        raise EnvironmentUnfit(
            "a process that helped with this was ended from outside", suggestion="is there memory left? try again"
        ) from error
    if well:
        return said
    kind, message, suggestion = said
    raise kind(message, suggestion=suggestion) if issubclass(kind, EngineError) else kind(message)
