"""The health checks, by real HTTP: live, ready for the right reasons, and metrics that parse."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fieldwarden.engine.deciding.known import Tally
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.running.delivery import Delivery
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, MemoryTarget
from fieldwarden.operations.run.health import Health, obstacles, serving
from tests.builders import rulebook
from tests.simulation.virtual_time import simulate


def get(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            body, status = answer.read().decode(), answer.status
    except urllib.error.HTTPError as error:
        body, status = error.read().decode(), error.code
    return status, body if url.endswith("/metrics") else json.loads(body)


def healthy(clock: float = 1000.0) -> Telemetry:
    telemetry = Telemetry(lambda: clock)
    telemetry.connector_state("source", "crm", "streaming")
    telemetry.connector_state("target", "erp", "delivering")
    return telemetry


def test_ready_when_all_stream_and_nothing_waits() -> None:
    assert obstacles(healthy().connectors(), now=9999.0, patience=30) == []


def test_not_ready_before_anything_reported() -> None:
    assert "starting" in obstacles([], now=0.0, patience=30)[0]


def test_a_halted_source_is_named_with_its_reason() -> None:
    telemetry = healthy()
    telemetry.connector_state("source", "crm", "halted", "the slot is gone")
    assert obstacles(telemetry.connectors(), now=1000.0, patience=30) == ["source crm is halted: the slot is gone"]


@pytest.mark.parametrize(("half", "name"), [("source", "crm"), ("target", "erp")])
def test_work_that_waits_while_nothing_moves_is_not_ready(half: Any, name: str) -> None:
    now = [1000.0]
    telemetry = Telemetry(lambda: now[0])
    telemetry.connector_state("source", "crm", "streaming")
    telemetry.connector_state("target", "erp", "delivering")
    now[0] = 2000.0
    telemetry.waiting(half, name, 7)
    assert obstacles(telemetry.connectors(), now=2029.0, patience=30) == []
    now[0] = 2031.0
    telemetry.waiting(half, name, 9)
    (reason,) = obstacles(telemetry.connectors(), now=2031.0, patience=30)
    assert f"{half} {name} has not moved for 31 s" in reason
    telemetry.progressed(half, name)
    assert obstacles(telemetry.connectors(), now=2031.0, patience=30) == []


def test_an_idle_night_does_not_count_as_standing_still() -> None:
    now = [0.0]
    telemetry = Telemetry(lambda: now[0])
    telemetry.connector_state("source", "crm", "streaming")
    for now[0] in (10.0, 50_000.0):
        telemetry.waiting("source", "crm", 0)
    now[0] = 50_001.0
    telemetry.waiting("source", "crm", 100)
    assert obstacles(telemetry.connectors(), now=50_002.0, patience=30) == []


def test_deliveries_that_wait_for_a_system_to_be_read_are_not_ready_once_it_is_read_no_further() -> None:
    now = [1000.0]
    telemetry = Telemetry(lambda: now[0])
    telemetry.connector_state("target", "erp", "delivering")

    def ready(at: float, heard: int | None, due: int = 5000) -> list[str]:
        now[0] = at
        telemetry.waiting("target", "erp", due)
        telemetry.unread({} if heard is None else {"crm": ("its rows are being read", heard)})
        return obstacles(telemetry.connectors(), (), telemetry.unread_systems(), now=at, patience=30)

    assert ready(1000.0, heard=100) == []
    assert ready(1040.0, heard=200) == [], "it is being read"
    assert ready(1060.0, heard=200) == []
    assert ready(1071.0, heard=200) == [
        "nothing is delivered until all rows of crm have been read: its rows are being read"
    ]
    assert ready(1071.0, heard=200, due=0) == [], "nothing waits"
    assert ready(1075.0, heard=201) == [], "it goes on"
    assert ready(1100.0, heard=None) == [], "now they go on"
    assert "target erp has not moved" in ready(1140.0, heard=None)[0]


def test_a_delivery_that_is_held_up_does_not_say_that_nothing_waits() -> None:
    telemetry = Telemetry()
    telemetry.waiting("target", "billing", 7)

    async def main() -> None:
        stop = asyncio.Event()
        delivery = Delivery(rulebook(), "billing", MemoryTarget("billing", {}), MemoryHub(), telemetry)
        running = asyncio.create_task(delivery.run(stop))
        await asyncio.sleep(5)
        stop.set()
        await running

    simulate(main())
    assert [c.waiting for c in telemetry.connectors()] == [7]


def test_a_partition_that_must_stand_still_is_not_ready() -> None:
    telemetry = healthy()
    telemetry.partitions("crm", {"crm.public.account/0": ("a", 0, "the column email is gone"), "crm.x/1": ("b", 0, "")})
    (reason,) = obstacles(telemetry.connectors(), telemetry.seen_partitions(), now=1000.0, patience=30)
    assert reason == "source crm: the partition crm.public.account/0 stands still: the column email is gone"


def test_one_partition_that_does_not_move_is_not_hidden_by_others_that_do() -> None:
    now = [1000.0]
    telemetry = Telemetry(lambda: now[0])
    telemetry.connector_state("source", "crm", "streaming")

    def ready_when(first: tuple[str, int], second: tuple[str, int]) -> list[str]:
        telemetry.partitions("crm", {"t/0": (*first, ""), "t/1": (*second, "")})
        return obstacles(telemetry.connectors(), telemetry.seen_partitions(), now=now[0], patience=30)

    assert ready_when(("a", 5), ("a", 5)) == []
    now[0] = 1020.0
    assert ready_when(("a", 7), ("b", 5)) == []
    now[0] = 1040.0
    assert ready_when(("a", 9), ("c", 5)) == [
        "source crm: the partition t/0 has not moved for 40 s while 9 records wait"
    ]
    assert ready_when(("b", 9), ("c", 5)) == [], "it moves again"
    now[0] = 5000.0
    assert ready_when(("b", 0), ("c", 0)) == [], "there is nothing to read"
    assert ready_when(("b", 1), ("c", 0)) == []


def test_what_another_process_does_now_is_told_no_more() -> None:
    telemetry = healthy()
    telemetry.waiting("source", "crm", 7)
    telemetry.partitions("crm", {"t/0": ("a", 5, ""), "t/1": ("a", 6, "")})
    telemetry.partitions("crm", {"t/1": ("a", 6, "")})
    assert samples(telemetry, "fieldwarden_partition_lag") == {("1", "crm", "t"): 6}
    telemetry.forget("source", "crm")
    assert samples(telemetry, "fieldwarden_partition_lag") == {}
    assert samples(telemetry, "fieldwarden_source_lag_bytes") == {}
    assert [c.label for c in telemetry.connectors()] == ["erp.target"]
    assert {key[0] for key in samples(telemetry, "fieldwarden_connector_state")} == {"erp.target"}


def samples(telemetry: Telemetry, name: str) -> dict[tuple[str, ...], float]:
    """Of one metric, by the values of its labels, in the order of their names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in telemetry.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_endpoints_answer_over_http() -> None:
    health = Health(healthy())
    health.telemetry.decided("crm", Tally(changes={"customer": 5}))
    with serving(health, "127.0.0.1", 0) as url:
        assert get(f"{url}/livez") == (200, {"live": True})
        status, body = get(f"{url}/readyz")
        assert (status, body["ready"], body["reasons"]) == (200, True, [])
        assert {c["connector"] for c in body["connectors"]} == {"crm.source", "erp.target"}
        status, text = get(f"{url}/metrics")
        samples = {s.name: s for family in text_string_to_metric_families(text) for s in family.samples}
        assert status == 200
        assert samples["fieldwarden_changes_received_total"].labels == {"system": "crm", "entity": "customer"}
        assert samples["fieldwarden_changes_received_total"].value == 5
        status, body = get(f"{url}/elsewhere")
        assert (status, "/readyz" in body["paths"]) == (404, True)

        health.telemetry.connector_state("source", "crm", "halted", "gap")
        status, body = get(f"{url}/readyz")
        assert (status, body["reasons"]) == (503, ["source crm is halted: gap"])
        health.standby = "standby: others do it"
        assert "standby" in get(f"{url}/readyz")[1]["reasons"][0]
        health.beat -= 60
        status, body = get(f"{url}/livez")
        assert (status, body["live"]) == (503, False)


async def test_a_blocked_event_loop_stops_the_pulse() -> None:
    health = Health(healthy())
    health.beat -= 60
    beating = asyncio.create_task(health.keep_beating())
    await asyncio.sleep(0)
    assert health.live()[0]
    beating.cancel()


def test_a_port_that_is_taken_is_said_clearly() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EnvironmentUnfit, match=f"port {port} on 127.0.0.1 is taken") as caught:
            serving(Health(healthy()), "127.0.0.1", port).__enter__()
    assert "--port" in caught.value.suggestion
