"""A wait ends by how much of the machine there was, not by the clock."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests import patience
from tests.patience import Patience, busy, called, ended, eventually, share, until, within
from tests.unit.test_parts import pytest_of


@pytest.mark.parametrize(
    ("processors", "busy", "counts"), [(2, 0, 1.0), (2, 1, 1.0), (2, 2, 1.0), (2, 10, 0.2), (8, 10, 0.8)]
)
def test_a_second_counts_by_what_a_busy_process_has_of_it(processors: int, busy: float, counts: float) -> None:
    assert share(processors, busy) == counts


def test_it_lasts_longer_while_others_are_busy() -> None:
    now, free = [0.0], [1.0]
    waits = Patience(30, clock=lambda: now[0], free=lambda: free[0])
    now[0], free[0] = 20.0, 1.0
    assert not waits.over()
    now[0], free[0] = 60.0, 0.2
    assert not waits.over(), "forty seconds, of which a fifth was ours"
    now[0], free[0] = 70.0, 0.2
    assert waits.over()


def test_this_machine_says_how_busy_it_is() -> None:
    assert busy() >= 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "Patience", lambda *_: Patience(0.0))


@pytest.mark.usefixtures("impatient")
def test_what_does_not_come_is_named_with_what_was_found() -> None:
    with pytest.raises(AssertionError, match="waited in vain for: rain sunshine"):
        eventually(lambda: False, "rain", lambda: "sunshine")


@pytest.mark.usefixtures("impatient")
async def test_what_does_not_come_is_named_among_coroutines_too() -> None:
    with pytest.raises(AssertionError, match="waited in vain for: rain"):
        await until(lambda: False, "rain")


async def test_an_answer_may_have_to_be_awaited() -> None:
    async def answer() -> str:
        return "rain"

    assert await until(answer, "rain") == "rain"


async def test_a_block_that_does_not_end_is_ended() -> None:
    with pytest.raises(TimeoutError):
        async with within(0.0):
            await asyncio.Event().wait()


async def test_a_block_that_ends_ends_its_watch() -> None:
    async with within():
        pass
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_all_that_a_command_says_is_told() -> None:
    done = called([sys.executable, "-c", "import sys; print('a'); print('b', file=sys.stderr); sys.exit(3)"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "a\n", "b\n")


@pytest.mark.usefixtures("impatient")
def test_a_command_that_does_not_end_is_killed() -> None:
    with pytest.raises(AssertionError, match="waited in vain for the end"):
        called([sys.executable, "-c", "import time; time.sleep(600)"])


@pytest.mark.usefixtures("impatient")
def test_a_process_that_does_not_end_is_named() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], text=True) as process:
        with pytest.raises(AssertionError, match="waited in vain for the end"):
            ended(process)
        process.kill()


HANGS = """
import threading
from tests import conftest

conftest.LOOK_SECONDS = 0.05

def test_that_hangs() -> None:
    threading.Event().wait()
def test_of_two_looks() -> None:
    threading.Event().wait(0.2)
"""


@pytest.mark.parametrize(("test", "seconds", "outcome"), [("hangs", "0.2", "1 failed"), ("looks", "60", "1 passed")])
def test_a_whole_test_has_its_time_too(test: str, seconds: str, outcome: str, tmp_path: Path) -> None:
    told = pytest_of(tmp_path, HANGS, "-k", test, "-o", f"timeout={seconds}")
    assert outcome in told
    assert ("Timeout" in told) == (outcome == "1 failed")
