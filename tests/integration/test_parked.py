"""What is parked: it resolves itself once it is pointless, and one field that a target refuses holds up no other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.cli_project import Shop
from tests.patience import eventually

NEW = "insert into {} ({}, name) values ('T-1', 'Elm Works')"


def letters(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.call_here("deadletter", "list")[1]["result"]["dead_letters"]
    return found


@pytest.mark.long
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


@pytest.mark.long
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


def alder(shop: Shop, columns: str) -> tuple[Any, ...]:
    (row,) = shop.sql("crm", f"select {columns} from account where name like 'Alder%'")
    return row


@pytest.mark.long
def test_a_field_that_a_target_refuses_is_parked_and_the_others_go_on(shop: Shop) -> None:
    shop.settle()
    shop.sql("crm", "alter table account alter terms set default 'Unknown'")
    shop.sql("crm", "update account set terms = 'Unknown' where terms is null")
    shop.sql("crm", "alter table account alter terms set not null")
    shop.sql("erp", "update party set term_code = null, credit_limit = 77000 where name like 'Alder%'")
    shop.settle()
    assert alder(shop, "credit_limit::text") == ("77000.00",)
    [letter] = letters(shop)
    assert (letter["kind"], letter["system"]) == ("delivery", "crm")
    assert "payment_terms: a column that must not be null has no value" in letter["reason"]

    shop.sql("erp", "update party set credit_limit = 78000 where name like 'Alder%'")
    shop.settle()
    assert alder(shop, "credit_limit::text") == ("78000.00",), "the next edit is delivered beside it"
    assert [each["reason"] for each in letters(shop)] == [letter["reason"]]

    shop.sql("erp", "update party set term_code = 'N60' where name like 'Alder%'")
    shop.settle()
    assert letters(shop) == []
    assert alder(shop, "terms, credit_limit::text") == ("Net 60", "78000.00")


@pytest.mark.long
def test_a_person_who_has_mended_the_target_has_the_field_tried_again(shop: Shop) -> None:
    shop.settle()
    shop.sql("crm", "alter table account add constraint small check (credit_limit < 50000)")
    shop.sql("erp", "update party set credit_limit = 77000, email = 'new@alder.example' where name like 'Alder%'")
    shop.settle()
    [letter] = letters(shop)
    assert "credit_limit: a value breaks a rule of the table" in letter["reason"]
    assert alder(shop, "email, credit_limit::text") == ("new@alder.example", "25000.00")
    shop.sql("crm", "alter table account drop constraint small")
    assert shop.call_here("deadletter", "retry", "--reason", "tried", letter["id"])[0] == 0
    shop.settle()
    assert letters(shop) == []
    assert alder(shop, "credit_limit::text") == ("77000.00",)


@pytest.mark.long
def test_what_is_parked_on_the_way_is_said_by_a_bounded_run_and_by_status(shop: Shop) -> None:
    shop.settle()
    assert shop.call("run", "--until-idle", "--port", "0")[0] == 0
    shop.sql("crm", "alter table account add constraint small check (credit_limit < 50000)")
    shop.sql("erp", "update party set credit_limit = 77000 where name like 'Alder%'")
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert (code, body["error"]["code"]) == (1, "parked")
    assert "1 " in body["error"]["message"]
    assert "credit_limit: a value breaks a rule of the table (constraint small" in body["error"]["message"]
    assert shop.call("run", "--until-idle", "--port", "0")[0] == 0, "what was parked before is not news"

    code, body = shop.call_here("status", "--check")
    assert (code, body["result"]["halted"]) == (0, []), "what is parked halts nothing"
    [parked] = body["result"]["parked"]
    assert (parked["target"], "credit_limit" in parked["reason"]) == ("crm", True)
    said = shop.invoke("status").stdout
    assert "parked: customer to crm: not delivered, while the other fields are: credit_limit:" in said
    assert "fieldwarden deadletter list --kind delivery" in said


def failing(shop: Shop) -> dict[str, Any]:
    """What `status --check` says, if it fails."""
    code, body = shop.call_here("status", "--check")
    return body if code == 1 else {}


def test_status_names_a_halted_source_and_check_fails_for_it(shop: Shop) -> None:
    shop.settle()
    shop.sql("crm", "alter table account drop column terms")
    shop.sql("crm", "update account set name = name || '.'")
    with shop.running() as run:
        run.await_event("source.halted")
        body = eventually(lambda: failing(shop), "status to say it")
        assert body["result"]["halted"][0].startswith("source crm is halted: ")
        assert shop.call_here("status")[0] == 0


@pytest.mark.long
def test_edits_that_wait_for_an_approval_are_counted(shop: Shop) -> None:
    shop.edit(
        "entities/customer.yaml", "owner: erp, protected: true}", "owner: erp, protected: true, approval: finance}"
    )
    shop.settle()
    shop.sql("crm", "update account set credit_limit = 999 where name like 'Alder%'")
    shop.settle()
    result = shop.call_here("status")[1]["result"]
    assert (result["held_24h"], result["refused_24h"]) == (1, 0)
    assert "1 edit held for an approval in the last 24 hours" in shop.invoke("status").stdout
