"""`run` before there is a broker, a connector or a topic: it says so calmly, does all else, and goes on then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stack import Stack
from tests.faults.kafka import BEHIND_KAFKA, make_kafka_world
from tests.patience import eventually


def test_a_broker_that_comes_late_and_connectors_later(
    tmp_path: Path,
    make_database: Callable[[], str],
    over_tcp: Callable[[str], str],
    crashable_stack: Stack,
) -> None:
    world = make_kafka_world(tmp_path / "world", crashable_stack, make_database, over_tcp, topics=False)
    code, body = world.call("doctor")
    assert code == 3
    wrong = [check for check in body["result"]["checks"] if check["level"] == "error"]
    assert any(crashable_stack.bootstrap in check["message"] for check in wrong), wrong

    with world.running() as run:
        trouble = run.await_event("source.retrying")
        assert crashable_stack.bootstrap in trouble["message"]
        eventually(
            lambda: {each["system"] for each in run.events() if each["event"] == "source.retrying"} == {*BEHIND_KAFKA},
            "both to be told of",
        )
        known = {"erp": "streaming", "billing": "retrying", "crm": "retrying"}
        eventually(
            lambda: {source["name"]: source["state"] for source in world.status()["sources"]} == known,
            "status to say it",
        )
        eventually(lambda: "crm is retrying" in run.get("/readyz")[1], "the readiness check to say it")
        assert len(run.events()) < 60, "it does not repeat itself"

        crashable_stack.start()
        eventually(
            lambda: {each["system"] for each in run.events() if each["event"] == "source.open"} >= {*BEHIND_KAFKA},
            "both to be read",
        )
        assert world.status()["partitions"] == []
        assert world.sql("erp", "select 1 from party where ext is not null") == [], "nothing is delivered half known"
        world.register()
        world.await_baselines(run)
        world.flows()
        assert run.end()[0] == 143
    world.rest()
    world.check()
