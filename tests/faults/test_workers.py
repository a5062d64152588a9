"""Two processes share the work while people are busy, and one or the other dies or stands still."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldwarden.engine.ports.duties import SHARDS
from tests.faults.world import SCHEMA, World, make_world
from tests.integration.cli_project import Run
from tests.patience import eventually

FAULTS = 4
LEASE = 3
SYSTEMS = ("crm", "billing", "erp")
DUTIES = {f"source:{name}" for name in SYSTEMS} | {f"target:{name}/{shard}" for name in SYSTEMS for shard in SHARDS}
EVEN = [len(DUTIES) // 2, len(DUTIES) - len(DUTIES) // 2]


@pytest.fixture
def world(tmp_path: Path, make_database: Callable[[], str]) -> World:
    world = make_world(tmp_path / "world", make_database)
    with (world.folder / "fieldwarden.yaml").open("a") as settings:
        settings.write(f"run: {{lease: {LEASE}s}}\n")
    return world


def held(world: World) -> dict[int, set[str]]:
    """Process id -> its duties, by leases that have not run out."""
    rows = world.sql(
        "hub",
        "select split_part(w.name, ':', 2)::int, array_agg(d.name) from"
        f" {SCHEMA}.worker w join {SCHEMA}.duty d on d.holder = w.token and d.until > clock_timestamp() group by 1",
    )
    return {pid: set(names) for pid, names in rows}


def has_everything(world: World, run: Run) -> bool:
    return held(world) == {run.process.pid: DUTIES}


def stands_still(run: Run) -> bool:
    assert run.process.poll() is None, run.log.read_text()
    return Path(f"/proc/{run.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def come_to_rest(world: World, *runs: Run) -> None:
    for run in runs:
        assert run.end()[0] == 128 + signal.SIGTERM, run.log.read_text()
    world.acknowledged_is_durable()
    world.rest()
    world.check()


@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
def test_killed_and_stopped_again_and_again(seed: int, world: World) -> None:
    rng = random.Random(seed)
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(world.running()) for _ in range(2)]
        for run in runs:
            run.await_event("run.started")
        with world.people(seed) as people:
            for fault in range(FAULTS):
                eventually(lambda: sorted(map(len, held(world).values())) == EVEN, "an even share")
                enough = people.edits + rng.randint(10, 40)
                eventually(lambda: people.edits >= enough, "people at work")  # noqa: B023
                victim, other = rng.sample(runs, 2)
                victim.process.send_signal(signal.SIGKILL if fault % 2 else signal.SIGSTOP)
                eventually(lambda: has_everything(world, other), "the other to take over")  # noqa: B023
                if fault % 2:
                    runs[runs.index(victim)] = stack.enter_context(world.running())
                else:
                    victim.process.send_signal(signal.SIGCONT)
            eventually(lambda: sorted(map(len, held(world).values())) == EVEN, "an even share")
        come_to_rest(world, *runs)


@pytest.mark.long
@pytest.mark.parametrize(
    "point", ["ingest.before_commit:5", "delivery.after_claim:3", "delivery.before_target_commit:3"]
)
def test_a_zombie_changes_nothing(point: str, world: World) -> None:
    """It stands still in the midst of something until long after others have done that, and then goes on."""
    with contextlib.ExitStack() as stack:
        with world.people() as people:
            zombie = stack.enter_context(world.armed(f"{point}:stop"))
            eventually(lambda: stands_still(zombie), "it to stand still")
            other = stack.enter_context(world.running())
            eventually(lambda: has_everything(world, other), "the other to take over")
            enough = people.edits + 30
            eventually(lambda: people.edits >= enough, "people at work")
            os.kill(zombie.process.pid, signal.SIGCONT)
            eventually(lambda: len(held(world).get(zombie.process.pid, ())) in EVEN, "an even share again")
        come_to_rest(world, zombie, other)
