"""`fieldwarden connector` against the real Kafka Connect and the real Debezium."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer

from tests.integration.connect_server import connect_server
from tests.integration.kafka_project import KafkaShop
from tests.patience import eventually


@pytest.fixture
def shop(kafka_shop: KafkaShop) -> KafkaShop:
    return kafka_shop


def test_the_life_of_a_connector(shop: KafkaShop) -> None:
    code, body = shop.call("connector", "status")
    assert (code, body["error"]["code"], body["error"]["suggestion"]) == (
        1,
        "connector_failed",
        "fieldwarden connector register crm",
    )
    code, body = shop.call("connector", "register", "crm")
    assert code == 0, body
    (made,) = body["result"]["connectors"]
    assert (made["connector"], made["created"], made["running"]) == (shop.prefix, True, True)

    code, body = shop.call("connector", "register")
    assert (code, body["result"]["connectors"][0]["created"]) == (0, False)
    code, body = shop.call("connector", "status", "crm")
    assert code == 0
    assert [task["state"] for task in body["result"]["connectors"][0]["tasks"]] == ["RUNNING"]
    _, body = shop.call("connector", "list")
    assert {"connector": shop.prefix, "system": "crm"}.items() <= next(
        each for each in body["result"]["connectors"] if each["system"] == "crm"
    ).items()

    assert shop.call("connector", "pause", "crm")[0] == 0
    eventually(lambda: shop.state()["connector"]["state"] == "PAUSED", "the pause")
    code, body = shop.call("connector", "status")
    assert (code, body["error"]["suggestion"]) == (1, "fieldwarden connector resume crm")
    assert shop.call("connector", "resume", "crm")[0] == 0
    eventually(lambda: shop.call("connector", "status")[0] == 0, "going on")
    assert shop.call("connector", "restart", "crm", "--all")[0] == 0

    assert shop.call("connector", "delete", "crm")[0] == 2, "nobody to ask"
    result = shop.invoke("connector", "delete", "crm", "--yes")
    assert result.exit_code == 0
    assert f"pg_drop_replication_slot('{shop.prefix}')" in result.stderr
    for verb in ("show", "pause", "resume", "restart"):
        code, body = shop.call("connector", verb, "crm")
        assert (code, body["error"]["code"]) == (1, "unknown_connector"), verb
        assert body["error"]["suggestion"] == "fieldwarden connector register crm"


def test_a_running_connector_with_a_failed_task_is_no_healthy_one(shop: KafkaShop) -> None:
    """Its database goes away under it; Connect goes on saying RUNNING."""
    shop.edit("systems/crm.yaml", "options: {", "options: {slot.max.retries: 0, errors.max.retries: 0, ")
    assert shop.call("connector", "register")[0] == 0
    shop.allow_connections(False)
    eventually(lambda: shop.state()["tasks"][0]["state"] == "FAILED", "the task's failure")
    assert shop.state()["connector"]["state"] == "RUNNING"

    code, body = shop.call("connector", "status")
    (found,) = body["result"]["connectors"]
    assert (code, body["error"]["code"], found["state"], found["running"]) == (1, "connector_failed", "RUNNING", False)
    assert "the connector is RUNNING, but its task has failed" in body["error"]["message"]
    assert found["tasks"][0]["error"]
    assert "\n" not in found["tasks"][0]["error"]
    assert "fieldwarden connector restart crm" in body["error"]["suggestion"]

    code, body = shop.call("backfill", "start", "--system", "crm", "--entity", "customer")
    assert (code, body["error"]["code"]) == (1, "connector_not_running")

    shop.allow_connections(True)
    assert shop.call("connector", "restart", "crm")[0] == 0
    eventually(lambda: shop.call("connector", "status")[0] == 0, "the restart of what had failed")


async def _beat(bootstrap: str, prefix: str, seconds_ago: float) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    at = int((time.time() - seconds_ago) * 1000)
    await producer.send_and_wait(f"__debezium-heartbeat.{prefix}", b"{}", key=b"{}", timestamp_ms=at)
    await producer.stop()


def test_a_connector_that_runs_in_silence_is_no_healthy_one(shop: KafkaShop) -> None:
    """Over a closed database Debezium tries again and again, RUNNING, without an error: only heartbeats tell."""
    with connect_server() as server:
        state = {"state": "RUNNING", "worker_id": "w"}
        status = {"name": shop.prefix, "connector": state, "tasks": [{"id": 0, **state}]}
        server.answers("GET", "/connectors?expand=status", (200, {shop.prefix: {"status": status}}))
        server.answers("GET", f"/connectors/{shop.prefix}/config", (200, {"heartbeat.interval.ms": "5000"}))
        server.answers("GET", f"/connectors/{shop.prefix}/status", (200, status))
        shop.environment["CONNECT"] = server.url
        assert shop.call("connector", "status")[0] == 0, "no heartbeat yet: it may only just have begun"

        asyncio.run(_beat(shop.environment["KAFKA"], shop.prefix, 150))
        shop.allow_connections(False)
        code, body = shop.call("connector", "status")
        (found,) = body["result"]["connectors"]
        assert (code, found["state"], found["running"]) == (1, "RUNNING", False)
        assert "the connector is RUNNING, but says nothing for 2 min" in body["error"]["message"]
        assert "not currently accepting connections" in body["error"]["message"], "what keeps Debezium away, too"
        _, doctor = shop.call("doctor")
        said = [each["message"] for each in doctor["result"]["checks"] if each["subject"] == "connector"]
        assert any("is RUNNING, but has said nothing for" in message for message in said)

        asyncio.run(_beat(shop.environment["KAFKA"], shop.prefix, 1))
        assert shop.call("connector", "status")[0] == 0


def test_secrets_are_sent_and_never_shown(shop: KafkaShop) -> None:
    password = (
        shop.dsn.split("password=")[1].split(" ")[0]
        if "password=" in shop.dsn
        else shop.dsn.split(":")[2].split("@")[0]
    )
    for words in (["register", "--dry-run"], ["register"], ["show", "crm"], ["status"], ["list"]):
        for more in ([], ["--json"]):
            result = shop.invoke("connector", *words, *more)
            assert result.exit_code == 0, result.output
            assert password not in result.output, words
    _, body = shop.call("connector", "show", "crm")
    assert body["result"]["configuration"]["database.password"] == "***"
    assert body["result"]["differences"] == []


def test_a_dry_run_changes_nothing_and_shows_what_would_be_sent(shop: KafkaShop) -> None:
    code, body = shop.call("connector", "register", "--dry-run")
    assert code == 0
    sent = body["result"]["configurations"]["crm"]
    wanted = {
        "topic.prefix": shop.prefix,
        "table.include.list": r"public\.account,public\.contact",
        "decimal.handling.mode": "string",
        "value.converter.replace.null.with.default": "false",
        "max.batch.size": "1024",
    }
    assert wanted.items() <= sent.items()
    assert shop.call("connector", "show", "crm")[1]["error"]["code"] == "unknown_connector"


def test_what_differs_from_the_files_is_shown(shop: KafkaShop) -> None:
    assert shop.call("connector", "register")[0] == 0
    shop.edit("systems/crm.yaml", "max.batch.size: 1024", "max.batch.size: 1024, poll.interval.ms: 40")
    _, body = shop.call("connector", "show", "crm")
    assert body["result"]["differences"] == [{"option": "poll.interval.ms", "registered": None, "files": "40"}]


def test_connects_own_words_are_shown_key_by_key_at_their_place(shop: KafkaShop) -> None:
    shop.edit("systems/crm.yaml", "max.batch.size: 1024", "poll.interval.ms: often, snapshot.mode: nerver")
    code, body = shop.call("connector", "register")
    assert (code, body["error"]["code"]) == (2, "connector_invalid")
    assert "poll.interval.ms: " in body["error"]["message"]
    assert "snapshot.mode: " in body["error"]["message"]
    lines = body["error"]["message"].splitlines()[1:]
    assert {line.split(": ")[1] for line in lines} == {"poll.interval.ms", "snapshot.mode"}
    assert all(line.startswith("systems/crm.yaml:9:") for line in lines)
    assert shop.call("connector", "show", "crm")[1]["error"]["code"] == "unknown_connector"


def test_a_database_that_connect_cannot_reach(shop: KafkaShop) -> None:
    shop.edit("systems/crm.yaml", "prefix:", 'connect_dsn: "host=127.0.0.1 port=1 user=u dbname=d"\n  prefix:')
    code, body = shop.call("connector", "register")
    assert (code, body["error"]["code"]) == (2, "connector_invalid")
    assert "database.hostname: " in body["error"]["message"]
    assert "systems/crm.yaml:5:" in body["error"]["message"], "it is what connect_dsn says"


def test_a_plugin_that_is_not_installed(shop: KafkaShop) -> None:
    shop.edit("systems/crm.yaml", 'dsn: "${env:CRM_DSN}"', 'dsn: "mysql://u@h/d"\n  database: mysql')
    shop.edit("systems/crm.yaml", f"  slot: {shop.prefix}\n  publication: {shop.prefix}\n", "")
    shop.edit("systems/crm.yaml", "streams:", "mode: source\nstreams:")
    shop.edit("systems/crm.yaml", "    create: true\n", "")
    code, body = shop.call("connector", "register")
    assert (code, body["error"]["code"]) == (3, "environment")
    assert "has no plugin io.debezium.connector.mysql.MySqlConnector" in body["error"]["message"]


def test_wrong_words(shop: KafkaShop) -> None:
    for words in (["status", "cmr"], ["show", "cmr"], ["register", "cmr"], ["delete", "cmr", "--yes"]):
        code, body = shop.call("connector", *words)
        assert (code, body["error"]["code"], body["error"]["suggestion"]) == (2, "unknown_system", "there is crm"), (
            words
        )
    shop.edit("fieldwarden.yaml", '  connect: {url: "${env:CONNECT}"}\n', "")
    assert shop.call("connector", "status")[1]["error"]["code"] == "no_connect"
    assert shop.call("connector", "status")[0] == 2
