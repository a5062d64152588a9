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

from engine.errors import EnvironmentUnfit
from engine.telemetry import Telemetry
from operations.ops import Health, obstacles, serving


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


def test_endpoints_answer_over_http() -> None:
    health = Health(healthy())
    health.telemetry.changes_received("crm", "customer", 5)
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
