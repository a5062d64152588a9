"""A field's validators: what fails one is not delivered, or never accepted, and the other fields go on."""

from __future__ import annotations

import copy
from typing import Any

from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.testing import MemoryHub
from fieldwarden.rules.changes import compare
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import CUSTOMER, raw, rulebook
from tests.unit.engine.test_letters import only, tell
from tests.unit.engine.test_loops import account, party

SHORT = {"check": {"length": 5}}


def rules(**fields: dict[str, Any]) -> Rulebook:
    document = copy.deepcopy(CUSTOMER)
    for name, more in fields.items():
        document["fields"][name] |= more
    return rulebook(document)


def crm_plan(hub: MemoryHub, book: Rulebook) -> tuple[dict[str, Any], str]:
    """What is written into the CRM's row, and what stands in the way."""
    plan = TargetPlan(book, "crm").plan(only(hub), {})
    return {name: value for write in plan.writes for name, value in write.values.items()}, plan.problem


def test_what_fails_is_not_delivered_and_the_other_fields_are() -> None:
    book, hub = rules(name=SHORT), MemoryHub()
    tell(hub, "crm", account(1, tax_id="T1", name="Ada"), rules=book)
    tell(hub, "erp", party(1, tax_id="T1", name="Adalbert", segment="A"), rules=book)
    assert only(hub).golden["name"] == "Adalbert", "it is the owner's word"
    values, problem = crm_plan(hub, book)
    assert "name" not in values
    assert values["segment"] == "A"
    assert problem == "name: it is longer than 5 characters"
    tell(hub, "erp", party(2, tax_id="T1", name="Bea", segment="A"), rules=book)
    values, problem = crm_plan(hub, book)
    assert (values["name"], problem) == ("Bea", "")


def test_a_mended_value_replaces_one_that_is_not_valid_in_the_target_itself() -> None:
    book, hub = rules(name=SHORT), MemoryHub()
    tell(hub, "crm", account(1, tax_id="T1", name="Adalbert"), rules=book)
    tell(hub, "erp", party(1, tax_id="T1", name="Bea"), rules=book)
    values, problem = crm_plan(hub, book)
    assert (values["name"], problem) == ("Bea", "")


def test_a_group_is_delivered_whole_or_not_at_all() -> None:
    book, hub = rules(city=SHORT), MemoryHub()
    tell(hub, "crm", account(1, tax_id="T1", street="A", city="B"), rules=book)
    rows = {"id": "B-1", "ext": None, "tax_id": "T1", "street": "Main", "city": "Amsterdam"}
    tell(
        hub, "billing", raw("public.customer", "update", 1, **{**dict.fromkeys(CUSTOMER["fields"]), **rows}), rules=book
    )
    values, problem = crm_plan(hub, book)
    assert not values.keys() & {"street", "city"}
    assert problem == "city: it is longer than 5 characters"


def test_what_is_refused_never_becomes_golden_and_is_corrected() -> None:
    book, hub = rules(name={**SHORT, "on_invalid": "refuse"}), MemoryHub()
    tell(hub, "erp", party(1, tax_id="T1", name="Ada"), rules=book)
    tell(hub, "crm", account(1, tax_id="T1", name="Ada"), rules=book)
    tell(hub, "erp", party(2, tax_id="T1", name="Adalbert", segment="A"), rules=book)
    assert only(hub).golden["name"] == "Ada"
    assert only(hub).golden["segment"] == "A"
    [write] = TargetPlan(book, "erp").plan(only(hub), {}).writes
    assert write.values == {"name": "Ada"}
    assert crm_plan(hub, book)[1] == ""


def test_what_is_refused_and_has_nothing_to_be_put_back_to_is_left() -> None:
    book, hub = rules(name={**SHORT, "on_invalid": "refuse"}), MemoryHub()
    tell(hub, "erp", party(1, tax_id="T1", name="Adalbert"), rules=book)
    assert "name" not in only(hub).golden
    assert TargetPlan(book, "erp").plan(only(hub), {}).writes == []
    tell(hub, "erp", party(2, tax_id="T1", name="Bea"), rules=book)
    assert only(hub).golden["name"] == "Bea"


def test_another_check_touches_its_records_and_another_refusal_has_the_rows_read() -> None:
    parked = compare(rules(), rules(name=SHORT))
    assert parked.entities == {"customer"}
    assert parked.reading == ()
    refused = compare(rules(name=SHORT), rules(name={**SHORT, "on_invalid": "refuse"}))
    assert {each.fields for each in refused.reading} == {("name",)}
