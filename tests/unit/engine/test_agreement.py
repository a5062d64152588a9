"""Whether a row agrees with its record, and why not: every reason, without a system or a hub."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fieldwarden.engine.change import RawChange, Relation, RowRef, Value
from fieldwarden.engine.checking.agreement import ROW, Judge, Noted, missing
from fieldwarden.engine.checking.seen import Seeing, Seen
from fieldwarden.engine.deciding.contribution import give_back
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import CRM, CUSTOMER, rulebook

RULES = rulebook()
DUE, WAITING, PARKED = Noted("due"), Noted("waiting"), Noted("parked", "too long")


def said(system: str, stream: str, key: str, **fields: Value) -> Contribution:
    return Contribution(system, stream, key, "1", Stamp("1", 1), dict(fields))


def party(**fields: Value) -> Contribution:
    return said("erp", "public.party", "P-1", **fields)


def account(**fields: Value) -> Contribution:
    return said("crm", "public.account", "C-1", **fields)


def record(*rows: Contribution, **golden: Value) -> Record:
    return Record("r", "customer", 1, dict(golden), list(rows))


def judge(system: str = "crm", stream: str = "public.account", rules: Rulebook = RULES) -> Judge:
    return Judge(rules, rules.systems[system].streams[stream], TargetPlan(rules, system))


def verdict(
    row: Record, seen: Seen, mark: Noted | None = None, aside: str = "", rules: Rulebook = RULES, system: str = "crm"
) -> list[tuple[str, str]]:
    stream = {"crm": "public.account", "erp": "public.party"}[system]
    return [(each.field, each.why) for each in judge(system, stream, rules).there(seen, row, mark, aside)]


def test_a_row_that_holds_what_is_golden_agrees_whatever_the_hub_believes() -> None:
    assert verdict(record(account(name="b"), name="a"), Seen("C-1", {"name": "a"})) == []
    assert verdict(record(account()), Seen("C-1", {"name": None})) == []


def test_what_the_hub_has_not_heard_of_is_unknown_until_something_is_due() -> None:
    row, seen = record(account(phone="1"), phone="1"), Seen("C-1", {"phone": "2"})
    (finding,) = judge().there(seen, row, None, "")
    assert (finding.why, finding.unheard, finding.holds, finding.golden) == ("unknown", True, "2", "1")
    assert verdict(row, seen, DUE) == [("phone", "in flight")]
    assert verdict(row, seen, PARKED) == [("phone", "parked")]
    assert verdict(row, seen, None, "no such code") == [("phone", "parked")]


@pytest.mark.parametrize(
    ("mark", "why"), [(DUE, "in flight"), (WAITING, "parked"), (PARKED, "parked"), (None, "unknown")]
)
def test_what_should_be_written_goes_by_its_mark(mark: Noted | None, why: str) -> None:
    row = record(party(name="new"), account(name="old"), name="new")
    assert verdict(row, Seen("C-1", {"name": "old"}), mark) == [("name", why)]


def test_a_golden_value_other_than_the_word_that_stands_has_no_reason() -> None:
    row = record(party(credit_limit="5.00"), credit_limit="4.00")
    assert verdict(row, Seen("P-1", {"credit_limit": "5.00"}), system="erp") == [("credit_limit", "unknown")]


def test_a_second_row_of_the_owner_is_not_written() -> None:
    row = record(party(credit_limit="5.00"), said("erp", "public.party", "P-2", credit_limit="4.00"))
    row.golden["credit_limit"] = "4.00"
    assert verdict(row, Seen("P-1", {"credit_limit": "5.00"}), system="erp") == [("credit_limit", "not deliverable")]


def test_a_refused_word_that_the_rule_leaves() -> None:
    customer: dict[str, Any] = copy.deepcopy(CUSTOMER)
    customer["fields"]["credit_limit"]["on_reject"] = "leave"
    rules = rulebook(customer)
    crm = account(credit_limit="9.00")
    row = record(party(credit_limit="5.00"), crm, credit_limit="5.00")
    crm.stamps["credit_limit"] = Stamp("2", 2)
    assert verdict(row, Seen("C-1", {"credit_limit": "9.00"}), rules=rules) == [("credit_limit", "refused and left")]


def test_what_nobody_may_say() -> None:
    row = record(account(credit_limit="9.00"))
    assert verdict(row, Seen("C-1", {"credit_limit": "9.00"})) == [("credit_limit", "not deliverable")]


def test_what_a_mapping_does_not_write() -> None:
    crm = copy.deepcopy(CRM)
    crm["streams"]["public.account"]["fields"] = {"tax_id": "tax_id", "name": {"column": "name", "write": False}}
    rules = rulebook(crm=crm)
    row = record(party(name="new"), account(name="old"), name="new")
    assert verdict(row, Seen("C-1", {"name": "old"}), rules=rules) == [("name", "not deliverable")]


def test_what_cannot_be_read_spoils_its_field_or_the_row() -> None:
    row = record(account(name="a", phone="1"), name="a", phone="1")
    assert verdict(row, Seen("C-1", {"name": "a"}, {}, {"phone": "no"})) == [("phone", "unreadable")]
    assert verdict(row, Seen("C-1", {}, {}, {ROW: "no"})) == [(ROW, "unreadable")]


def test_rows_that_the_hub_does_not_know() -> None:
    assert judge().stranger(Seen("C-9"), "").why == "unknown"
    assert judge().stranger(Seen("C-9"), "its parent is not known").why == "parked"
    assert judge().stranger(Seen("C-9", unreadable={ROW: "no key"}), "").why == "unreadable"


def test_rows_that_are_not_there() -> None:
    row = record(account(name="a"), name="a")
    for mark, aside, why in ((None, "", "unknown"), (DUE, "", "in flight"), (None, "later", "parked")):
        finding = judge().gone("C-1", row, mark, aside)
        assert finding is not None
        assert finding.why == why
    row.rows[0].deleted = "2"
    assert judge().gone("C-1", row, None, "") is None
    assert verdict(row, Seen("C-1", {"name": "a"})) == [(ROW, "unknown")]


def test_rows_of_a_retired_record_stay_where_the_mapping_keeps_them() -> None:
    row = record(account(name="a"), party(name="a"), name="b")
    row.retired = True
    assert verdict(row, Seen("C-1", {"name": "a"})) == []
    assert judge().compared(row) == ()
    assert verdict(row, Seen("P-1", {"name": "a"}), system="erp") == [(ROW, "unknown")]
    assert verdict(row, Seen("P-1", {"name": "a"}), DUE, system="erp") == [(ROW, "in flight")]


def test_records_without_a_row_where_one_should_be() -> None:
    row = record(party(name="a"), name="a")
    (finding,) = missing(TargetPlan(RULES, "crm"), row, None)
    assert (finding.stream, finding.key, finding.why) == ("public.account", "", "unknown")
    assert next(missing(TargetPlan(RULES, "crm"), row, DUE)).why == "in flight"
    row.rows.append(account(name="a"))
    assert list(missing(TargetPlan(RULES, "crm"), row, None)) == []


def test_a_row_is_read_by_its_mapping_field_by_field_if_it_must() -> None:
    crm = copy.deepcopy(CRM)
    crm["streams"]["public.account"]["where"] = "kind = 'c'"
    rules = rulebook(crm=crm)
    stream = rules.systems["crm"].streams["public.account"]
    relation = Relation(stream.name, ("id", "ext", "kind", *stream.fields), ("text",) * (3 + len(stream.fields)))
    seeing = Seeing(stream, rules.entities["customer"], relation)

    def row(kind: str, limit: str) -> RawChange:
        values = {name: "5" if name != "credit_limit" else limit for name in stream.fields}
        return RawChange(relation, "observe", ("C-1", None, kind, *values.values()), "", None)

    assert seeing(row("x", "1")) is None
    assert seeing(row("x", "much")) is None
    fine, spoilt = seeing(row("c", "1")), seeing(row("c", "much"))
    assert fine is not None
    assert spoilt is not None
    assert fine.fields["credit_limit"] == "1.00"
    assert list(spoilt.unreadable) == ["credit_limit"]
    assert "much" not in spoilt.unreadable["credit_limit"]
    assert spoilt.fields.keys() == fine.fields.keys() - {"credit_limit"}


def test_references_become_the_records_they_mean() -> None:
    known, other = RowRef("crm", "public.account", "C-1"), RowRef("crm", "public.account", "C-2")
    seen = Seen("1", {}, {"customer": known, "payer": other})
    seen.resolve({known: "r"})
    assert (seen.fields, seen.references) == ({"customer": "r"}, {"payer": other})


def test_a_value_given_back_that_is_not_written_any_more_is_said_to_be_so() -> None:
    flat = CRM["streams"]["public.account"]
    fields = {**flat["fields"], "name": {"column": "name", "write": False}}
    crm = {**CRM, "streams": {"public.account": {**flat, "fields": fields}}}
    row = account(name="b")
    give_back(row, "name", "a", None)
    (finding,) = judge(rules=rulebook(crm=crm)).there(Seen("C-1", {"name": "b"}), record(row, name="a"), None, "")
    assert finding.why == "not deliverable"
    assert "a split gave name back" in finding.words
