"""SIGKILL at every named point between durability steps, while people work in all three systems."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.failpoints import NAMES
from tests.faults.landscape import ITEMS
from tests.faults.world import make_world
from tests.integration.cli_project import eventually

ROOT = Path(__file__).resolve().parents[2]
LATER = {"ingest": 9, "delivery": 4}
"""Passes after which a process dies that has left the beginning behind it."""
CASES = [*NAMES, *(f"{name}:{LATER[part]}" for name in NAMES if (part := name.split(".")[0]) in LATER)]
MANY = 2100
"""Rows that a baseline reads in more than one batch."""


def test_every_name_is_passed_somewhere_and_no_other() -> None:
    folders = ("engine", "connectors", "operations", "rules")
    code = "".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert set(re.findall(r"\bhit\(\"([^\"]+)\"\)", code)) == set(NAMES)


@pytest.mark.parametrize("failpoint", CASES)
def test_killed_at(failpoint: str, tmp_path: Path, make_database: Callable[[], str]) -> None:
    world = make_world(tmp_path / "world", make_database, MANY if failpoint == "snapshot.running" else ITEMS)
    with world.people() as people:
        with world.armed(failpoint) as run:
            code = eventually(run.process.poll, f"death at {failpoint}")
        assert code == -signal.SIGKILL, run.log.read_text()
        world.acknowledged_is_durable()
        enough = people.edits + 60
        eventually(lambda: people.edits >= enough, "people to go on")
    world.rest()
    world.check()
