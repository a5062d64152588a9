"""Values that cannot be read and changes set aside: what they hold up, what corrects them, and what ends them."""

from __future__ import annotations

from typing import Any

import pytest

from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.ledger.entries import EntryBody, decode
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.engine.testing import MemoryHub, ScriptedSource
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import CUSTOMER, rulebook
from tests.unit.engine.test_loops import RULES, account, address, ahead, kinds, live, party

BAD = "1.005"
"""No decimal(14,2)."""


def tell(hub: MemoryHub, system: str, *changes: RawChange, size: int = 1, rules: Rulebook = RULES) -> None:
    """Let a source go on with these changes where it stopped."""
    part = hub.partitions.get((system, LOG))
    before = [account(0)] * int(part.position or 0 if part else 0)
    live(ScriptedSource(system, [*before, *changes], size=size), hub, rules=rules)


def told(hub: MemoryHub) -> list[EntryBody]:
    return [decode(entry.body) for entry in hub.entries]


def outcomes(hub: MemoryHub, name: str) -> list[tuple[str, str]]:
    return [(body.row[0], each.outcome) for body in told(hub) for each in body.decisions if each.field == name]


def mended(hub: MemoryHub) -> int:
    return sum(body.event == "mended" for body in told(hub))


def only(hub: MemoryHub) -> Record:
    [id] = hub.records
    return hub.record(id)


def row(record: Record, system: str) -> Contribution:
    return next(each for each in record.rows if each.system == system)


def echo(position: int, **columns: Any) -> RawChange:
    change = account(position, **columns)
    change.echo = True
    return change


ERP: dict[str, Any] = {"tax_id": "T1", "name": "Acme", "credit_limit": "25000"}


@pytest.fixture
def hub() -> MemoryHub:
    """One customer, known to the ERP, which owns its limit, and to the CRM."""
    hub = MemoryHub()
    tell(hub, "erp", party(1, **ERP))
    tell(hub, "crm", account(1, **ERP))
    assert only(hub).golden["credit_limit"] == "25000.00"
    return hub


def test_an_owners_value_that_cannot_be_read_leaves_golden_as_it_was_and_holds_up_nothing(hub: MemoryHub) -> None:
    tell(hub, "erp", party(2, **(ERP | {"credit_limit": BAD, "name": "Acme AG"})))
    assert only(hub).golden["credit_limit"] == "25000.00"
    assert only(hub).golden["name"] == "Acme AG"
    assert outcomes(hub, "credit_limit")[-1] == ("erp", "unreadable")
    assert kinds(hub) == ["unreadable"]
    assert "credit_limit" in row(only(hub), "erp").unreadable
    erp = TargetPlan(RULES, "erp").plan(only(hub), {})
    assert erp.writes == [], "nobody writes over what its owner typed there"


def test_the_next_readable_word_mends_it_and_the_letter_resolves_itself(hub: MemoryHub) -> None:
    tell(hub, "erp", party(2, **(ERP | {"credit_limit": BAD})))
    tell(hub, "erp", party(3, **(ERP | {"credit_limit": "1000"})))
    assert only(hub).golden["credit_limit"] == "1000.00"
    assert row(only(hub), "erp").unreadable == {}
    assert kinds(hub) == []
    assert mended(hub) == 1


def test_the_value_that_it_was_before_mends_it_too(hub: MemoryHub) -> None:
    tell(hub, "erp", party(2, **(ERP | {"credit_limit": BAD})), party(3, **ERP))
    assert row(only(hub), "erp").unreadable == {}
    assert outcomes(hub, "credit_limit")[-2:] == [("erp", "unreadable"), ("erp", "agreed")]
    assert kinds(hub) == []


def test_in_one_batch_nothing_is_left_of_it(hub: MemoryHub) -> None:
    tell(hub, "erp", party(2, **(ERP | {"credit_limit": BAD})), party(3, **ERP), size=2)
    assert kinds(hub) == []
    assert mended(hub) == 0, "no letter was ever seen"


def test_a_word_that_does_not_tell_of_the_field_mends_nothing(hub: MemoryHub) -> None:
    tell(hub, "erp", party(2, **(ERP | {"credit_limit": BAD})))
    tell(hub, "erp", party(3, **(ERP | {"credit_limit": UNKNOWN, "name": "Acme AG"})))
    assert only(hub).golden["name"] == "Acme AG"
    assert "credit_limit" in row(only(hub), "erp").unreadable
    assert kinds(hub) == ["unreadable"]
    tell(hub, "erp", party(4, **(ERP | {"credit_limit": BAD})))
    assert kinds(hub) == ["unreadable"], "one letter, with the newest word"
    assert [kept.position for kept in hub.set_aside.values()] == ["00000004"]


def test_an_older_readable_word_that_comes_late_does_not_mend_it(hub: MemoryHub) -> None:
    changes = [party(5, **(ERP | {"credit_limit": BAD})), party(4, **(ERP | {"credit_limit": "7"}))]
    tell(hub, "erp", *changes)
    assert only(hub).golden["credit_limit"] == "25000.00"
    assert kinds(hub) == ["unreadable"]


def test_tried_again_under_mended_rules_the_very_same_word_can_be_read(hub: MemoryHub) -> None:
    tell(hub, "erp", party(2, **(ERP | {"credit_limit": BAD})))
    hub.released |= set(hub.set_aside)
    tell(hub, "erp")
    assert kinds(hub) == ["unreadable"], "still not"
    fields = CUSTOMER["fields"] | {"credit_limit": CUSTOMER["fields"]["credit_limit"] | {"type": "decimal(14,3)"}}
    hub.released |= set(hub.set_aside)
    tell(hub, "erp", rules=rulebook(CUSTOMER | {"fields": fields}))
    assert only(hub).golden["credit_limit"] == "1.005"
    assert kinds(hub) == []


def test_a_row_that_is_deleted_has_no_letter(hub: MemoryHub) -> None:
    gone = party(3)
    gone.operation = "delete"
    tell(hub, "erp", party(2, **(ERP | {"credit_limit": BAD})), gone)
    assert kinds(hub) == []
    assert row(only(hub), "erp").unreadable == {}
    assert only(hub).golden["credit_limit"] == "25000.00"


def test_where_a_system_has_no_say_it_is_refused_and_corrected_and_the_other_fields_flow(hub: MemoryHub) -> None:
    tell(hub, "crm", account(2, **(ERP | {"credit_limit": BAD, "phone": "1"})))
    assert only(hub).golden["phone"] == "1"
    assert outcomes(hub, "credit_limit")[-1] == ("crm", "refused")
    assert kinds(hub) == [], "no person is needed"
    [write] = TargetPlan(RULES, "crm").plan(only(hub), {}).writes
    assert write.values == {"credit_limit": "25000.00"}
    assert write.unguarded == {"credit_limit"}
    assert write.expected == {}

    tell(hub, "crm", echo(3, **(ERP | {"phone": "1"})))
    assert row(only(hub), "crm").unreadable == {}
    assert TargetPlan(RULES, "crm").plan(only(hub), {}).writes == []


def test_said_again_before_it_is_corrected_it_is_decided_once(hub: MemoryHub) -> None:
    bad = ERP | {"credit_limit": BAD}
    tell(hub, "crm", account(2, **bad), account(3, **(bad | {"phone": "1"})))
    assert outcomes(hub, "credit_limit").count(("crm", "refused")) == 1


def test_what_the_rule_leaves_in_place_is_left_unread() -> None:
    limit = CUSTOMER["fields"]["credit_limit"] | {"on_reject": "leave"}
    rules = rulebook(CUSTOMER | {"fields": CUSTOMER["fields"] | {"credit_limit": limit}})
    hub = MemoryHub()
    tell(hub, "erp", party(1, **ERP), rules=rules)
    tell(hub, "crm", account(1, **(ERP | {"credit_limit": BAD})), rules=rules)
    assert TargetPlan(rules, "crm").plan(only(hub), {}).writes == []


def test_a_block_with_a_part_that_cannot_be_read_is_not_half_taken() -> None:
    city = CUSTOMER["fields"] | {"city": {"type": "decimal(5,0)"}}
    rules = rulebook(CUSTOMER | {"fields": city})
    hub = MemoryHub()
    tell(hub, "crm", account(1, tax_id="T1", street="Main St", city="1010"), rules=rules)
    tell(hub, "crm", account(2, tax_id="T1", street="High St", city="x", phone="1"), rules=rules)
    assert (only(hub).golden["street"], only(hub).golden["city"], only(hub).golden["phone"]) == ("Main St", "1010", "1")
    tell(hub, "crm", account(3, tax_id="T1", street="High St", city="1020", phone="1"), rules=rules)
    assert (only(hub).golden["street"], only(hub).golden["city"]) == ("High St", "1020")
    assert kinds(hub) == []


def test_a_new_row_whose_match_key_cannot_be_read_begins_no_second_record(hub: MemoryHub) -> None:
    tax = CUSTOMER["fields"] | {"tax_id": CUSTOMER["fields"]["tax_id"] | {"type": "decimal(5,0)"}}
    rules = rulebook(CUSTOMER | {"fields": tax, "identity": {"match": ["tax_id"]}})
    hub = MemoryHub()
    tell(hub, "crm", account(1, tax_id="x"), rules=rules)
    assert kinds(hub) == ["data"]
    assert not hub.records
    tell(hub, "crm", account(2, tax_id="7"), rules=rules)
    assert kinds(hub) == []
    assert only(hub).golden["tax_id"] == "7"
    assert mended(hub) == 1


# --- changes that are set aside whole ------------------------------------------------------------------------------


def test_a_newer_image_of_the_whole_row_makes_a_dead_letter_pointless() -> None:
    hub = MemoryHub()
    tell(hub, "crm", account(1, tax_id="T1"), ahead(2, tax_id="T1", name="year 33658"))
    tell(hub, "crm", account(3, tax_id="T1", name="UNKNOWN", phone=UNKNOWN))
    assert kinds(hub) == ["data", "behind"]
    tell(hub, "crm", account(4, tax_id="T1", name="Acme"))
    assert kinds(hub) == []
    assert only(hub).golden["name"] == "Acme"
    [resolved] = [body for body in told(hub) if body.event == "mended"]
    assert len(resolved.was.split(", ")) == 2


def test_a_change_that_waits_and_is_told_again_is_no_second_one() -> None:
    hub = MemoryHub()
    for _ in range(2):
        live(ScriptedSource("erp", [address(1, "P-1")], rewind=1), hub)
    assert kinds(hub) == ["parent"]


def test_a_row_waits_no_more_for_one_that_it_does_not_refer_to_any_more() -> None:
    hub = MemoryHub()
    tell(hub, "erp", party(1, tax_id="T1"), address(2, "P-9"), address(3, "P-1"))
    assert kinds(hub) == []
    assert only(hub).golden["city"] == "Rome"


def test_what_waits_for_the_same_row_goes_on_in_its_order() -> None:
    hub = MemoryHub()
    tell(hub, "erp", address(1, "P-1"), address(2, "P-1"), party(3, tax_id="T1"))
    assert kinds(hub) == []
    assert mended(hub) == 0
    assert only(hub).golden["city"] == "Rome"


def test_a_change_of_key_is_never_made_pointless() -> None:
    moved = ahead(2, "C-9", tax_id="T1", name="Acme")
    moved.old_values = account(1).values
    hub = MemoryHub()
    tell(hub, "crm", account(1, tax_id="T1"), moved, account(3, "C-9", tax_id="T1"))
    assert kinds(hub) == ["data", "behind"]


def test_an_echo_has_no_clock(hub: MemoryHub) -> None:
    change = echo(2, **(ERP | {"phone": "1"}))
    change.at = 10**15
    tell(hub, "crm", change)
    assert kinds(hub) == []
    stamps = row(only(hub), "crm").stamps.values()
    assert all((stamp.at or 0) < 10**15 for stamp in stamps)


def test_what_is_behind_a_discarded_letter_goes_on() -> None:
    hub = MemoryHub()
    partial = account(2, tax_id="T1", name="Acme", phone=UNKNOWN)
    tell(hub, "crm", ahead(1, tax_id="T1"), partial)
    assert kinds(hub) == ["data", "behind"]
    del hub.set_aside[min(hub.set_aside)]
    tell(hub, "crm")
    assert kinds(hub) == []
    assert only(hub).golden["name"] == "Acme"
