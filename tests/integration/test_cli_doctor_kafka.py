"""`doctor` on a system that Debezium reads: the broker, Connect, the connector as it is, the topics as they are."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from stack.connectors import postgres_source, register
from stack.topics import create_topics, read
from tests.integration.kafka_project import KafkaShop
from tests.patience import eventually

Check = dict[str, Any]


@pytest.fixture
def shop(kafka_shop: KafkaShop, database: str) -> KafkaShop:
    kafka_shop.environment["HUB_DSN"] = database
    return kafka_shop


def doctor(shop: KafkaShop) -> tuple[int, list[Check]]:
    code, body = shop.call("doctor")
    checks: list[Check] = body["result"]["checks"]
    return code, [check for check in checks if check["about"] == "crm"]


def of(checks: list[Check], level: str, subject: str = "") -> list[Check]:
    return [check for check in checks if check["level"] == level and subject in ("", check["subject"])]


def await_account(shop: KafkaShop) -> None:
    asyncio.run(read(shop.environment["KAFKA"], f"{shop.prefix}.public.account", count=1))


def test_before_and_after_registering(shop: KafkaShop) -> None:
    code, checks = doctor(shop)
    assert code == 3
    (missing,) = of(checks, "error", "connector")
    assert f"has no connector {shop.prefix}" in missing["message"]
    assert missing["suggestion"] == "fieldwarden connector register crm"
    (none,) = of(checks, "error", "topics")
    assert none["message"] == f"no topic begins with {shop.prefix}."
    assert of(checks, "ok", "kafka")

    shop.sql("insert into account values (1, 'Acme', 10)")
    assert shop.call("connector", "register")[0] == 0
    await_account(shop)
    code, checks = doctor(shop)
    assert code == 0, of(checks, "error")
    assert {check["message"] for check in of(checks, "warning")} == {
        f"there is no topic {shop.prefix}.public.contact: no row of the table has been told yet",
        "crm is entered as postgres, a superuser: nothing there would stop a write outside the rules",
    }
    assert len(of(checks, "warning")) == 2, "each is said once"
    assert {check["subject"] for check in of(checks, "ok")} >= {"kafka", "connector", "topic", "table", "wal_level"}
    assert not {"slot", "publication", "replication"} & {check["subject"] for check in checks}, "Debezium's business"

    shop.sql("alter table account drop column credit")
    code, checks = doctor(shop)
    assert any("has no column credit" in check["message"] for check in of(checks, "error", "column")), (
        "the table's half"
    )


def test_a_connector_that_somebody_made_by_hand(shop: KafkaShop) -> None:
    """Money as binary floating point, a key that is not the table's, one table left out, and the silent defaults."""
    shop.sql("insert into account values (1, 'Acme', 10)")
    made = postgres_source(
        shop.dsn,
        prefix=shop.prefix,
        tables="public.account",
        decimal__handling__mode="double",
        message__key__columns="public.account:name",
    )
    register(shop.connect_url, shop.prefix, made)
    await_account(shop)
    code, checks = doctor(shop)
    assert code == 2, "what is wrong is what was said to Debezium, not the environment"
    (money,) = of(checks, "error", "option")
    assert "customer.credit would pass through binary floating point" in money["message"]
    assert "decimal.handling.mode: string" in money["suggestion"]
    (left_out,) = of(checks, "error", "connector")
    assert left_out["message"] == "the registered connector leaves public.contact out"
    assert left_out["path"].startswith("systems/crm.yaml:17:")
    (key,) = of(checks, "error", "topic")
    assert "have the key name, but the mapping's key is id" in key["message"]
    risky = [check["suggestion"].split(":")[0].removeprefix("set ") for check in of(checks, "warning", "option")]
    assert risky == [
        "skipped.operations",
        "event.converting.failure.handling.mode",
        "slot.drop.on.stop",
        "heartbeat.interval.ms",
        "notification.enabled.channels",
        "signal.enabled.channels",
    ]


def test_topics_that_begin_otherwise(shop: KafkaShop) -> None:
    register(shop.connect_url, shop.prefix, postgres_source(shop.dsn, prefix=shop.prefix, tables="public.account"))
    shop.edit("systems/crm.yaml", f"prefix: {shop.prefix}", "prefix: elsewhere")
    code, checks = doctor(shop)
    assert code == 3
    assert any(
        f"its topics begin with {shop.prefix}, not elsewhere" in check["message"] for check in of(checks, "error")
    )
    assert of(checks, "error", "topics")


def test_a_failed_task_is_named(shop: KafkaShop) -> None:
    shop.edit("systems/crm.yaml", "options: {", "options: {slot.max.retries: 0, errors.max.retries: 0, ")
    assert shop.call("connector", "register")[0] == 0
    shop.allow_connections(False)
    eventually(lambda: shop.state()["tasks"][0]["state"] == "FAILED", "the task's failure")
    code, checks = doctor(shop)
    assert code == 3
    (failed,) = of(checks, "error", "connector")
    assert "is RUNNING, but its task has failed: " in failed["message"]
    assert "fieldwarden connector restart crm" in failed["suggestion"]
    assert of(checks, "error", "connection"), "the database itself does not answer either"


@pytest.mark.parametrize(
    ("name", "subject", "message"),
    [
        ("KAFKA", "kafka", "Kafka at 127.0.0.1:1 cannot be reached"),
        ("CONNECT", "connect", "Kafka Connect at http://127.0.0.1:1 cannot be reached"),
    ],
)
def test_what_cannot_be_reached_is_named(shop: KafkaShop, name: str, subject: str, message: str) -> None:
    shop.environment[name] = {"KAFKA": "127.0.0.1:1", "CONNECT": "http://127.0.0.1:1"}[name]
    code, checks = doctor(shop)
    assert code == 3
    (found,) = of(checks, "error", subject)
    assert message in found["message"]


@pytest.mark.parametrize(
    "security",
    ["security: ssl", "security: sasl_plaintext\n  mechanism: PLAIN\n  username: me\n  password: ${env:SECRET}"],
)
def test_a_broker_that_speaks_another_protocol(shop: KafkaShop, security: str) -> None:
    shop.environment["SECRET"] = "hunter2"
    shop.edit("fieldwarden.yaml", "  connect:", f"  {security}\n  connect:")
    code, checks = doctor(shop)
    assert code == 3
    (found,) = of(checks, "error", "kafka")
    assert "check kafka: " in found["suggestion"] or "is kafka: security " in found["suggestion"]
    assert "hunter2" not in json.dumps(checks)


async def _produce(bootstrap: str, topic: str, key: bytes, value: bytes) -> None:
    await create_topics(bootstrap, {topic: 2})
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    await producer.send_and_wait(topic, value, key=key, partition=0)
    await producer.stop()


@pytest.mark.parametrize("registry", ["none", "unreachable"])
def test_avro_without_a_registry_that_answers(shop: KafkaShop, registry: str) -> None:
    topic = f"{shop.prefix}.public.account"
    asyncio.run(_produce(shop.environment["KAFKA"], topic, b"\0\0\0\0\x07\x02", b"\0\0\0\0\x08\x02"))
    if registry == "unreachable":
        shop.edit("fieldwarden.yaml", "  connect:", '  registry: {url: "http://127.0.0.1:1"}\n  connect:')
    code, checks = doctor(shop)
    assert code == 3
    (found,) = of(checks, "error", "topic")
    assert ("none is named" if registry == "none" else "does not answer") in found["message"]
    assert of(checks, "note", "topic")[0]["message"].startswith(f"{topic} has 2 partitions")


def test_a_record_that_is_no_envelope(shop: KafkaShop) -> None:
    topic = f"{shop.prefix}.public.account"
    asyncio.run(_produce(shop.environment["KAFKA"], topic, b'{"id": 1}', b'{"id": 1, "name": "unwrapped"}'))
    _, checks = doctor(shop)
    assert of(checks, "warning", "topic") or of(checks, "error", "topic")
    assert "unwrapped" not in json.dumps(checks)
