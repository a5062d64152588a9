"""A seed is one history, whatever Python hashes strings to: what a seed has found can be looked into again."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import first
from tests.simulation.test_second_day import Days, _days
from tests.simulation.virtual_time import simulate

_ROOT = Path(__file__).parents[2]


def told(seed: int) -> str:
    """What the ledger holds after a history, as a hash."""
    world = Days(seed)
    simulate(_days(world, random.Random(seed)))
    lines = [f"{entry.record} {entry.version} {entry.body!r}" for entry in world.hub.entries]
    return hashlib.sha256("\n".join([*lines, f"{world.rng.random()}"]).encode()).hexdigest()


@pytest.mark.parametrize("seed", first(1, [0, 2]))
def test_a_seed_is_the_same_history_under_any_hash_seed(seed: int) -> None:
    ask = f"from tests.simulation.test_repeatable import told; print(told({seed}))"

    def under(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", ask]
        done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1]

    assert len({under(hash_seed) for hash_seed in ("0", "1", "2")}) == 1
