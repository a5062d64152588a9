"""Who wins, field by field: the rules of tests.builders.CUSTOMER as a table of cases."""

from __future__ import annotations

from typing import Any

import pytest

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.contribution import begin, hear
from fieldwarden.engine.deciding.resolve import choose, decide, retired
from fieldwarden.engine.deciding.unrivalled import Unrivalled
from fieldwarden.engine.ledger.entries import Decision
from fieldwarden.engine.record import Contribution, Record
from tests.builders import ACCOUNT, ADDRESS, PARTY, SUBSCRIBER, rulebook, said

CUSTOMER = rulebook().entities["customer"]
ROOTS = {("crm", "public.account"), ("billing", "public.customer"), ("erp", "public.party")}


def row(ref: RowRef, position: int = 1, at: int | None = None, *, gone: bool = False, **fields: Value) -> Contribution:
    change = said(ref, position, at, **fields)
    change.at = at
    contribution = begin(change)
    hear(contribution, change, frozenset(), {})
    if gone:
        contribution.deleted = f"{position + 1:08}"
    return contribution


def winner(unit: str, *rows: Contribution) -> str | None:
    found = choose(next(u for u in CUSTOMER.units if u.name == unit), rows)
    return found.system if found else None


CASES: list[tuple[str, str, list[Contribution], str | None]] = [
    ("the owner stands", "name", [row(ACCOUNT, name="A"), row(PARTY, name="B")], "erp"),
    ("an owner's null stands", "name", [row(ACCOUNT, name="A"), row(PARTY, name=None)], "erp"),
    (
        "without the owner's word, its seeds supply it",
        "name",
        [row(ACCOUNT, name="A"), row(SUBSCRIBER, name="B")],
        "crm",
    ),
    (
        "the owner's row is gone: the runner-up",
        "name",
        [row(ACCOUNT, name="A"), row(PARTY, gone=True, name="B")],
        "crm",
    ),
    ("a protected field waits for its owner", "terms", [row(ACCOUNT, terms="NET30")], None),
    ("a seed may come first", "credit_limit", [row(SUBSCRIBER, credit_limit="5.00")], "billing"),
    ("who may not seed does not", "credit_limit", [row(ACCOUNT, credit_limit="5.00")], None),
    (
        "the owner's last word outlives its row",
        "terms",
        [row(ACCOUNT, terms="NET30"), row(PARTY, gone=True, terms="NET60")],
        "erp",
    ),
    ("priority: the first with a value", "tax_id", [row(ACCOUNT, tax_id="1"), row(SUBSCRIBER, tax_id="2")], "billing"),
    ("a null is no value", "segment", [row(ACCOUNT, segment=None), row(SUBSCRIBER, segment="big")], "billing"),
    (
        "a null competes where the system says so",
        "tax_id",
        [row(ACCOUNT, tax_id="1"), row(SUBSCRIBER, tax_id=None)],
        "billing",
    ),
    ("first_non_null never takes a null", "segment", [row(SUBSCRIBER, segment=None), row(PARTY, segment="x")], "erp"),
    ("what its only source cleared is cleared", "segment", [row(ACCOUNT, segment=None)], "crm"),
    ("recency: the newest edit", "phone", [row(ACCOUNT, at=5, phone="1"), row(SUBSCRIBER, at=9, phone="2")], "billing"),
    ("recency: a tie goes by rank", "phone", [row(ACCOUNT, at=5, phone="1"), row(SUBSCRIBER, at=5, phone="2")], "crm"),
    (
        "recency: an undated observation never beats a dated edit",
        "phone",
        [row(ACCOUNT, phone="1"), row(SUBSCRIBER, at=1, phone="2")],
        "billing",
    ),
    ("recency: outsiders do not compete", "phone", [row(PARTY, at=9, phone="1"), row(ACCOUNT, at=1, phone="2")], "crm"),
    (
        "a group: an incomplete block loses whole",
        "address",
        [row(ACCOUNT, street="A", city="B"), row(ADDRESS, street="C", city=None)],
        "crm",
    ),
    (
        "a group: what is not known is not complete",
        "address",
        [row(SUBSCRIBER, street="A"), row(ADDRESS, street="C", city="D")],
        "erp",
    ),
]


@pytest.mark.parametrize(("unit", "rows", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_who_wins(unit: str, rows: list[Contribution], expected: str | None) -> None:
    assert winner(unit, *rows) == expected
    assert winner(unit, *reversed(rows)) == expected


def decided(target: Contribution, changed: list[str], *others: Contribution, **golden: Value) -> dict[str, Any]:
    record = Record("r", "customer", 0, dict(golden), [target, *others])
    return {decision.field: decision for decision in decide(CUSTOMER, record, target, changed)}


def test_a_foreign_edit_of_a_protected_field_is_refused_and_golden_stays() -> None:
    target = row(ACCOUNT, credit_limit="9.00")
    decision = decided(target, ["credit_limit"], row(PARTY, credit_limit="5.00"), credit_limit="5.00")["credit_limit"]
    assert (decision.outcome, decision.proposed, decision.after, decision.winner) == ("refused", "9.00", "5.00", "erp")


def test_where_the_rule_asks_for_approval_it_is_held() -> None:
    decision = decided(row(ACCOUNT, terms="NET90"), ["terms"], row(PARTY, terms="NET30"), terms="NET30")["terms"]
    assert decision.outcome == "held"


def test_saying_what_already_stands_agrees() -> None:
    decision = decided(row(ACCOUNT, terms="NET30"), ["terms"], row(PARTY, terms="NET30"), terms="NET30")["terms"]
    assert decision.outcome == "agreed"


def test_a_field_that_moves_with_its_block_is_decided_too() -> None:
    found = decided(row(SUBSCRIBER, street="A", city="B"), ["street"], street="old", city="older")
    assert {name: decision.after for name, decision in found.items()} == {"street": "A", "city": "B"}


ALONE = [
    ("a new record", [row(PARTY, name="A", terms="NET30", segment=None)], {}),
    ("an edit", [row(PARTY, name="A", terms="NET30")], {"name": "old", "terms": "older", "city": "stays"}),
    ("a seed", [row(SUBSCRIBER, credit_limit="5.00")], {}),
    ("a silent row beside it", [row(PARTY, name="A"), row(ACCOUNT)], {"name": "old"}),
    ("a whole group", [row(SUBSCRIBER, street="A", city="B")], {"street": "old"}),
    ("a cleared field", [row(PARTY, name=None, terms="NET30")], {"name": "old"}),
]
NOT_ALONE = [
    ("who is not heard", [row(ACCOUNT, credit_limit="5.00")], {}),
    ("half a group", [row(SUBSCRIBER, street="A", name="x")], {}),
    ("another row that speaks", [row(PARTY, name="A"), row(ACCOUNT, phone="1")], {}),
    ("a deleted row that spoke", [row(PARTY, name="A"), row(ACCOUNT, gone=True, phone="1")], {}),
    ("what stands already", [row(PARTY, name="A", terms="NET30")], {"name": "A"}),
    ("nothing but nulls", [row(PARTY, name=None)], {}),
]


@pytest.mark.parametrize(("rows", "golden"), [case[1:] for case in ALONE], ids=[case[0] for case in ALONE])
def test_a_word_without_rivals_is_accepted_as_deciding_would(
    rows: list[Contribution], golden: dict[str, Value]
) -> None:
    slow, fast = (Record("r", "customer", 3, dict(golden), rows) for _ in range(2))
    changed = list(rows[0].fields)
    decisions = decide(CUSTOMER, slow, rows[0], changed)
    taken = Unrivalled(CUSTOMER, rows[0].system).accept(fast, rows[0], changed)
    assert taken is not None
    accepted, before = taken
    assert fast.golden == slow.golden
    assert {each.field: each for each in decisions} == {
        name: Decision(name, "accepted", value, before.get(name), value, rows[0].system)
        for name, value in accepted.items()
    }


@pytest.mark.parametrize(("rows", "golden"), [case[1:] for case in NOT_ALONE], ids=[case[0] for case in NOT_ALONE])
def test_where_more_is_to_be_weighed_nothing_is_taken(rows: list[Contribution], golden: dict[str, Value]) -> None:
    record = Record("r", "customer", 3, dict(golden), rows)
    assert Unrivalled(CUSTOMER, rows[0].system).accept(record, rows[0], list(rows[0].fields)) is None
    assert record.golden == golden


def test_what_a_row_that_is_there_again_only_carries_is_not_taken_for_its_word() -> None:
    back = row(PARTY, name="A")
    back.carried = {"segment": "big"}  # a large text that we wrote, and that did not come along with the image
    record = Record("r", "customer", 3, {"name": "old"}, [back])
    assert Unrivalled(CUSTOMER, "erp").accept(record, back, ["segment", "name"]) is None
    assert record.golden == {"name": "old"}


def test_resolving_depends_on_nothing_but_the_contributions() -> None:
    rows = [row(ACCOUNT, at=1, name="A", phone="1"), row(PARTY, name="B"), row(SUBSCRIBER, at=2, phone="2")]
    ends = []
    for golden in ({}, {"name": "stale", "phone": "stale", "terms": "stale"}):
        record = Record("r", "customer", 0, dict(golden), list(rows))
        decide(CUSTOMER, record, rows[0], list(CUSTOMER.fields))
        ends.append(record.golden)
    assert ends[0] == ends[1] == {"name": "B", "phone": "2"}


def test_only_delete_authority_retires_a_record() -> None:
    crm, erp = row(ACCOUNT, name="A"), row(PARTY, name="B")
    assert not retired(CUSTOMER, ROOTS, [crm, erp])
    assert not retired(CUSTOMER, ROOTS, [crm, row(PARTY, gone=True, name="B")])
    assert retired(CUSTOMER, ROOTS, [row(ACCOUNT, gone=True, name="A"), erp])


def test_a_record_that_no_row_stands_for_is_retired() -> None:
    assert retired(CUSTOMER, ROOTS, [row(PARTY, gone=True, name="B"), row(ADDRESS, street="A")])
