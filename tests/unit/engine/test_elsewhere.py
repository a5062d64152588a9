"""Work in another process: its answer comes back, or what it met, and nothing of it outlives the block."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.engine.hub.elsewhere import elsewhere


def number(of: int) -> tuple[int, int]:
    return of + 1, os.getpid()


def failing() -> None:
    raise TransientError("the hub is away", suggestion="wait")


def broken() -> None:
    raise KeyError("nobody expects this")


def endless() -> None:
    time.sleep(3600)


def test_the_answer_comes_from_another_process() -> None:
    with elsewhere(number, 1) as answer:
        found, process = answer()
    assert found == 2
    assert process != os.getpid()


def test_what_it_meets_is_raised_here() -> None:
    with elsewhere(failing) as answer, pytest.raises(TransientError, match="the hub is away") as met:
        answer()
    assert met.value.suggestion == "wait"


def test_a_bug_there_is_a_bug_here_with_its_traceback() -> None:
    with elsewhere(broken) as answer, pytest.raises(RuntimeError, match="in broken"):
        answer()


def test_a_process_that_is_killed_has_no_answer() -> None:
    with elsewhere(endless) as answer:
        (process,) = multiprocessing.active_children()
        process.kill()
        with pytest.raises(EnvironmentUnfit, match="ended from outside"):
            answer()


def test_nobody_is_left_working_after_the_block() -> None:
    with pytest.raises(LookupError), elsewhere(endless):
        raise LookupError
    assert multiprocessing.active_children() == []
