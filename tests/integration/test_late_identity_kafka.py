"""Identity that comes late on topics: the e-mail that says who an account is stands in a topic of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stack import Stack
from tests.integration.cli_project import execute
from tests.integration.kafka_project import KafkaShop, kafka_shop
from tests.patience import eventually

ERP = """\
system: erp
connector: {kind: postgres, dsn: "${env:ERP_DSN}"}
streams:
  party: {entity: customer, key: id, external_id: fieldwarden_id, create: true, fields: {name: name, email: email}}
"""
PARTY = "create table party (id serial primary key, name text, email text, fieldwarden_id text unique)"


@pytest.fixture
def shop(
    tmp_path: Path,
    stack: Stack,
    prefix: str,
    hub_dsn: str,
    make_database: Callable[..., str],
    over_tcp: Callable[[str], str],
) -> Iterator[KafkaShop]:
    """The CRM behind Debezium, an ERP that is read directly, and a customer whom both know by her e-mail."""
    erp = make_database()
    execute(erp, PARTY)
    reached = {"HUB_DSN": hub_dsn, "KAFKA": stack.bootstrap, "CONNECT": stack.connect_url, "ERP_DSN": erp}
    with kafka_shop(tmp_path / "shop", prefix, over_tcp(make_database()), **reached) as shop:
        shop.edit("fieldwarden.yaml", "systems: [crm]", "systems: [crm, erp]")
        (shop.folder / "systems/erp.yaml").write_text(ERP)
        shop.edit("entities/customer.yaml", "fields:\n", "identity: {match: [email]}\nfields:\n")
        shop.sql("insert into account (id, name) values (1, 'Ada')")
        shop.sql("insert into contact values (1, 1, 'ada@x')")
        execute(erp, "insert into party (name, email) values ('Ada', 'ada@x')")
        assert shop.call_here("connector", "register")[0] == 0
        yield shop


def customers(shop: KafkaShop) -> list[int]:
    """In the hub, the CRM and the ERP."""
    live = "select count(*) from fieldwarden.record where not retired"
    asked = (("HUB_DSN", live), ("CRM_DSN", "select count(*) from account"), ("ERP_DSN", "select count(*) from party"))
    return [execute(shop.environment[where], question)[0][0] for where, question in asked]


def in_hub(shop: KafkaShop) -> int:
    counted: int = execute(
        shop.environment["HUB_DSN"], "select count(*) from fieldwarden.crosswalk where stream = 'public.account'"
    )[0][0]
    return counted


def settle(shop: KafkaShop) -> None:
    code, body = shop.call_here("run", "--until-idle", "--port", "0")
    assert code == 0, body


def agree(shop: KafkaShop) -> None:
    """By the systems' own words, and by ours."""
    held = "select a.name, c.email from account a left join contact c on c.account_id = a.id"
    told = execute(shop.environment["ERP_DSN"], "select name, email from party")
    assert sorted(told, key=str) == sorted(shop.sql(held), key=str)
    code, checked = shop.call_here("check", "--list")
    assert (code, checked["result"]["why"]) == (0, {})


def test_an_account_waits_for_the_row_that_says_who_it_is(shop: KafkaShop) -> None:
    shop.edit("systems/crm.yaml", "  prefix:", "  settle: 10m\n  prefix:")
    shop.edit("systems/crm.yaml", "    create: true\n", "")
    execute(shop.environment["ERP_DSN"], "insert into party (name, email) values ('Bo', 'bo@x')")
    settle(shop)
    assert customers(shop) == [2, 1, 2]
    with shop.running() as run:
        shop.sql("insert into account (id, name) values (2, 'Bo')")
        eventually(lambda: in_hub(shop) == 2, "the account")
        shop.sql("insert into contact values (2, 2, 'bo@x')")
        eventually(lambda: customers(shop)[0] == 2, "it to be the party that is there")
        assert run.end()[0] == 143
    settle(shop)
    assert customers(shop) == [2, 2, 2]
    agree(shop)


def test_one_of_whom_nothing_more_is_ever_said_waits_a_moment_only(shop: KafkaShop) -> None:
    shop.edit("systems/crm.yaml", "  prefix:", "  settle: 1s\n  prefix:")
    settle(shop)
    shop.sql("insert into account (id, name) values (2, 'Bo')")
    settle(shop)
    assert customers(shop) == [2, 2, 2]
    agree(shop)


def test_a_customer_entered_in_both_while_run_was_stopped_is_one(shop: KafkaShop) -> None:
    """Her rows wait in the topics when deliveries begin."""
    settle(shop)

    def waiting() -> int:
        status: dict[str, Any] = shop.call_here("status")[1]["result"]
        return int(next(each["lag_records"] or 0 for each in status["sources"] if each["name"] == "crm"))

    before = waiting()
    with_names = "select n, 'C' || n from generate_series(10, 400) n"
    shop.sql(f"insert into account (id, name) {with_names}")
    shop.sql("insert into contact select id, id, name || '@x' from account where id >= 10")
    shop.sql("insert into account (id, name) values (1000, 'Cy'); insert into contact values (1000, 1000, 'cy@x')")
    execute(shop.environment["ERP_DSN"], "insert into party (name, email) values ('Cy', 'cy@x')")
    eventually(lambda: waiting() >= before + 2 * 392, "Debezium to have told them")
    settle(shop)
    assert customers(shop) == [393, 393, 393]
    agree(shop)
