"""A match key's normaliser changes: by `apply`, or because the hub is from before there were any."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from psycopg import sql

from tests.integration.cli_project import Shop, execute

pytestmark = pytest.mark.long

ENTITY = "entities/customer.yaml"
MATCH = "{tax_id: tax_id(DE)}"
ALDER = "vat_number = 'DE811907980'"


def hub(shop: Shop, statement: str) -> list[tuple[Any, ...]]:
    return execute(shop.hub + "&options=-csearch_path%3Dfieldwarden", statement)


def keys(shop: Shop) -> set[str]:
    return {value for (value,) in hub(shop, "select value from match_key")}


def as_of_before(shop: Shop) -> None:
    """The hub's rulebook as an older version kept it: it says nothing of normalisers, all keys are alphanumeric."""
    [(source,)] = hub(shop, "select body from rulebook join live_rulebook using (hash)")
    content = json.loads(source)
    del content["unnamed"]
    content["entities"][0]["identity"] = {"match": ["tax_id"]}
    named = content | {
        "systems": [{key: value for key, value in each.items() if key != "connector"} for each in content["systems"]]
    }
    texts = [json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in (named, content)]
    made = sql.SQL("insert into rulebook (hash, body) values ({}, {})").format(
        hashlib.sha256(texts[0].encode()).hexdigest(), texts[1]
    )
    hub(shop, made.as_string())
    hub(shop, f"update live_rulebook set hash = '{hashlib.sha256(texts[0].encode()).hexdigest()}'")


def test_another_normaliser_is_planned_and_makes_the_match_keys_anew(shop: Shop) -> None:
    shop.settle()
    assert "811907980" in keys(shop)
    shop.edit(ENTITY, MATCH, "tax_id")
    code, plan = shop.call_here("plan", "--detailed-exitcode")
    assert code == 4, plan
    [rule] = plan["result"]["rules"]
    assert (rule["unit"], rule["before"], rule["now"]) == (
        "identity",
        "match by tax_id as tax_id(DE)",
        "match by tax_id",
    )
    code, told = shop.call_here("apply")
    assert (code, told["result"]["changed"]) == (0, 0)
    assert {"DE811907980"} == {key for key in keys(shop) if "811907980" in key}
    shop.sql("crm", "insert into account (name, vat_number) values ('Another', 'de 811907980')")
    shop.settle()
    assert hub(shop, "select count(*) from record where golden ->> 'name' = 'Another'") == [(1,)]


def test_what_differs_in_its_signs_alone_is_two_and_keeps_its_names(shop: Shop) -> None:
    """The invoices 1-11 and 11-1, and the languages C++ and C, which letters and digits alone took for one."""
    shop.edit(ENTITY, MATCH, "tax_id")
    for system, table, column in (("crm", "account", "vat_number"), ("erp", "party", "tax_number")):
        mine = {"crm": ("1-11", "C++"), "erp": ("11-1", "C")}[system]
        for number in mine:
            shop.sql(system, f"insert into {table} (name, {column}) values ('{number} of {system}', '{number}')")
    shop.settle()
    wanted = {
        (f"{number} of {system}", number)
        for system, number in (("crm", "1-11"), ("crm", "C++"), ("erp", "11-1"), ("erp", "C"))
    }
    for system, table, column in (("crm", "account", "vat_number"), ("erp", "party", "tax_number")):
        assert set(shop.sql(system, f"select name, {column} from {table} where name like '% of %'")) == wanted
    shop.holds_what_is_golden()


def test_a_hub_of_before_goes_on_with_letters_and_digits_until_the_files_are_applied(shop: Shop) -> None:
    shop.edit(ENTITY, MATCH, "{tax_id: alphanumeric}")
    shop.settle()
    as_of_before(shop)
    shop.edit(ENTITY, "{tax_id: alphanumeric}", "tax_id")
    records = "select count(*) from record"
    [(before,)] = hub(shop, records)
    shop.sql("erp", "delete from party where tax_number = 'DE811907980'")
    shop.settle()
    shop.sql("erp", "insert into party (name, tax_number) values ('Alder', 'de-811-907-980')")
    shop.settle()
    assert hub(shop, records) == [(before,)], "found by what is in the hub, as it was written there"
    assert shop.call_here("plan")[1]["result"]["differences"]
    assert shop.call_here("apply")[0] == 0
    assert "de811907980" not in keys(shop)
    assert shop.call_here("audit", "verify")[0] == 0
