"""What is parked: it resolves itself once it is pointless, and one field that a target refuses holds up no other."""

from __future__ import annotations

from typing import Any

from tests.integration.cli_project import Shop

NEW = "insert into {} ({}, name) values ('T-1', 'Elm Works')"


def letters(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.call_here("deadletter", "list")[1]["result"]["dead_letters"]
    return found


def test_a_customer_entered_in_both_systems_while_nobody_looked_leaves_no_dead_letter(shop: Shop) -> None:
    shop.settle()
    for system, table, key in (("crm", "account", "vat_number"), ("erp", "party", "tax_number")):
        shop.sql(system, NEW.format(table, key))
    shop.settle()
    assert letters(shop) == []
    assert shop.sql("erp", "select count(*) from party where tax_number = 'T-1'") == [(1,)]
    assert shop.sql("crm", "select count(*) from account where vat_number = 'T-1'") == [(1,)]
    shop.sql("crm", "update account set name = 'Elm Works Ltd' where vat_number = 'T-1'")
    shop.settle()
    assert shop.sql("erp", "select name from party where tax_number = 'T-1'") == [("Elm Works Ltd",)]


def test_a_parked_delivery_is_done_once_the_record_needs_nothing_any_more(shop: Shop) -> None:
    shop.settle()
    shop.sql("crm", "alter table account add constraint plain check (email not like '%+%')")
    alder = "where name like 'Alder%'"
    shop.sql("erp", f"update party set email = 'a+b@alder.example' {alder}")
    shop.settle()
    [letter] = letters(shop)
    assert (letter["kind"], letter["system"]) == ("delivery", "crm")
    shop.sql("erp", f"update party set email = 'office@alder.example' {alder}")
    shop.settle()
    assert letters(shop) == []
