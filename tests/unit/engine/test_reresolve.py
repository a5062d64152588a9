"""One record under other rules: what leaves with them, whose word stands then, and that twice is once."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.reresolve import Reresolver
from fieldwarden.engine.deciding.resolve import choose
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import ACCOUNT, CUSTOMER, PARTY, rulebook


def ruled(**fields: dict[str, Any]) -> Rulebook:
    """The three systems' rulebook with other rules for some fields."""
    return rulebook({**CUSTOMER, "fields": {**CUSTOMER["fields"], **fields}})


def row(ref: RowRef, at: int, **fields: Any) -> Contribution:
    return Contribution(*ref, f"{at:08}", Stamp(f"{at:08}", at), fields)


def customer(*rows: Contribution, **golden: Any) -> Record:
    return Record("r1", "customer", 1, golden, list(rows))


def test_the_same_rules_change_nothing() -> None:
    record = customer(row(PARTY, 1, name="A"), row(ACCOUNT, 2, name="B"), name="A")
    applied = Reresolver(rulebook())(record)
    assert (applied.news, applied.stored, applied.dropped) == (False, False, [])


def test_the_new_owners_own_word_stands() -> None:
    record = customer(row(PARTY, 1, name="A"), row(ACCOUNT, 2, name="B"), name="A")
    applied = Reresolver(ruled(name={"type": "text", "owner": "crm"}))(record)
    assert [(d.field, d.before, d.after, d.winner) for d in applied.decisions] == [("name", "A", "B", "crm")]
    assert record.golden == {"name": "B"}


def test_a_value_that_was_written_into_the_new_owners_row_stands_as_its_word() -> None:
    """Case 3: the owner's other spelling was corrected long ago; its row holds the correction."""
    party = row(PARTY, 1)
    party.carried = {"name": "Corrected"}
    record = customer(party, row(ACCOUNT, 2, name="Corrected"), name="Corrected")
    rules = ruled(name={"type": "text", "owner": "erp", "protected": True})
    applied = Reresolver(rules)(record)
    assert (applied.decisions, record.golden) == ([], {"name": "Corrected"})
    stands = choose(rules.entities["customer"].unit_of["name"], record.rows)
    assert stands is not None
    assert stands.system == "erp"


def test_what_was_refused_is_put_back_where_nobody_stands_for_the_golden_value_any_more() -> None:
    """The owner's row was deleted, its last word stood, and the new rules hear only who said something else."""
    account = row(ACCOUNT, 2)
    account.void = {"phone": "refused"}
    record = customer(account, row(PARTY, 1, phone="golden"), phone="golden")
    applied = Reresolver(rulebook())(record)
    assert [(d.field, d.before, d.after) for d in applied.decisions] == [("phone", "golden", None)]
    assert account.restore == {"phone": "golden"}
    assert [each.fields for each in TargetPlan(rulebook(), "crm").differences(record)] == [("phone",)]


def test_a_field_that_left_the_rules_leaves_the_record() -> None:
    fields = {name: told for name, told in CUSTOMER["fields"].items() if name != "phone"}
    systems = rulebook().systems
    left = rulebook({**CUSTOMER, "fields": fields}, **{name: _without(name, "phone") for name in systems})
    record = customer(row(ACCOUNT, 1, name="A", phone="1"), row(PARTY, 1, name="A"), name="A", phone="1")
    applied = Reresolver(left)(record)
    assert [(d.field, d.after) for d in applied.decisions] == [("phone", None)]
    assert "phone" not in record.rows[0].fields
    assert "phone" not in record.golden


def test_an_entity_that_left_the_rules_gives_its_record_up() -> None:
    rules = rulebook({**CUSTOMER, "entity": "client"}, **{name: _of("client", name) for name in rulebook().systems})
    record = customer(row(ACCOUNT, 1, name="A"), name="A")
    applied = Reresolver(rules)(record)
    assert (record.retired, record.rows, record.golden) == (True, [], {})
    assert [tuple(ref) for ref in applied.dropped] == [tuple(ACCOUNT)]


@pytest.mark.parametrize("owner", ["crm", "erp", "billing"])
def test_twice_is_once(owner: str) -> None:
    record = customer(row(PARTY, 1, name="A"), row(ACCOUNT, 2, name="B"), name="A")
    again = Reresolver(ruled(name={"type": "text", "owner": owner}))
    again(record)
    once = copy.deepcopy(record)
    applied = again(record)
    assert (record, applied.news, applied.stored) == (once, False, False)


def test_what_was_refused_against_a_null_is_put_back_to_it_where_nobody_stands_any_more() -> None:
    """The owner had cleared the phone, and the erp's was refused: new rules leave neither of them a say."""
    refused = row(PARTY, 1)
    refused.void = {"phone": "1080"}
    record = customer(refused, row(ACCOUNT, 2, name="A"), name="A", phone=None)
    Reresolver(ruled(phone={"type": "text", "strategy": "recency", "among": ["crm", "billing"]}))(record)
    assert (record.golden, refused.restore) == ({"name": "A"}, {"phone": None})


def _without(system: str, field: str) -> dict[str, Any]:
    from tests import builders

    document = copy.deepcopy(getattr(builders, system.upper()))
    for stream in document["streams"].values():
        stream["fields"].pop(field, None)
    return dict(document)


def _of(entity: str, system: str) -> dict[str, Any]:
    from tests import builders

    document = copy.deepcopy(getattr(builders, system.upper()))
    for stream in document["streams"].values():
        stream["entity"] = entity
    return dict(document)


@pytest.mark.parametrize("owner", ["crm", "erp", "billing"])
def test_what_both_rulebooks_say_in_the_same_way_need_not_be_looked_at(owner: str) -> None:
    """Where the former rules are known, less is looked at, and the same comes of it."""
    rules = ruled(name={"type": "text", "owner": owner})
    record = customer(row(PARTY, 1, name="A", phone="1"), row(ACCOUNT, 2, name="B", phone="2"), name="A", phone="2")
    again = copy.deepcopy(record)
    whole, some = Reresolver(rules)(record), Reresolver(rules, rulebook())(again)
    assert (some._replace(chosen=whole.chosen), again) == (whole, record)
    assert [unit.name for unit, _ in some.chosen] == ["name"]
