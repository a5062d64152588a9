"""A value that fails its field's check: what is delivered, what people see, and what ends it."""

from __future__ import annotations

import pytest

from tests.integration.cli_project import Shop

ENTITY, CRM = "entities/customer.yaml", "systems/crm.yaml"
NAME = "  name:          {type: text}\n"
ALDER = "vat_number = 'DE811907980'"
LONG = "Alder and Sons of the Old Harbour"


def checked(shop: Shop, rule: str) -> None:
    shop.edit(ENTITY, NAME, NAME.replace("type: text", f"type: text, {rule}"))


def names(shop: Shop) -> tuple[str, str]:
    ((crm,),) = shop.sql("crm", f"select name from account where {ALDER}")
    ((erp,),) = shop.sql("erp", "select name from party where id = 4000")
    return crm, erp


@pytest.mark.long
def test_it_waits_alone_with_its_reason_until_it_is_mended(shop: Shop) -> None:
    checked(shop, "check: {length: 20}")
    shop.settle()
    _, before = names(shop)
    shop.sql("crm", f"update account set name = '{LONG}', email = 'new@alder.example' where {ALDER}")
    shop.settle()
    assert names(shop) == (LONG, before)
    assert shop.sql("erp", "select email from party where id = 4000") == [("new@alder.example",)]
    told = shop.invoke("status").output
    assert "name: it is longer than 20 characters" in told
    assert LONG not in told
    code, body = shop.call_here("check", "--list")
    assert (code, body["result"]["why"]) == (0, {"parked": 1}), "it differs for a reason"
    shop.settle()
    assert names(shop) == (LONG, before), "a restart tries nothing anew"
    shop.sql("crm", f"update account set name = 'Alder' where {ALDER}")
    shop.settle()
    assert names(shop) == ("Alder", "Alder")
    shop.holds_what_is_golden()


@pytest.mark.long
def test_another_check_is_a_change_of_rules_that_lets_it_go(shop: Shop) -> None:
    checked(shop, "check: {length: 20}")
    shop.sql("crm", f"update account set name = '{LONG}' where {ALDER}")
    shop.settle()
    assert names(shop)[1] != LONG
    shop.edit(ENTITY, "{length: 20}", "{length: 80}")
    assert shop.call_here("plan")[1]["result"]["differences"]
    assert shop.call_here("apply")[0] == 0
    shop.settle()
    assert names(shop) == (LONG, LONG)


def test_what_is_never_accepted_is_put_back_and_told(shop: Shop) -> None:
    checked(shop, "check: {length: 20}, on_invalid: refuse")
    shop.settle()
    before = names(shop)
    shop.sql("crm", f"update account set name = '{LONG}', email = 'new@alder.example' where {ALDER}")
    shop.settle()
    assert names(shop) == before
    assert shop.sql("erp", "select email from party where id = 4000") == [("new@alder.example",)]
    trail = shop.invoke("trail", "customer", "DE811907980").output
    assert "it is longer than 20 characters" in trail
    assert shop.call_here("audit", "verify")[0] == 0
    shop.holds_what_is_golden()
