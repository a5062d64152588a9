"""The first meeting where a system is behind Debezium: never taken for whole before its connector has told all rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.kafka_project import KafkaShop


@pytest.fixture
def shop(kafka_shop: KafkaShop, make_database: Callable[..., str]) -> KafkaShop:
    """Three accounts that nobody has read, in a project whose first meeting is to be reviewed."""
    kafka_shop.environment["HUB_DSN"] = make_database()
    kafka_shop.edit("fieldwarden.yaml", "onboarding: automatic\n", "")
    kafka_shop.sql("insert into account (name, credit) select 'Account ' || n, n from generate_series(1, 3) n")
    return kafka_shop


def test_a_system_that_was_never_registered_is_named_with_what_to_do(shop: KafkaShop) -> None:
    code, body = shop.call("onboard")
    assert (code, body["error"]["code"]) == (1, "not_read")
    assert (body["result"]["complete"], body["result"]["plan"]) == (False, None)
    assert "fieldwarden connector register crm" in body["error"]["message"]
    code, body = shop.call("apply")
    assert (code, body["error"]["code"]) == (1, "not_read")


def test_what_debezium_told_is_shown_and_then_let(shop: KafkaShop) -> None:
    assert shop.call("connector", "register")[0] == 0
    code, body = shop.call("onboard")
    assert (code, body["result"]["complete"]) == (0, True), body
    (customer,) = body["result"]["entities"]
    assert customer["systems"] == [{"systems": ["crm"], "records": 3}]
    assert shop.call("apply", "--plan-hash", body["result"]["plan"])[0] == 0
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert (code, body["result"]["onboarding"]) == (0, "done")
