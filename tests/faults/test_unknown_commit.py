"""The reply to a COMMIT is lost: the hub's position row, and compare-and-set in a target, tell what became of it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.proxy import CommitCutter, When
from tests.faults.world import make_world
from tests.patience import eventually

CUTS = 4


def now_and_then(commit: int) -> When | None:
    """Four of the first twelve commits, by turns before and after they are durable."""
    return None if commit % 3 or commit > 3 * CUTS else "after" if commit % 2 else "before"


@pytest.mark.parametrize(
    ("where", "whose"),
    [
        ("hub", "fieldwarden ingest"),
        pytest.param("hub", "fieldwarden delivery", marks=pytest.mark.long),
        pytest.param("crm", "fieldwarden", marks=pytest.mark.long),
        pytest.param("erp", "fieldwarden", marks=pytest.mark.long),
    ],
    ids=["ingest", "settlement", "target", "owner"],
)
def test_a_reply_that_is_lost(where: str, whose: str, tmp_path: Path, make_database: Callable[[], str]) -> None:
    world = make_world(tmp_path / "world", make_database)
    cutter = CommitCutter(getattr(world, where), whose, now_and_then)
    with cutter.listening() as dsn:
        world.environment[f"{where.upper()}_DSN"] = dsn
        with world.people(), world.running() as run:
            eventually(lambda: cutter.cut >= CUTS, "commits to be cut off")
            code, _ = run.end()
            assert code == 128 + signal.SIGTERM
        world.acknowledged_is_durable()
        world.rest()
    world.environment[f"{where.upper()}_DSN"] = getattr(world, where)
    world.check()
