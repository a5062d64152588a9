"""A server crashes (`pg_ctl stop -m immediate`) and comes back under a live run, which must survive it."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from tests.faults.world import World, make_world
from tests.integration.cli_project import Run
from tests.parts import first
from tests.patience import eventually

_numbers = itertools.count(1)


def databases(server: EmbeddedServer, *names: str) -> dict[str, str]:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        for name in names:
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return {name: server.dsn(name) for name in names}


def await_agreement(world: World, run: Run) -> None:
    def agreed() -> bool:
        assert run.process.poll() is None, run.log.read_text()
        return world.agrees()

    eventually(agreed, "agreement")


@pytest.mark.parametrize(
    "here",
    first(1, [("hub",), ("erp",), ("crm",), ("hub", "crm", "billing", "erp")]),
    ids=["hub", "owner", "other", "all in one"],
)
def test_a_server_that_crashes(
    here: tuple[str, ...], tmp_path: Path, make_database: Callable[[], str], crashable_postgres: EmbeddedServer
) -> None:
    world = make_world(tmp_path / "world", make_database, databases(crashable_postgres, *here))
    with world.running() as run:
        with world.people() as people:
            run.await_ready()
            for _ in range(2):
                enough = people.edits + 30
                eventually(lambda: people.edits >= enough, "people at work")  # noqa: B023
                crashable_postgres.stop("immediate")
                crashable_postgres.start()
        await_agreement(world, run)
        code, _ = run.end(signal.SIGTERM)
        assert code == 128 + signal.SIGTERM
    world.acknowledged_is_durable()
    world.rest()
    world.check()
