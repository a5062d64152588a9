"""`run` says when a connector that feeds it is missing or has failed: once, and again when it is well."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import structlog

from fieldwarden.operations.project import Opened
from fieldwarden.operations.run.connector_watch import watch_connectors
from tests.integration.connect_server import connect_server
from tests.patience import until
from tests.unit.rules import projects, test_debezium


def listing(*states: str) -> tuple[int, Any]:
    """The answer to what there is: our connector in a state, and its task in another."""
    if not states:
        return 200, {}
    task = {"id": 0, "state": states[1], "worker_id": "w", "trace": "x.Y: password=hunter2"}
    body = {"name": "fieldwarden_crm", "connector": {"state": states[0], "worker_id": "w"}, "tasks": [task]}
    return 200, {"fieldwarden_crm": {"status": body}}


async def logged(tmp_path: Path, *answers: tuple[int, Any]) -> list[Any]:
    """What is said while Connect answers so, one look after the other; the last answer stays."""
    with connect_server() as server:
        files = {**test_debezium.SOUND}
        files["fieldwarden.yaml"] = files["fieldwarden.yaml"].replace("http://connect:8083", server.url)
        environment = {"KAFKA": "a:1", "KAFKA_PASSWORD": "x", "REGISTRY": "http://r"}
        project = Opened(projects.load(projects.write(tmp_path, files), environment), None)
        path = "/connectors?expand=status"
        server.answers("GET", "/connectors/fieldwarden_crm/config", (200, {"heartbeat.interval.ms": "0"}))
        server.answers("GET", path, *answers)
        with structlog.testing.capture_logs() as said:
            watching = asyncio.create_task(watch_connectors(project, period=0.001))
            await until(lambda: server.asked.count(("GET", path)) > len(answers), "all answers to be looked at")
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
    return said


async def test_what_is_new_is_logged_once(tmp_path: Path) -> None:
    well, failed = listing("RUNNING", "RUNNING"), listing("RUNNING", "FAILED")
    said = await logged(tmp_path, well, listing(), listing(), listing(), failed, failed, failed, well, well)
    assert [(each["event"], each.get("suggestion", "")) for each in said] == [
        ("connector.down", "fieldwarden connector register crm"),
        ("connector.down", "mend what the error names, then: fieldwarden connector restart crm"),
        ("connector.running", ""),
    ]
    assert "hunter2" not in str(said)


async def test_a_restart_passes_and_is_not_worth_a_word(tmp_path: Path) -> None:
    """As a backfill makes one when Debezium has stumbled."""
    well = listing("RUNNING", "RUNNING")
    assert (
        await logged(tmp_path, well, listing("RUNNING", "FAILED"), well, listing("STOPPED", "UNASSIGNED"), well) == []
    )


async def test_a_project_without_connect_has_nothing_to_watch(tmp_path: Path) -> None:
    await watch_connectors(Opened(projects.load(projects.write(tmp_path)), None))
