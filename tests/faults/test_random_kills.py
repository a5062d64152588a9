"""SIGKILL at random moments of a live run, again and again, while people work in all three systems."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.world import make_world

KILLS = 8


@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
def test_killed_again_and_again(seed: int, tmp_path: Path, make_database: Callable[[], str]) -> None:
    rng = random.Random(seed)
    world = make_world(tmp_path / "world", make_database)
    with world.people(seed):
        for _ in range(KILLS):
            with world.running() as run:
                if rng.random() < 0.7:
                    run.await_event("run.started")
                try:
                    run.process.wait(timeout=rng.random() * 0.7)
                except subprocess.TimeoutExpired:
                    run.process.kill()
                else:
                    pytest.fail(f"it ended by itself: {run.log.read_text()}")
                run.process.wait()
            world.acknowledged_is_durable()
    world.rest()
    world.check()
    again = world.rest()
    assert (again["changes"], again["decisions"]) == (0, 0), "nothing was left half done"
