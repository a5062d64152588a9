"""Several streams over one table that Debezium reads: one topic tells all of them, its own snapshot included."""

from __future__ import annotations

from typing import Any

import pytest

from stack import Stack
from tests.integration.cli_project import execute
from tests.integration.kafka_project import KafkaShop, kafka_shop
from tests.patience import eventually

EMAIL = """\
  public.contact:
    entity: customer
    parent: {public.account: account_id}
    key: id
    fields: {email: email}
"""
NAMED = """\
  email: {table: public.contact, entity: customer, parent: {public.account: account_id}, key: id,
          where: type = 'email', fields: {email: email}}
  phone: {table: contact, entity: customer, parent: {public.account: account_id}, key: id,
          where: type = 'phone', fields: {phone: email}}
"""


@pytest.fixture
def shop(tmp_path: Any, stack: Stack, prefix: str, hub_dsn: str, make_database: Any, over_tcp: Any) -> Any:
    reached = {"HUB_DSN": hub_dsn, "KAFKA": stack.bootstrap, "CONNECT": stack.connect_url}
    with kafka_shop(tmp_path / "shop", prefix, over_tcp(make_database()), **reached) as shop:
        shop.edit("systems/crm.yaml", EMAIL, NAMED)
        shop.edit("entities/customer.yaml", "  email: {type: text}\n", "  email: {type: text}\n  phone: {type: text}\n")
        yield shop


def golden(shop: KafkaShop) -> list[tuple[Any, ...]]:
    question = "select golden ->> 'email', golden ->> 'phone' from fieldwarden.record"
    return execute(shop.environment["HUB_DSN"], question)


def test_rows_pass_from_one_stream_to_the_other_through_one_topic(shop: KafkaShop) -> None:
    shop.sql("alter table contact add column type text")
    shop.sql("insert into account (id, name) values (1, 'Acme')")
    shop.sql("insert into contact values (1, 1, 'a@x', 'email'), (2, 1, '555', 'phone')")
    assert shop.call_here("connector", "register")[0] == 0
    with shop.running() as run:
        eventually(lambda: golden(shop) == [("a@x", "555")], "the first rows")
        shop.sql("delete from contact where id = 2")
        shop.sql("update contact set type = 'phone', email = '777' where id = 1")
        eventually(lambda: golden(shop) == [(None, "777")], "the row as another thing")
        assert run.end()[0] == 143
    assert shop.call_here("deadletter", "list")[1]["result"]["dead_letters"] == []
    code, checked = shop.call_here("check", "--list")
    assert (code, checked["result"]["why"]) == (0, {})
