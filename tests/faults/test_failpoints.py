"""SIGKILL at every named point between durability steps, while people work in all three systems."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldwarden.engine.failpoints import NAMES, ROW_BY_ROW
from tests.faults.landscape import ITEMS
from tests.faults.world import World, make_world
from tests.parts import first
from tests.patience import eventually

ROOT = Path(__file__).resolve().parents[2]
MANY = 2100
"""Rows that a baseline reads in more than one batch."""
LATER = {"ingest": 12, "delivery": 5}
"""Passes after which every baseline should be done, and changes are streaming."""
ELSEWHERE = ("apply", "partial", "intent", "inbox")
DYING = [name for name in NAMES if name.split(".")[0] not in ELSEWHERE]
TELLING = ("ingest.before_commit", "delivery.before_settle_commit")
"""Those of the first part: each stands between an effect and its being known."""


def test_every_name_is_passed_somewhere_and_no_other() -> None:
    folders = ("engine", "connectors", "operations", "rules")
    code = "".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert set(re.findall(r"\bhit\(\"([^\"]+)\"", code)) == {*NAMES, *ROW_BY_ROW}


def die(world: World, failpoint: str) -> None:
    with world.armed(failpoint) as run:
        code = eventually(run.process.poll, f"death at {failpoint}")
    assert code == -signal.SIGKILL, run.log.read_text()
    world.acknowledged_is_durable()


@pytest.mark.parametrize("name", first(len(TELLING), sorted(DYING, key=lambda name: name not in TELLING)))
def test_killed_at(name: str, tmp_path: Path, make_database: Callable[[], str]) -> None:
    """(Where an apply, or the reading of a table that was mapped later, is killed: `test_apply`; and between a write's
    intent and its answer: `test_vendor`.)

    At the very first pass; and then, by the next process, in mid-stream (or at the same point of a baseline, which
    is begun again)."""
    world = make_world(tmp_path / "world", make_database, items=MANY if name == "snapshot.running" else ITEMS)
    later = LATER.get(name.split(".")[0])
    with world.people() as people:
        die(world, name)
        die(world, f"{name}:{later}" if later else name)
        while later and not world.is_read():
            die(world, f"{name}:{later}")
        enough = people.edits + 40
        eventually(lambda: people.edits >= enough, "people to go on")
    world.rest()
    world.check()
