"""Records that turn out to be one: when they are joined without a steward, and what becomes of both."""

from __future__ import annotations

import pytest

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.decider import Decider
from fieldwarden.engine.deciding.joining import contradiction, follow, join
from fieldwarden.engine.deciding.known import Known, Tally
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.resolve import roots
from fieldwarden.engine.record import Contribution, Record, Stamp
from tests.builders import ACCOUNT, ADDRESS, PARTY, SUBSCRIBER, rulebook
from tests.builders import CUSTOMER as DOCUMENT

RULES = rulebook()
ENTITY = RULES.entities["customer"]
ROOTS = roots(RULES)["customer"]
ONE, OTHER = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"


def row(ref: RowRef, deleted: str | None = None, **fields: Value) -> Contribution:
    return Contribution(*ref, "00000001", Stamp("00000001", 1), dict(fields), deleted=deleted)


def record(id: str, *rows: Contribution, **golden: Value) -> Record:
    return Record(id, "customer", 1, dict(golden), list(rows))


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (record(ONE, row(ACCOUNT), tax_id="1"), record(OTHER, row(PARTY), tax_id="1"), ""),
        (record(ONE, row(ACCOUNT), tax_id="1"), record(OTHER, row(PARTY)), ""),
        (record(ONE, row(ACCOUNT), tax_id="1"), record(OTHER, row(PARTY), tax_id="2"), "they differ in tax_id"),
        (
            record(ONE, row(PARTY), tax_id="1"),
            record(OTHER, row(RowRef("erp", "public.party", "P-2")), tax_id="1"),
            "erp has a row of its own in each",
        ),
        (
            record(ONE, row(PARTY, deleted="00000002"), tax_id="1"),
            record(OTHER, row(RowRef("erp", "public.party", "P-2")), tax_id="1"),
            "",
        ),
        (
            record(ONE, row(PARTY), row(ADDRESS), tax_id="1"),
            record(OTHER, row(RowRef("erp", "public.address", "A-2")), tax_id="1"),
            "",
        ),
    ],
    ids=["agree", "one says nothing", "a key disagrees", "a row in each", "one of them deleted", "only child rows"],
)
def test_nothing_may_contradict_it(one: Record, other: Record, why: str) -> None:
    assert contradiction(ENTITY, [one, other], ROOTS, ()) == why


TWO_KEYS = rulebook({**DOCUMENT, "identity": {"match": ["tax_id", {"phone": "phone"}]}}).entities["customer"]


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ({"tax_id": "1", "phone": "+1"}, {"tax_id": "1", "phone": "+2"}, ""),
        ({"tax_id": "1", "phone": "+1"}, {"tax_id": "2", "phone": "+1"}, "they differ in tax_id"),
        ({"tax_id": "1", "phone": "+1"}, {"phone": "+1"}, ""),
        ({"tax_id": "1", "phone": "+1"}, {"phone": "+2"}, "they differ in phone"),
    ],
    ids=["the first agrees", "the first disagrees", "one lacks the first", "only the second can be compared"],
)
def test_of_two_records_the_first_key_that_both_state_decides(
    one: dict[str, Value], other: dict[str, Value], why: str
) -> None:
    records = [record(ONE, row(ACCOUNT), **one), record(OTHER, row(PARTY), **other)]
    assert contradiction(TWO_KEYS, records, ROOTS, ()) == why


def test_what_a_steward_keeps_apart_stays_apart() -> None:
    one, other = record(ONE, row(ACCOUNT)), record(OTHER, row(PARTY))
    assert contradiction(ENTITY, [one, other], ROOTS, {frozenset({ONE, OTHER})}) == "a steward keeps them apart"


def test_the_rows_of_both_choose_the_golden_values_anew() -> None:
    one = record(ONE, row(ACCOUNT, name="Acme", phone="1"), name="Acme", phone="1")
    other = record(OTHER, row(PARTY, name="ACME Ltd", tax_id="7"), name="ACME Ltd", tax_id="7")
    done = join(ENTITY, ROOTS, one, other)
    assert one.golden == {"name": "ACME Ltd", "phone": "1", "tax_id": "7"}
    assert [(d.field, d.outcome, d.before, d.after, d.winner) for d in done.decisions] == [
        ("tax_id", "joined", None, "7", "erp"),
        ("name", "joined", "Acme", "ACME Ltd", "erp"),
    ]
    assert {(d.field, d.before, d.after) for d in done.given_up} == {("name", "ACME Ltd", None), ("tax_id", "7", None)}
    assert (other.rows, other.golden, other.retired, done.other_retired) == ([], {}, True, True)
    assert {each.ref for each in one.rows} == {ACCOUNT, PARTY}


def test_an_incomplete_record_comes_alive_with_the_rows_of_the_other() -> None:
    one = record(ONE, row(ACCOUNT, deleted="00000002", tax_id="7"), tax_id="7")
    one.retired = True
    done = join(ENTITY, ROOTS, one, record(OTHER, row(SUBSCRIBER, tax_id="7"), tax_id="7"))
    assert (one.retired, done.retired) == (True, None), "the crm has the say about that, and deleted its row"


def test_a_record_that_somebody_else_has_joined_meanwhile_is_not_joined_again() -> None:
    plans = {name: TargetPlan(RULES, name) for name in RULES.systems}
    decider = Decider(RULES, "crm", plans)
    gone = Record(OTHER, "customer", 3, {}, [], retired=True)
    known = Known(records={ONE: record(ONE, row(ACCOUNT, tax_id="7"), tax_id="7"), OTHER: gone})
    outcome = decider.decide([], known, lambda: "", Tally(), 0, 0, alike=[(ONE, OTHER)])
    assert (outcome.joined, outcome.entries) == ([], [])


def test_references_follow_to_the_record_that_goes_on() -> None:
    referring = Record("r", "invoice", 1, {"customer": OTHER}, [row(ACCOUNT, customer=OTHER, other="x")])
    moved, decisions = follow(referring, ("customer",), {OTHER: ONE})
    assert (moved, referring.golden, referring.rows[0].fields["customer"]) == (True, {"customer": ONE}, ONE)
    assert [(d.before, d.after, d.outcome) for d in decisions] == [(OTHER, ONE, "joined")]
    assert follow(referring, ("customer",), {OTHER: ONE}) == (False, [])
