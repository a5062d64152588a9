"""What a target lacks is derived from the record each time; what its owner protects is never in it."""

from __future__ import annotations

from typing import Any

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.ports.target import Write
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.loading import rulebook_from_documents
from tests.builders import ACCOUNT, ADDRESS, BILLING, CRM, CUSTOMER, ERP, PARTY, SUBSCRIBER, rulebook

RULES = rulebook()
GOLDEN: dict[str, Value] = {
    "tax_id": "T1",
    "name": "Acme",
    "phone": "1",
    "credit_limit": "5.00",
    "terms": "NET30",
    "street": "A",
    "city": "B",
}


def row(ref: RowRef, held: Any = None, **fields: Value) -> Contribution:
    return Contribution(*ref, "00000001", Stamp("00000001", 1), dict(fields), carried=held or {})


def plan(system: str, *rows: Contribution, rules: Any = RULES, retired: bool = False) -> list[Write]:
    record = Record("r1", "customer", 1, dict(GOLDEN), list(rows), retired=retired)
    target = TargetPlan(rules, system)
    writes = target.plan(record, {}).writes
    assert bool(writes) == target.pending(record)
    return writes


def test_a_system_that_agrees_is_left_alone() -> None:
    assert plan("billing", row(SUBSCRIBER, **GOLDEN)) == []


def test_only_what_differs_is_written_expecting_what_was_last_seen() -> None:
    [write] = plan("billing", row(SUBSCRIBER, **(GOLDEN | {"phone": "9"})))
    assert (write.operation, write.key, write.values, write.expected) == (
        "update",
        "B-1",
        {"phone": "1"},
        {"phone": "9"},
    )


def test_the_rest_of_a_block_goes_along_with_what_differs_of_it() -> None:
    """Whoever edits it meanwhile keeps the whole block (the target writes none of it then)."""
    own = {name: value for name, value in GOLDEN.items() if name not in ("street", "city")}
    [write] = plan("billing", row(ADDRESS, street="A", city="B"), row(SUBSCRIBER, {"street": "X", "city": "B"}, **own))
    assert write.values == {"street": "A", "city": "B"}
    assert write.expected == {"street": "X", "city": "B"}
    assert write.blocks == (("street", "city"),)


def test_what_stands_in_a_block_otherwise_than_we_would_write_it_does_not_go_along() -> None:
    """Else the block would be left for ever to an edit that nobody has made."""
    own = {name: value for name, value in GOLDEN.items() if name not in ("street", "city")}
    address = row(ADDRESS, street="A", city="B")
    unread = row(SUBSCRIBER, {"street": "X", "city": "B"}, **own)
    unread.unreadable = {"city": "too long"}
    [write] = plan("billing", address, unread)
    assert write.values.keys() == {"street"}

    cities = {**CUSTOMER["fields"], "city": {"type": "code(cities)"}}
    codes = {"cities": "canonical,crm,billing,erp\nB,B,0,B\n"}
    coded = rulebook_from_documents([CUSTOMER | {"fields": cities}], [CRM, BILLING, ERP], codes)
    [write] = plan("billing", address, row(SUBSCRIBER, {"street": "X", "city": "B"}, **own), rules=coded)
    assert write.values.keys() == {"street"}


def test_what_we_wrote_there_ourselves_is_what_it_holds() -> None:
    own = {name: value for name, value in GOLDEN.items() if name != "phone"}
    assert plan("billing", row(SUBSCRIBER, {"phone": "1"}, **own)) == []


def test_what_the_rule_leaves_stays_when_the_owner_carries_only_what_we_gave_it() -> None:
    """Whether its new row's echo was heard before the row was noted (and so has a time) or after."""
    terms = CUSTOMER["fields"]["terms"] | {"on_reject": "leave"}
    rules = rulebook(CUSTOMER | {"fields": CUSTOMER["fields"] | {"terms": terms}})
    crm = row(ACCOUNT, **{**GOLDEN, "terms": "N60"})
    crm.base = Stamp("00000001", None)
    for base in (Stamp("00000002", 2), Stamp("", None)):
        party = row(PARTY, {**GOLDEN, "terms": None})
        party.base = base
        record = Record("r1", "customer", 1, {**GOLDEN, "terms": None}, [crm, party])
        assert TargetPlan(rules, "crm").differences(record) == []


def test_a_record_never_seen_there_is_created_from_what_is_known() -> None:
    [write] = plan("crm", row(SUBSCRIBER, **GOLDEN))
    assert write.operation == "create"
    assert write.values == GOLDEN


def test_its_owner_is_never_given_a_protected_value_but_the_first_of_a_seeded_one() -> None:
    [write] = plan("erp", row(SUBSCRIBER, **GOLDEN))
    assert "terms" not in write.values
    assert write.values["credit_limit"] == "5.00"
    party = row(PARTY, tax_id="T1", name="Acme", phone="1", credit_limit="7.00", terms="NET60")
    assert plan("erp", party, row(ADDRESS, street="A", city="B")) == []


def test_a_child_row_is_created_once_its_parents_key_is_known() -> None:
    assert [write.stream for write in plan("erp", row(SUBSCRIBER, **GOLDEN))] == ["public.party"]
    party = row(PARTY, tax_id="T1", name="Acme", phone="1", credit_limit="5.00", terms="NET30")
    [write] = plan("erp", row(SUBSCRIBER, **GOLDEN), party)
    assert (write.stream, write.operation, write.parent_key) == ("public.address", "create", "P-1")


def test_two_child_rows_for_one_record_are_nobodys_to_overwrite() -> None:
    party = row(PARTY, tax_id="T1", name="Acme", phone="1", credit_limit="5.00", terms="NET30")
    other = RowRef("erp", "public.address", "A-2")
    assert plan("erp", party, row(ADDRESS, street="x", city="y"), row(other, street="z", city="y")) == []


def test_a_row_that_its_system_deleted_is_not_brought_back() -> None:
    gone = row(ACCOUNT, **GOLDEN)
    gone.deleted = "00000002"
    assert plan("crm", gone, row(SUBSCRIBER, **GOLDEN)) == []


def test_a_retired_record_is_deleted_only_where_the_stream_says_so() -> None:
    rows = [row(PARTY, **GOLDEN), row(SUBSCRIBER, **GOLDEN)]
    assert [write.operation for write in plan("erp", *rows, retired=True)] == ["delete"]
    assert plan("billing", *rows, retired=True) == []


def test_a_refused_word_is_left_where_the_rule_says_leave_until_the_owner_says_another() -> None:
    terms = CUSTOMER["fields"]["terms"] | {"on_reject": "leave"}
    rules = rulebook(CUSTOMER | {"fields": CUSTOMER["fields"] | {"terms": terms}})
    own = row(ACCOUNT, **(GOLDEN | {"terms": "NET90"}))
    party = row(PARTY, **GOLDEN)
    assert plan("crm", own, party, rules=rules) == []
    [corrected] = plan("crm", own, party)
    assert corrected.values == {"terms": "NET30"}
    party.stamps["terms"] = Stamp("00000009", 9)
    [followed] = plan("crm", own, party, rules=rules)
    assert followed.values == {"terms": "NET30"}


def test_a_block_that_the_rule_leaves_is_followed_whole_once_its_owner_says_a_part_of_it_anew() -> None:
    fields = CUSTOMER["fields"] | {"credit_limit": {"type": "decimal(14,2)"}, "terms": {"type": "text"}}
    policy = {"owner": "erp", "protected": True, "on_reject": "leave"}
    groups = CUSTOMER["groups"] | {"finance": {"fields": ["credit_limit", "terms"], **policy}}
    rules = rulebook(CUSTOMER | {"fields": fields, "groups": groups})
    crm = row(ACCOUNT, **{**GOLDEN, "credit_limit": "9.00", "terms": "NET90"})
    party = row(PARTY, {"terms": "NET30"}, credit_limit="6.00")
    party.stamps["credit_limit"] = Stamp("00000009", 9)
    record = Record("r1", "customer", 1, {**GOLDEN, "credit_limit": "6.00"}, [crm, party])
    [difference] = TargetPlan(rules, "crm").differences(record)
    assert set(difference.fields) == {"credit_limit", "terms"}


def test_a_row_that_we_removed_with_its_record_is_brought_back_with_it() -> None:
    gone = row(PARTY, tax_id="T1", name="Acme")
    gone.deleted, gone.removed = "00000002", True
    assert [write.operation for write in plan("erp", gone, row(SUBSCRIBER, **GOLDEN))] == ["create"]


def test_children_below_a_parent_that_is_only_read_wait_for_it() -> None:
    streams = ERP["streams"] | {
        "public.party": ERP["streams"]["public.party"] | {"create": False, "mode": "source", "on_retire": "keep"}
    }
    rules = rulebook(erp=ERP | {"streams": streams})
    assert plan("erp", row(SUBSCRIBER, **GOLDEN), rules=rules) == []
    [write] = plan("erp", row(SUBSCRIBER, **GOLDEN), row(PARTY, **GOLDEN), rules=rules)
    assert (write.stream, write.parent_key) == ("public.address", "P-1")
