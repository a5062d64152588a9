"""`fieldwarden backfill` over the Kafka signal channel of the real Debezium: progress, outcome, and every silence."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fieldwarden.connectors.debezium.connect.signals import read_notification
from stack.topics import read
from tests.integration.kafka_project import KafkaShop
from tests.patience import eventually

START = ("backfill", "start", "--system", "crm", "--entity", "customer")


@pytest.fixture
def shop(kafka_shop: KafkaShop) -> KafkaShop:
    """2,500 accounts and 3 contacts, none of which the connector reads by itself."""
    kafka_shop.sql("insert into account select n, 'Account ' || n, n from generate_series(1, 2500) n")
    kafka_shop.sql("insert into contact select n, n, 'c' || n || '@example.com' from generate_series(1, 3) n")
    kafka_shop.edit("systems/crm.yaml", "options: {", "options: {snapshot.mode: no_data, ")
    return kafka_shop


def told(shop: KafkaShop, table: str, count: int) -> list[int]:
    """The ids of the rows in a table's topic, which holds nothing but what was read again."""
    records = asyncio.run(read(shop.environment["KAFKA"], f"{shop.prefix}.public.{table}", count=count))
    rows = [json.loads(record.value)["payload"] for record in records]
    assert {row["source"]["snapshot"] for row in rows} == {"incremental"}
    return sorted(row["after"]["id"] for row in rows)


def test_all_tables_of_an_entity_are_read_again_with_truthful_progress(shop: KafkaShop) -> None:
    assert shop.call("connector", "register")[0] == 0
    result = shop.invoke(*START, "--json")
    body = json.loads(result.stdout.splitlines()[-1])
    assert result.exit_code == 0, body
    assert body["result"]["tables"] == [
        {"table": "public.account", "state": "completed", "rows": 2500},
        {"table": "public.contact", "state": "completed", "rows": 3},
    ]
    assert "public.account: 2,500 of 2,500 rows" in result.stderr
    assert set(told(shop, "account", 2500)) == set(range(1, 2501))
    assert set(told(shop, "contact", 3)) == {1, 2, 3}

    code, body = shop.call("backfill", "status", "--system", "crm")
    assert code == 0
    found = body["result"]["backfills"]
    assert {(each["table"], each["state"]) for each in found} == {
        ("public.account", "completed"),
        ("public.contact", "completed"),
    }
    assert {each["backfill"] for each in found} == {found[0]["backfill"]}


def test_a_condition_narrows_it_to_rows_of_one_table(shop: KafkaShop) -> None:
    assert shop.call("connector", "register")[0] == 0
    result = shop.invoke(*START, "--where", "id between 7 and 9 or name = 'Account 2500'")
    assert result.exit_code == 0, result.output
    assert "not read again: public.contact" in result.stderr
    assert told(shop, "account", 4) == [7, 8, 9, 2500]

    code, body = shop.call(*START, "--stream", "public.contact", "--where", "email like 'c1%'")
    assert code == 0, body
    assert body["result"]["tables"] == [{"table": "public.contact", "state": "completed", "rows": 1}]
    assert told(shop, "contact", 1) == [1]


def test_without_waiting_it_is_asked_for_and_status_tells_the_rest(shop: KafkaShop) -> None:
    assert shop.call("connector", "register")[0] == 0
    code, body = shop.call(*START, "--no-wait")
    assert (code, body["error"]["code"]) == (2, "usage"), "one table after the other, or one"
    code, body = shop.call(*START, "--no-wait", "--stream", "public.contact")
    assert (code, body["result"]["tables"][0]["state"]) == (0, "sent")
    backfill = body["result"]["backfill"]

    def completed() -> bool:
        found = shop.call("backfill", "status", "--system", "crm")[1]["result"]["backfills"]
        return any(each["backfill"] == backfill and each["state"] in ("completed", "sql_exception") for each in found)

    eventually(completed, "the backfill")


def test_a_condition_that_the_database_does_not_understand_is_refused_before_anything_is_sent(shop: KafkaShop) -> None:
    assert shop.call("connector", "register")[0] == 0
    code, body = shop.call(*START, "--where", "idd > 7")
    assert (code, body["error"]["code"]) == (2, "condition_refused")
    assert "public.account has no column 'idd'" in body["error"]["message"]
    assert body["error"]["suggestion"] == "did you mean id?"
    for where in ("name = ", "true; commit; create table hacked (id int)"):
        code, body = shop.call(*START, "--where", where)
        assert (code, body["error"]["code"]) == (2, "condition_refused")
        assert "conditions are made of" in body["error"]["suggestion"]
    assert shop.sql("select to_regclass('hacked')") == [(None,)]
    assert shop.call("backfill", "status", "--system", "crm")[1]["result"]["backfills"] == []


def test_a_signal_that_is_ignored_is_a_failure_that_says_why(shop: KafkaShop) -> None:
    """The connector listens to another channel, as one does that somebody registered by hand."""
    shop.edit("systems/crm.yaml", "options: {", "options: {signal.enabled.channels: source, ")
    assert shop.call("connector", "register")[0] == 0
    code, body = shop.call(*START, "--patience", "3")
    assert (code, body["error"]["code"]) == (1, "signal_ignored")
    assert "signal.enabled.channels" in body["error"]["suggestion"]
    assert body["result"]["tables"] == [{"table": "public.account", "state": "failed", "rows": None}]


def test_a_table_that_the_connector_does_not_know(shop: KafkaShop) -> None:
    assert shop.call("connector", "register")[0] == 0
    shop.sql("alter table account rename to accounts")
    shop.edit("systems/crm.yaml", "public.contact", "public.other")
    code, body = shop.call(*START, "--stream", "public.other")
    assert (code, body["error"]["code"]) == (1, "backfill_failed")
    assert "public.other was not read again: the connector does not know the table" in body["error"]["message"]


def test_a_connector_that_does_not_run_is_not_asked(shop: KafkaShop) -> None:
    code, body = shop.call(*START)
    assert (code, body["error"]["code"]) == (1, "unknown_connector")
    assert shop.call("connector", "register")[0] == 0
    assert shop.call("connector", "pause", "crm")[0] == 0
    eventually(lambda: shop.state()["connector"]["state"] == "PAUSED", "the pause")
    code, body = shop.call(*START)
    assert (code, body["error"]["code"], body["error"]["suggestion"]) == (
        1,
        "connector_not_running",
        "fieldwarden connector resume",
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--entity", "custmer"], "unknown_name", "there is no entity 'custmer'"),
        (["--entity", "customer", "--stream", "public.acount"], "unknown_name", "crm reads no stream 'public.acount'"),
    ],
)
def test_wrong_words(shop: KafkaShop, words: list[str], code: str, message: str) -> None:
    exit_code, body = shop.call("backfill", "start", "--system", "crm", *words)
    assert (exit_code, body["error"]["code"]) == (2, code)
    assert message in body["error"]["message"]
    assert body["error"]["suggestion"].startswith("did you mean")


RECORDED: dict[str, Any] = {
    "id": "fieldwarden/0a1b2c3d/customer/public.account",
    "type": "IN_PROGRESS",
    "aggregate_type": "Incremental Snapshot",
    "additional_data": {"chunk_index": "2", "total_rows": "3000", "total_chunks": "3", "connector_name": "crm"},
    "timestamp": 1795375902946,
}


@pytest.mark.parametrize(
    "value", [RECORDED, {"schema": {"type": "struct"}, "payload": RECORDED}], ids=["plain", "schema"]
)
def test_notifications_are_read_with_and_without_a_schema(value: dict[str, Any]) -> None:
    notification = read_notification(json.dumps(value).encode())
    assert notification is not None
    assert (notification.kind, notification.total, notification.rows) == ("IN_PROGRESS", 3000, None)


@pytest.mark.parametrize("value", [None, b"", b"[]", b"\xff", b'"x"', b"{}", b'{"payload": 1}', b'{"id": 1}'])
def test_what_is_no_notification_is_passed_over(value: bytes | None) -> None:
    assert read_notification(value) is None
