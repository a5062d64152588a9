"""What a first meeting counts: who knows whom, what would be written, and that shares of it add up to the whole."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from fieldwarden.engine.change import Value
from fieldwarden.engine.checking.meeting import BY_LINK, FieldCount, Meeting, OverruledCount
from fieldwarden.engine.checking.samples import Sample
from fieldwarden.engine.record import Contribution, Record, Stamp
from tests.builders import CRM, CUSTOMER, ERP, FLAT, rulebook

STREAMS = {"crm": "public.account", "billing": "public.customer", "erp": "public.party"}


def row(system: str, key: str = "1", stream: str = "", **fields: Value) -> Contribution:
    return Contribution(system, stream or STREAMS[system], key, "1", Stamp("1", 1), dict(fields))


def record(number: int, golden: dict[str, Value], *rows: Contribution, retired: bool = False) -> Record:
    id = f"018f0000-0000-7000-8000-{number:012}"
    return Record(id, "customer", 1, golden, list(rows), retired=retired)


def met(*records: Record, into: Meeting | None = None) -> Meeting:
    meeting = into or Meeting(rulebook())
    for each in records:
        meeting.take(each, lambda: each)  # noqa: B023 (never asked)
    return meeting


def test_records_count_by_who_holds_them_and_by_the_key_they_agree_on() -> None:
    found = met(
        record(1, {"tax_id": "DE 1"}, row("crm", tax_id="DE1"), row("erp", tax_id="DE 1")),
        record(2, {"tax_id": "7"}, row("crm", tax_id="7"), row("billing", tax_id="8")),
        record(3, {"name": "A"}, row("erp", name="A")),
        record(4, {"name": "B"}, row("erp", name="B"), retired=True),
    ).entities["customer"]
    assert dict(found.systems) == {("crm", "erp"): 1, ("billing", "crm"): 1, ("erp",): 1}
    assert dict(found.keys) == {"tax_id": 1, BY_LINK: 1}


def test_a_key_in_a_child_row_is_one_that_rows_agree_on() -> None:
    both = [row("erp", "9", "public.address", tax_id="DE1"), row("erp", name="A"), row("crm", tax_id="DE1")]
    assert dict(met(record(1, {"tax_id": "DE1"}, *both)).entities["customer"].keys) == {"tax_id": 1}


def test_a_row_that_is_created_brings_its_child_rows() -> None:
    known = row("crm", name="A", city="Rome")
    found = met(record(1, {"name": "A", "city": "Rome"}, known))
    assert dict(found.rows) == {
        ("billing", "public.customer", "create"): 1,
        ("erp", "public.party", "create"): 1,
        ("erp", "public.address", "create"): 1,
    }


def test_a_value_is_counted_by_where_it_goes_and_whose_it_is() -> None:
    golden: dict[str, Value] = {"name": "New", "segment": "A"}
    erp, crm = row("erp", name="New", segment="A"), row("crm", name="Old", segment="A")
    billing = row("billing", name="New", segment=None)
    found = met(record(1, golden, erp, crm, billing)).fields
    name = found["customer", "name", "crm", "erp"]
    assert (name.changed, name.filled, name.emptied) == (1, 0, 0)
    assert name.samples == [Sample("018f0000-0000-7000-8000-000000000001", "Old", "New", "erp")]
    assert found["customer", "segment", "billing", "crm"].filled == 1


def test_what_a_system_has_no_say_in_is_overruled_and_replaced() -> None:
    rows = row("erp", terms="N30"), row("crm", terms="N60"), row("billing", terms="N30")
    assert met(record(1, {"terms": "N30"}, *rows)).overruled == {("customer", "terms", "crm"): OverruledCount(1, 0)}


def test_what_the_rule_leaves_in_place_is_overruled_and_stays() -> None:
    fields = {**CUSTOMER["fields"], "terms": {**CUSTOMER["fields"]["terms"], "on_reject": "leave"}}
    rows = row("erp", terms="N30"), row("crm", terms="N60")
    found = met(record(1, {"terms": "N30"}, *rows), into=Meeting(rulebook({**CUSTOMER, "fields": fields})))
    assert found.overruled == {("customer", "terms", "crm"): OverruledCount(0, 1)}
    assert ("customer", "terms", "crm", "erp") not in found.fields


def test_what_nobody_with_a_say_has_said_anything_of_stays() -> None:
    document = copy.deepcopy(ERP)
    document["streams"]["public.party"]["create"] = False
    found = met(record(1, {"name": "A"}, row("crm", name="A", terms="N60")), into=Meeting(rulebook(erp=document)))
    assert found.overruled == {("customer", "terms", "crm"): OverruledCount(0, 1)}
    assert found.rows["crm", "public.account", "update"] == 0


@pytest.mark.parametrize("on_reject", ["correct", "leave"])
def test_it_is_emptied_once_the_owner_has_a_row_that_says_nothing_there(on_reject: str) -> None:
    fields = {**CUSTOMER["fields"], "terms": {**CUSTOMER["fields"]["terms"], "on_reject": on_reject}}
    rules = rulebook({**CUSTOMER, "fields": fields})
    found = met(record(1, {"name": "A"}, row("crm", name="A", terms="N60")), into=Meeting(rules))
    assert found.rows["erp", "public.party", "create"] == 1
    emptied = on_reject == "correct"
    assert found.overruled == {("customer", "terms", "crm"): OverruledCount(emptied, not emptied)}
    assert found.rows["crm", "public.account", "update"] == emptied
    count = found.fields.get(("customer", "terms", "crm", "erp"), FieldCount())
    assert (count.changed, count.emptied) == (emptied, emptied)


def test_a_value_that_cannot_be_written_stays_and_no_row_is_written_for_it_alone() -> None:
    fields = {**CUSTOMER["fields"], "terms": {**CUSTOMER["fields"]["terms"], "check": [{"length": 3}]}}
    rules = rulebook({**CUSTOMER, "fields": fields}, crm={**CRM, "streams": {"public.account": FLAT}})
    rows = row("erp", terms="N1234"), row("crm", terms="N60")
    found = met(record(1, {"terms": "N1234"}, *rows), into=Meeting(rules))
    assert found.unfit["customer", "terms", "crm"] == 1
    assert found.overruled == {("customer", "terms", "crm"): OverruledCount(0, 1)}
    assert found.rows["crm", "public.account", "update"] == 0
    assert ("customer", "terms", "crm", "erp") not in found.fields


@pytest.mark.parametrize(
    "stream", [{"public.address": {"first_by": ["sequence", "id"]}}, {"public.party": {"where": "active"}}]
)
def test_child_rows_that_do_not_speak_are_not_overruled(stream: dict[str, Any]) -> None:
    """Of several only the first does, and none whose parent is excluded: what `choose` does not hear."""
    document = copy.deepcopy(ERP)
    for name, more in stream.items():
        document["streams"][name] |= more
    limit = {"type": "text", "owner": "crm", "protected": True}
    entity = {**CUSTOMER, "fields": {**CUSTOMER["fields"], "street": limit, "city": limit}, "groups": {}}
    rules = rulebook(entity, erp=document)
    party = row("erp", name="A")
    if "public.party" in stream:
        party.deleted, silent = "2", row("erp", "9", "public.address", city="Oslo")
        rows = [party, silent]
    else:
        one, silent = (row("erp", key, "public.address", city=key) for key in ("Bonn", "Oslo"))
        one.order, silent.order = ("n1", "ta"), ("n2", "tb")
        rows = [party, silent, one]
    found = met(record(1, {"name": "A", "city": "Rome"}, row("crm", city="Rome"), *rows), into=Meeting(rules))
    counts = found.overruled.get(("customer", "city", "erp"), OverruledCount())
    assert counts == (OverruledCount() if "public.party" in stream else OverruledCount(1, 0))


def test_what_fails_a_check_is_counted_once_a_row() -> None:
    entity = {**CUSTOMER, "fields": {**CUSTOMER["fields"], "phone": {"type": "text", "check": [{"length": 3}]}}}
    rules = rulebook(entity, crm={**CRM, "streams": {"public.account": FLAT}})
    known = row("erp", name="A", phone="12345")
    found = met(record(1, {"name": "A", "phone": "12345"}, known), into=Meeting(rules))
    assert dict(found.unfit) == {("customer", "phone", "billing"): 1, ("customer", "phone", "crm"): 1}


def numbered(many: Sequence[int]) -> list[Record]:
    return [
        record(
            n,
            {"name": f"N{n}", "terms": "N30"},
            row("erp", str(n), name=f"N{n}", terms="N30"),
            *([row("crm", str(n), name="Old", terms="N60")] if n % 2 else []),
        )
        for n in many
    ]


def test_shares_counted_elsewhere_add_up_to_the_whole() -> None:
    whole, one = met(*numbered(range(10))), met(*numbered(range(0, 10, 3)))
    other = met(*numbered([n for n in range(10) if n % 3]), into=pickle.loads(pickle.dumps(one.empty())))
    one.add(pickle.loads(pickle.dumps(other)))
    for name in ("records", "entities", "rows", "fields", "overruled", "unfit"):
        assert getattr(one, name) == getattr(whole, name), name
