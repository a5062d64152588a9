"""`fieldwarden run` as a real process: it replicates, tells how it fares, and ends as it promises."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.operations.project import Opened, opened
from fieldwarden.operations.run.watch import Watch
from fieldwarden.operations.systems import sessions
from tests.integration.cli_project import Shop
from tests.patience import ended, eventually, within


def customers(shop: Shop) -> list[tuple[list[object], ...]]:
    """What both systems hold, in one spelling."""
    crm = shop.sql(
        "crm",
        "select vat_number, name, email, credit_limit, case terms when 'Net 30' then 'N30' when 'Net 60' then 'N60'"
        " when 'Prepaid' then 'N00' end from account order by vat_number",
    )
    erp = shop.sql("erp", "select tax_number, name, email, credit_limit, term_code from party order by tax_number")
    return [crm, erp]  # type: ignore[list-item]


def test_until_idle_brings_both_systems_to_agreement(shop: Shop) -> None:
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert (code, body["ok"]) == (0, True)
    result = body["result"]
    assert result["stopped_by"] == "idle"
    assert result["changes"] >= 5
    crm, erp = customers(shop)
    assert crm == erp
    assert len(crm) == 4, "nothing is created twice on the first read"

    shop.sql("crm", "update account set credit_limit = 1, email = 'New@alder.example' where vat_number = 'DE811907980'")
    assert shop.settle()["refused"] == 1
    crm, erp = customers(shop)
    assert [row[2] for row in crm].count("New@alder.example") + [row[2] for row in crm].count("new@alder.example") == 1
    assert [row[3] for row in crm] == [row[3] for row in erp]
    assert any(str(row[3]) == "25000.00" for row in crm)
    assert shop.settle()["decisions"] == 0, "an idle project decides nothing"


def status(shop: Shop) -> dict[str, Any]:
    code, body = shop.call("status")
    assert code == 0, body
    result: dict[str, Any] = body["result"]
    return result


def states(shop: Shop) -> dict[str, str]:
    """Source -> how it fares, as `status` says."""
    return {source["name"]: source["state"] for source in status(shop)["sources"]}


def read(shop: Shop) -> dict[str, tuple[bool, str]]:
    """Source -> whether all its rows have been read; why not."""
    return {source["name"]: (source["read"], source["unread"]) for source in status(shop)["sources"]}


def test_it_replicates_reports_and_stops_cleanly(shop: Shop) -> None:
    with shop.running() as run:
        run.await_event("run.started")
        run.await_ready()
        assert json.loads(run.get("/livez")[1]) == {"live": True}
        shop.sql("erp", "update party set term_code = 'N00' where tax_number = 'ATU12345675'")
        eventually(
            lambda: shop.sql("crm", "select 1 from account where vat_number = 'ATU12345675' and terms = 'Prepaid'"),
            "the change to arrive",
        )
        families = {family.name: family for family in text_string_to_metric_families(run.get("/metrics")[1])}
        changes = {s.labels["system"] for s in families["fieldwarden_changes_received"].samples}
        assert changes == {"crm", "erp"}
        assert "fieldwarden_deliveries" in families
        for state in ('connector="crm.source",state="streaming"', 'connector="erp.target",state="delivering"'):
            eventually(lambda: f"fieldwarden_connector_state{{{state}}} 1.0" in run.get("/metrics")[1], state)  # noqa: B023
        eventually(lambda: "fieldwarden_replication_slot_retained_bytes{" in run.get("/metrics")[1], "slots")

        assert status(shop)["running"] is True
        eventually(
            lambda: states(shop) == {"crm": "streaming", "erp": "streaming"}, "status to say it", lambda: states(shop)
        )

        code, body = run.end(signal.SIGTERM)
        assert (code, body["ok"], body["result"]["stopped_by"]) == (143, True, "SIGTERM")
        text = run.log.read_text()
    assert "alder" not in text.lower(), "no value is logged"
    assert "not_shown" not in text, "no loop logs a key that is not allowed"
    assert status(shop)["running"] is False
    assert states(shop) == {"crm": "stopped", "erp": "stopped"}
    assert shop.settle()["decisions"] == 0, "nothing was left half done"


@pytest.mark.long
def test_ctrl_c_is_130(shop: Shop) -> None:
    with shop.running() as run:
        run.await_event("run.started")
        assert run.end(signal.SIGINT)[0] == 130


@pytest.mark.long
def test_a_halted_source_stops_nobody_else_and_a_rebaseline_mends_it(shop: Shop) -> None:
    shop.settle()
    shop.sql("crm", f"select pg_drop_replication_slot('{shop.slot('crm')}')")
    shop.sql("crm", "update account set name = 'Birch & Co' where vat_number = 'FR40303265045'")
    with shop.running() as run:
        event = run.await_event("source.halted")
        assert (event["system"], "--rebaseline crm" in event["suggestion"]) == ("crm", True)
        eventually(lambda: "source crm is halted" in run.get("/readyz")[1], "not ready")
        shop.sql("erp", "update party set credit_limit = 9000 where tax_number = 'ATU12345675'")
        eventually(lambda: shop.sql("crm", "select 1 from account where credit_limit = 9000"), "erp's change in crm")
        eventually(lambda: states(shop)["crm"] == "halted", "status to say it", lambda: states(shop))
        run.end()
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert (code, body["error"]["code"]) == (1, "run_failed")
    assert "crm is halted" in body["error"]["message"]

    code, _ = shop.call("run", "--until-idle", "--port", "0", "--rebaseline", "crm")
    assert code == 0
    crm, erp = customers(shop)
    assert crm == erp
    assert any(row[1] == "Birch & Co" for row in erp)


@pytest.mark.long
def test_a_bug_stops_the_process_and_says_so(shop: Shop) -> None:
    shop.settle()
    shop.sql("hub", "alter table fieldwarden.record rename to elsewhere")
    shop.sql("erp", "update party set credit_limit = 9000")
    code, body = shop.call("run", "--port", "0")
    assert (code, body["error"]["code"]) == (1, "bug")
    assert "9000" not in json.dumps(body)
    Path(body["error"]["path"]).unlink()
    shop.sql("hub", "alter table fieldwarden.elsewhere rename to record")
    shop.settle()
    crm, erp = customers(shop)
    assert crm == erp, "nothing was acknowledged"


@pytest.mark.long
def test_standing_still_is_not_ready_and_a_second_signal_ends_at_once(shop: Shop) -> None:
    shop.settle()
    with shop.running("--stall-after", "1") as run:
        run.await_ready()
        with psycopg.connect(shop.hub) as blocker:
            blocker.execute("lock table fieldwarden.source")
            shop.sql("erp", "update party set credit_limit = 9000 where tax_number = 'ATU12345675'")
            eventually(lambda: "source erp has not moved" in run.get("/readyz")[1], "it to notice")
            assert run.get("/readyz")[0] == 503
            assert run.get("/livez")[0] == 200, "restarting would not help"
            run.process.send_signal(signal.SIGTERM)
            run.await_event("run.stopping")
            assert run.process.poll() is None, "the batch in hand is given its time"
            run.process.send_signal(signal.SIGTERM)
            ended(run.process)
            assert run.process.returncode == 143
    shop.settle()
    crm, erp = customers(shop)
    assert crm == erp


@pytest.mark.long
def test_deliveries_that_wait_for_a_system_to_be_read_say_which_and_why(shop: Shop) -> None:
    reached = shop.environment["CRM_DSN"]
    shop.environment["CRM_DSN"] = "postgresql://nobody@127.0.0.1:1/nowhere"
    with shop.running("--stall-after", "1") as run:
        held_up = "nothing is delivered until all rows of crm have been read: reading it is retrying"
        eventually(lambda: held_up in run.get("/readyz")[1], "not ready")
        eventually(lambda: held_up in shop.invoke("status").stdout, "status to say it")
        eventually(lambda: read(shop)["erp"] == (True, ""), "the erp to be read")
        told, why = read(shop)["crm"]
        assert (told, why.startswith("reading it is retrying: ")) == (False, True)
        run.end()
    shop.environment["CRM_DSN"] = reached
    shop.settle()
    result = shop.call_here("status")[1]["result"]
    assert [source["read"] for source in result["sources"]] == [True, True]
    assert "until all rows" not in shop.invoke("status").stdout


@pytest.mark.long
def test_a_bounded_run_does_not_wait_for_ever_for_a_system_that_nobody_reads(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.settle()
    shop.sql("hub", "update fieldwarden.source set read_at = null where name = 'crm'")
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)

    async def stuck(project: Opened) -> list[str]:
        async with sessions(project):
            watch = Watch(project, Telemetry(), lambda *_: False, lambda _: [], silence=0.1)
            looking = asyncio.create_task(watch.run())
            try:
                async with within():
                    return await watch.idle()
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

    with opened(shop.folder) as project:
        assert asyncio.run(stuck(project)) == [
            "nothing is delivered until all rows of crm have been read: it is to be read again"
        ]


def test_a_bounded_run_says_once_for_whose_pause_it_waits(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    telemetry = Telemetry()
    telemetry.connector_state("target", "erp", "busy", "erp is busy and has asked for a pause of 60 s")

    answers = iter([False, False, True])

    async def reached() -> bool:
        return next(answers)

    async def waited(project: Opened) -> list[str]:
        async with sessions(project), within():
            return await Watch(project, telemetry, lambda *_: False, lambda _: [])._await(reached)

    with opened(shop.folder) as project, capture_logs() as logs:
        assert asyncio.run(waited(project)) == []
    told = [(each["system"], each["message"]) for each in logs if each["event"] == "run.waits"]
    assert told == [("erp", "erp is busy and has asked for a pause of 60 s; the run ends after it")]


# --- what cannot start ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_port_that_is_taken(shop: Shop) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        code, body = shop.call("run", "--port", port)
    assert (code, body["error"]["code"]) == (3, "environment")
    assert port in body["error"]["message"]


def test_an_unknown_system_to_rebaseline(shop: Shop) -> None:
    code, body = shop.call("run", "--rebaseline", "cmr")
    assert (code, body["error"]["code"]) == (2, "unknown_system")


@pytest.mark.long
@pytest.mark.parametrize("words", [["run", "--port", "0"], ["status"], ["doctor"], ["audit", "verify"]])
def test_a_hub_that_cannot_be_reached(shop: Shop, words: list[str]) -> None:
    shop.environment["HUB_DSN"] = "postgresql://nobody:hunter2@127.0.0.1:1/none"
    code, body = shop.call(*words)
    assert code == 3, body
    assert "hunter2" not in json.dumps(body)


@pytest.mark.long
@pytest.mark.parametrize("words", [["run", "--port", "0"], ["status"]])
def test_a_variable_that_is_not_set(shop: Shop, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUB_DSN", raising=False)
    del shop.environment["HUB_DSN"]
    code, body = shop.call(*words)
    assert (code, body["error"]["code"]) == (3, "reference_unresolved")
    assert "HUB_DSN" in body["error"]["message"]
    assert body["error"]["path"]


@pytest.mark.long
@pytest.mark.parametrize("words", [["status"], ["deadletter", "list"], ["audit", "verify"], ["trail", "customer", "1"]])
def test_a_server_without_a_hub(shop: Shop, words: list[str]) -> None:
    code, body = shop.call(*words)
    assert (code, body["error"]["code"]) == (3, "environment")
    assert "fieldwarden run" in body["error"]["suggestion"]


def test_a_token_is_asked_for_and_the_log_is_json_whatever_strangers_send(shop: Shop) -> None:
    shop.edit("fieldwarden.yaml", "onboarding:", 'run: {token: "${env:RUN_TOKEN}"}\nonboarding:')
    shop.environment["RUN_TOKEN"] = "4d1c0ffee4d1c0ffee4d1c0ffee"
    with shop.running("--log-format", "json") as run:
        url = run.await_event("run.listening")["url"]
        assert run.get("/livez")[0] == 200
        assert [run.get(path)[0] for path in ("/readyz", "/metrics")] == [401, 401]
        for sent in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, b"GET /metrics HT"):
            with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as connection:
                connection.sendall(sent)
        request = Request(f"{url}/metrics", headers={"Authorization": f"Bearer {shop.environment['RUN_TOKEN']}"})
        with urlopen(request) as answer:
            assert answer.status == 200
        run.await_event("run.started")
        run.end()
        written = run.log.read_text()
    assert all(json.loads(line) for line in written.splitlines())
    assert shop.environment["RUN_TOKEN"] not in written
