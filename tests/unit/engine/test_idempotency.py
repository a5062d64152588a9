"""Idempotency keys: one for a call and for whatever repeats it unanswered, another for every call after an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fieldwarden.engine.ports.target import Write, WriteResult
from fieldwarden.engine.testing import MemoryHub, ScriptedSource
from fieldwarden.engine.testing.vendor import Fate, Manners, Vendor, VendorTarget
from tests.builders import BILLING, CUSTOMER, FLAT, rulebook
from tests.unit.engine.test_delivering import STREAM, due, marks, running
from tests.unit.engine.test_loops import account, live

KEEPS = Manners(unique=False, keyed=True, caches=True, versioned=True, settles_within=1.0)
LEAVES_NO_DOUBT = Manners(caches=True, versioned=True)


class Calls:
    """What a target is called with: each call's key and phone. `fates` are those of the first calls."""

    def __init__(self, *fates: Fate) -> None:
        self.made: list[tuple[str, str | None]] = []
        self._fates: Iterator[Fate] = iter(fates)

    def __call__(self, write: Write) -> Fate:
        self.made.append((write.idempotency_key, write.values.get("phone")))
        return next(self._fates, Fate())

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.made]


def known(phone: str, *others: str) -> MemoryHub:
    """A customer with this phone in the CRM, whose phone was `others` before."""
    hub = MemoryHub()
    tell(hub, *others, phone)
    return hub


def tell(hub: MemoryHub, *phones: str) -> None:
    changes = [account(n, "C-1", tax_id="T1", phone=phone) for n, phone in enumerate(phones, 1)]
    live(ScriptedSource("crm", changes), hub)


def phones(service: Vendor) -> list[str | None]:
    return [row.values["phone"] for row in service.rows[STREAM].values()]


class Edited(Vendor):
    """Somebody edits another field of each row just before the first updates come."""

    edits = 2

    def _carried_out(self, write: Write) -> WriteResult:
        if write.operation == "update" and self.edits:
            self.edits -= 1
            self.versions[write.stream, write.key or ""] += 1
        return super()._carried_out(write)


@pytest.mark.parametrize("manners", [KEEPS, LEAVES_NO_DOUBT])
def test_after_a_conflict_the_call_is_another_one_to_a_service_that_keeps_its_answers(manners: Manners) -> None:
    hub, service = known("1"), Edited("billing", manners)
    running(hub, VendorTarget(service), 5)
    tell(hub, "1", "2")
    calls = Calls()
    running(hub, VendorTarget(service, calls), 60)
    assert (phones(service), marks(hub)) == (["2"], [])
    assert len(calls.keys) == len(set(calls.keys)) == 3


def test_a_create_without_an_answer_is_made_again_as_it_was_and_what_is_new_is_written_after_it() -> None:
    hub, service = known("1"), Vendor("billing", KEEPS)
    calls = Calls(Fate(lands=None))
    target = VendorTarget(service, calls)
    running(hub, target, 2.5)
    tell(hub, "1", "2")
    running(hub, target, 60)
    (first, _), (again, phone), *rest = calls.made
    assert (again, phone) == (first, "1")
    assert [(key != first, phone) for key, phone in rest] == [(True, "2")]
    assert (phones(service), marks(hub), hub.intended) == (["2"], [], {})


def test_what_was_kept_as_the_answer_to_a_create_says_nothing_of_newer_values() -> None:
    """The call was made after all, later than it could be looked for, and its answer is given again."""
    hub, service = known("1"), Vendor("billing", KEEPS)
    blind: list[Callable[[], bool]] = [lambda: False]
    target = VendorTarget(service, Calls(Fate(lands=30.0, answers=None)), lambda: blind[0]())
    running(hub, target, 2.5)
    tell(hub, "1", "2")
    running(hub, target, 60)
    assert (phones(service), marks(hub)) == (["2"], [])


def test_a_create_that_is_refused_when_it_is_made_again_is_planned_anew() -> None:
    hub = known("bad")
    service = Vendor("billing", KEEPS, refuse=lambda _stream, _name, value: "no phone" if value == "bad" else "")
    target = VendorTarget(service, Calls(Fate(lands=None)))
    running(hub, target, 2.5)
    tell(hub, "bad", "2")
    running(hub, target, 60)
    assert (phones(service), marks(hub)) == (["2"], [])


@pytest.mark.parametrize("gone", ["unmapped", "protected"])
def test_a_create_that_is_made_again_under_other_rules_brings_nothing_that_they_do_not_allow(gone: str) -> None:
    """`phone` is mapped there no more, or its value is the service's own by now."""
    flat = {**FLAT, "fields": {name: name for name in CUSTOMER["fields"] if name != "phone"}}
    owned = {"type": "text", "owner": "billing", "protected": True}
    others = {
        "unmapped": rulebook(billing={**BILLING, "streams": {STREAM: flat}}),
        "protected": rulebook({**CUSTOMER, "fields": {**CUSTOMER["fields"], "phone": owned}}),
    }
    hub, service, calls = known("1"), Vendor("billing", KEEPS), Calls(Fate(lands=None))
    target = VendorTarget(service, calls)
    running(hub, target, 2.5)
    tell(hub, "1", "2")
    running(hub, target, 60, rules=others[gone])
    (first, _), (again, phone), *_ = calls.made
    assert (again, phone) == (first, None)
    assert [row.values.get("phone") for row in service.rows[STREAM].values()] == [None]
    assert hub.intended == {}


def test_where_no_doubt_is_left_a_call_that_was_not_answered_keeps_its_key_until_it_is() -> None:
    hub, service = due(1), Vendor("billing", LEAVES_NO_DOUBT)
    calls = Calls(Fate(lands=None, breaks=True), Fate(lands=None, breaks=True))
    running(hub, VendorTarget(service, calls), 60)
    assert len(calls.keys) == 3
    assert len(set(calls.keys)) == 1
    assert len(service.rows[STREAM]) == 1
