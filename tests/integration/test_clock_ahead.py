"""A source whose clock is a year ahead: what is set aside of it holds up only itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.cli_project import Shop

ALDER = "name = 'Alder & Sons'"


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """The CRM dates its rows, by a clock that is right as yet."""
    shop.sql("crm", "alter table account add column changed_at timestamptz not null default now()")
    shop.sql(
        "crm",
        "create function dated() returns trigger language plpgsql as $$ begin new.changed_at := now() + (select "
        "max(ahead) from clock); return new; end $$",
    )
    shop.sql("crm", "create table clock (ahead interval not null)")
    shop.sql("crm", "insert into clock values ('0')")
    shop.sql("crm", "create trigger dated before insert or update on account for each row execute function dated()")
    shop.edit("systems/crm.yaml", "    key: id\n", "    key: id\n    changed_at: changed_at\n")
    shop.settle()
    shop.sql("crm", "update clock set ahead = '1 year'")
    return shop


def until_idle(shop: Shop) -> tuple[int, dict[str, Any]]:
    return shop.call("run", "--until-idle", "--port", "0")


def test_our_own_create_comes_back_from_a_clock_a_year_ahead(shop: Shop) -> None:
    shop.sql("erp", "insert into party (name, tax_number) values ('Elm', 'ATU99999999')")
    code, body = until_idle(shop)
    assert code == 0, body
    assert shop.sql("crm", "select count(*) from account where name = 'Elm'") == [(1,)]
    assert shop.call_here("deadletter", "list")[1]["result"]["dead_letters"] == []
    shop.holds_what_is_golden()


@pytest.mark.long
def test_what_is_set_aside_holds_up_only_itself_and_the_run_ends_and_says_so(shop: Shop) -> None:
    shop.sql("crm", f"update account set email = 'new@alder.example' where {ALDER}")
    code, body = until_idle(shop)
    assert (code, body["error"]["code"]) == (1, "parked")
    assert "lies in the future" in body["error"]["message"]
    [letter] = body["result"]["parked"]

    # Other rows, and other fields of this one, are delivered; the field that it differs in is parked with its reason.
    shop.sql("erp", "update party set email = 'new@birch.example' where name = 'Birch Foods'")
    assert until_idle(shop)[0] == 0
    assert shop.sql("crm", "select count(*) from account where email = 'new@birch.example'") == [(1,)]
    shop.sql("erp", f"update party set email = 'other@alder.example' where {ALDER}")
    code, body = until_idle(shop)
    assert (code, body["error"]["code"]) == (1, "parked")
    assert f"dead letter {letter}" in body["error"]["message"]
    assert until_idle(shop)[0] == 0, "nothing is parked anew"

    # Its next image with a right time mends it all.
    shop.sql("crm", "update clock set ahead = '0'")
    shop.sql("crm", f"update account set email = 'last@alder.example' where {ALDER}")
    code, body = until_idle(shop)
    assert code == 0, body
    assert shop.sql("erp", f"select email from party where {ALDER}") == [("last@alder.example",)]
    assert shop.call_here("deadletter", "list")[1]["result"]["dead_letters"] == []
    shop.holds_what_is_golden()
