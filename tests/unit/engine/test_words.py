"""A row says what it holds: whose word a value is, and what of it may ever be golden (the state table).

Each case is one or two rows' words about a field, told in the order in which a hub would learn of them, and what the
golden value is in the end. `w` is our own write as its source tells it back, `n` our note of it.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from fieldwarden.engine.change import Change, RawChange, Relation, RowRef, Value
from fieldwarden.engine.deciding.decider import Decider
from fieldwarden.engine.deciding.known import Known, Mapped, Tally
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.reresolve import Reresolver
from fieldwarden.engine.delivering.settling import overlaid
from fieldwarden.engine.ledger.entries import Decision, decode
from fieldwarden.engine.ports.target import Write
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import ACCOUNT, ADDRESS, CUSTOMER, PARTY, SUBSCRIBER, deleted, rulebook, said

RULES = rulebook()
_RAW = RawChange(Relation("", (), ()), "update", (), "", None)


@dataclass
class Hub:
    """One customer's rows, whose changes are decided one at a time."""

    rules: Rulebook = RULES
    records: dict[str, Record] = field(default_factory=dict)
    links: dict[RowRef, str] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def tell(self, *changes: Change) -> Hub:
        for change in changes:
            plans = {name: TargetPlan(self.rules, name) for name in self.rules.systems}
            decider = Decider(self.rules, change.row.system, plans)
            known = Known(dict(self.links), records=self.records)
            known.matches = {"customer": {("tax_id", "t"): [id for id in self.records if not id.endswith("2")]}}
            mapped = Mapped(_RAW, change.row, change.entity, replace(change, fields=dict(change.fields)))
            outcome = decider.decide([mapped], known, lambda: f"r{len(self.records) + 1}", Tally(), 10**9, 0)
            assert not outcome.set_aside
            self.records |= {record.id: record for record in outcome.records}
            self.links |= dict(outcome.links)
            for entry in outcome.entries:
                body = decode(entry.body)
                self.events.append(body.event)
                self.decisions += body.decisions
        return self

    def note(self, ref: RowRef, **values: Value) -> Hub:
        """A delivery has settled: these values were written into the row."""
        record = self.record
        record.rows = overlaid(record.rows, {ref: values}, [] if ref in self.links else [ref])
        self.links[ref] = record.id
        return self

    @property
    def record(self) -> Record:
        return self.records["r1"]

    def row(self, ref: RowRef) -> Contribution:
        return next(row for row in self.record.rows if row.ref == ref)

    def writes(self, system: str) -> list[Write]:
        return TargetPlan(self.rules, system).plan(self.record, {}).writes

    def word(self, ref: RowRef, name: str) -> str:
        row = self.row(ref)
        if row.own(name):
            return "own"
        return "carried" if row.given(name) else "void" if name in row.void else "unknown"


def w(change: Change) -> Change:
    return replace(change, echo=True)


CRM, BILLING, ERP = ACCOUNT, SUBSCRIBER, PARTY


def tax(ref: RowRef, position: int, **fields: Value) -> Change:
    return said(ref, position, None, tax_id="T", **fields)


# --- whose word it is, and what it may do --------------------------------------------------------------------------

CASES: list[tuple[str, Sequence[Change], str, Value]] = [
    # (case, what is told, field, golden at the end)
    ("own, heard", [tax(CRM, 1, segment="a")], "segment", "a"),
    ("own, not heard", [tax(ERP, 1, phone="1")], "phone", None),
    (
        "own, outranked: it is the runner-up while it stands there",
        [tax(CRM, 1, segment="a"), tax(BILLING, 2, segment="b"), deleted(CRM, 3), tax(CRM, 4, segment=None)],
        "segment",
        "b",
    ),
    (
        "own, outranked and corrected: it never comes back",
        [
            tax(BILLING, 1, street="old", city="x"),
            tax(ERP, 1, segment="erp-old"),
            tax(BILLING, 2, segment="final"),
            w(tax(ERP, 3, segment="final")),
            deleted(BILLING, 4),
        ],
        "segment",
        "final",
    ),
    (
        "carried: it stays golden where no own word is left",
        [tax(BILLING, 1, segment="final"), w(tax(ERP, 2, segment="final")), deleted(BILLING, 3)],
        "segment",
        "final",
    ),
    (
        "carried and an own null: what its last speaker clears is cleared everywhere",
        [tax(BILLING, 1, segment="x"), w(tax(CRM, 2, segment="x")), tax(BILLING, 3, segment=None)],
        "segment",
        None,
    ),
    (
        "carried by the owner of an unprotected field: its row says what it holds",
        [tax(CRM, 1, name="first"), w(tax(ERP, 2, name="first")), tax(CRM, 3, name="second")],
        "name",
        "first",
    ),
    (
        "carried by the owner of a protected field: a seed cannot change it any more",
        [
            tax(BILLING, 1, credit_limit="5.00"),
            w(tax(ERP, 2, credit_limit="5.00")),
            tax(BILLING, 3, credit_limit="9.00"),
        ],
        "credit_limit",
        "5.00",
    ),
    (
        "the owner's row is deleted: its last word stays, also a carried one",
        [tax(BILLING, 1, credit_limit="5.00"), w(tax(ERP, 2, credit_limit="5.00")), deleted(ERP, 3)],
        "credit_limit",
        "5.00",
    ),
    (
        "refused: it is nobody's word",
        [tax(ERP, 1, credit_limit="5.00"), tax(CRM, 2, credit_limit="5.00"), tax(CRM, 3, credit_limit="9.00")],
        "credit_limit",
        "5.00",
    ),
    (
        "a default in a row of ours is no evidence",
        [tax(BILLING, 1), w(tax(CRM, 2, segment="Unknown"))],
        "segment",
        None,
    ),
    (
        "a re-read that finds what we know changes nobody's word",
        [
            tax(BILLING, 1, segment="x"),
            w(tax(CRM, 2, segment="x")),
            replace(tax(CRM, 3, segment="x"), observation=True, at=None),
            tax(BILLING, 4, segment="y"),
        ],
        "segment",
        "y",
    ),
]


@pytest.mark.parametrize(("told", "name", "golden"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_whose_word_may_be_golden(told: Sequence[Change], name: str, golden: Value) -> None:
    assert Hub().tell(*told).record.golden.get(name) == golden


def test_a_corrected_word_never_comes_back_when_the_owner_changes() -> None:
    """Case 1: 999999 was refused and corrected; then the rules make crm the owner."""
    hub = Hub().tell(tax(ERP, 1, credit_limit="25000.00"), tax(CRM, 1, credit_limit="25000.00"))
    hub.tell(tax(CRM, 2, credit_limit="999999.00"))
    assert (hub.decisions[-1].outcome, hub.word(CRM, "credit_limit")) == ("refused", "void")
    hub.note(CRM, credit_limit="25000.00").tell(w(tax(CRM, 3, credit_limit="25000.00")))
    hub.rules = _owned_by("crm")
    hub.tell(tax(ERP, 4, credit_limit="24000.00"))
    assert hub.record.golden["credit_limit"] == "25000.00", "crm's row holds it: that is its word"
    assert [write.values for write in hub.writes("erp")] == [{"credit_limit": "25000.00"}]
    assert hub.writes("crm") == []


def test_a_refused_word_that_is_not_corrected_yet_is_not_the_new_owners() -> None:
    hub = Hub().tell(tax(ERP, 1, credit_limit="25000.00"), tax(CRM, 1, credit_limit="25000.00"))
    hub.tell(tax(CRM, 2, credit_limit="999999.00"))
    hub.rules = _owned_by("crm")
    hub.tell(tax(ERP, 4, credit_limit="24000.00"))
    assert hub.record.golden["credit_limit"] == "25000.00"
    hub.tell(tax(CRM, 5, credit_limit="999998.00"))
    assert hub.record.golden["credit_limit"] == "999998.00", "said anew, by the owner"


def test_where_the_owner_has_said_nothing_refusing_restores_what_the_row_held() -> None:
    """Case 9."""
    hub = Hub().tell(tax(CRM, 1, terms="NET30"), tax(CRM, 2, terms="NET99"), tax(CRM, 3, terms="NET98"))
    assert "terms" not in hub.record.golden
    (write,) = hub.writes("crm")
    assert (write.values, write.expected) == ({"terms": "NET30"}, {"terms": "NET98"})
    hub.note(CRM, terms="NET30")
    assert hub.writes("crm") == []
    hub.tell(w(tax(CRM, 4, terms="NET30")))
    assert (hub.word(CRM, "terms"), hub.writes("crm"), "terms" in hub.record.golden) == ("void", [], False)


@pytest.mark.parametrize("order", list(itertools.permutations(["note", "echo", "copy"])), ids="-".join)
def test_what_a_row_is_put_back_to_is_nobodys_word_in_any_order(order: tuple[str, ...]) -> None:
    """The refused edit is put back to what the row held before, which the owner has never said; meanwhile a copy comes
    back that has the field decided anew."""
    hub = Hub().tell(tax(CRM, 1, terms="before"), tax(CRM, 2, terms="refused"))
    for step in order:
        match step:
            case "note":
                hub.note(CRM, terms="before")
            case "echo":
                hub.tell(w(tax(CRM, 3, terms="before")))
            case "copy":
                hub.tell(w(tax(BILLING, 4, terms=None)))
        assert hub.record.golden.get("terms") is None, f"after {step}"
        for owner in ("crm", "billing"):
            other = {**CUSTOMER["fields"], "terms": {"type": "text", "owner": owner, "protected": True}}
            again = copy.deepcopy(hub.record)
            Reresolver(rulebook({**CUSTOMER, "fields": other}))(again)
            assert again.golden.get("terms") is None, f"after {step}, and then it is {owner}'s"


def test_one_own_edit_makes_the_whole_block_the_rows_own_word() -> None:
    """Case 17: b received a's note; b's edit of the tier speaks of the block that b's row holds."""
    hub = Hub(_recent_groups()).tell(
        tax(CRM, 1, street="N1", city="basic"),
        tax(BILLING, 1, street="N1", city="basic"),
        tax(CRM, 2, street="N2", city="basic"),
        w(tax(BILLING, 3, street="N2", city="basic")),
        tax(BILLING, 4, street="N2", city="gold"),
    )
    assert (hub.record.golden["street"], hub.record.golden["city"]) == ("N2", "gold")


def test_an_edit_in_a_row_that_we_made_speaks_of_the_whole_block() -> None:
    hub = Hub(_recent_groups()).tell(
        tax(CRM, 1, street="N1", city="basic"),
        w(tax(BILLING, 2, street="N1", city="basic")),
        tax(BILLING, 3, street="N1", city="gold"),
    )
    assert (hub.record.golden["street"], hub.record.golden["city"]) == ("N1", "gold")


def test_what_a_child_that_moved_away_said_is_cleared_from_the_copies() -> None:
    """Case 19."""
    address = replace(said(ADDRESS, 2, street="Main", city="Rome"), parent=PARTY)
    other = RowRef("erp", "public.party", "P-2")
    hub = Hub().tell(tax(ERP, 1), tax(CRM, 1), address, w(tax(CRM, 3, street="Main", city="Rome")))
    hub.tell(said(other, 4, tax_id="other"), replace(said(ADDRESS, 5, street="Main", city="Rome"), parent=other))
    assert "street" not in hub.record.golden
    (write,) = hub.writes("crm")
    assert write.values == {"street": None, "city": None}


def test_two_hundred_rounds_of_delete_and_insert_leave_a_bounded_record() -> None:
    hub = Hub()
    for n in range(200):
        row = RowRef("crm", "public.account", f"C-{n}")
        hub.tell(tax(row, 2 * n + 1, phone=f"{n}"), deleted(row, 2 * n + 2))
    assert len(hub.record.rows) <= 16
    assert hub.record.retired


# --- every order in which our write, its note and a person's edit can meet ------------------------------------------


def _orders(*streams: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """All merges that keep each stream's own order."""
    names = [name for stream in streams for name in stream]
    for order in set(itertools.permutations(names)):
        if all([name for name in order if name in stream] == list(stream) for stream in streams):
            yield order


@pytest.mark.parametrize("order", sorted(_orders(["echo", "edit"], ["note"])), ids="-".join)
def test_an_edit_after_our_write_stands_whenever_the_write_is_noted(order: tuple[str, ...]) -> None:
    hub = Hub().tell(tax(BILLING, 1, segment="x"), tax(CRM, 1, segment=None))
    steps: dict[str, Callable[[], Any]] = {
        "echo": lambda: hub.tell(w(tax(CRM, 2, segment="x"))),
        "edit": lambda: hub.tell(tax(CRM, 3, segment="theirs")),
        "note": lambda: _settled(hub, CRM, segment="x"),
    }
    for step in order:
        steps[step]()
    assert (hub.record.golden["segment"], hub.word(CRM, "segment")) == ("theirs", "own")


@pytest.mark.parametrize("order", sorted(_orders(["echo", "other"], ["note"])), ids="-".join)
def test_our_write_is_carried_whenever_it_is_noted(order: tuple[str, ...]) -> None:
    hub = Hub().tell(tax(BILLING, 1, segment="x"), tax(CRM, 1, segment=None, phone="1"))
    steps: dict[str, Callable[[], Any]] = {
        "echo": lambda: hub.tell(w(tax(CRM, 2, segment="x", phone="1"))),
        "other": lambda: hub.tell(tax(CRM, 3, segment="x", phone="2")),
        "note": lambda: _settled(hub, CRM, segment="x"),
    }
    for step in order:
        steps[step]()
    assert (hub.word(CRM, "segment"), hub.word(CRM, "phone")) == ("carried", "own")
    assert (hub.row(CRM).sent, hub.record.golden["phone"]) == ({}, "2")


@pytest.mark.parametrize("order", sorted(_orders(["deleted", "again"], ["echo"])), ids="-".join)
def test_the_echo_of_our_own_delete_says_nothing_however_late_it_comes(order: tuple[str, ...]) -> None:
    """Case 16: the authority's row goes and comes again while the echo of our delete of the copy is under way."""
    hub = Hub().tell(tax(CRM, 1, phone="1"), w(tax(ERP, 2, phone="1")))
    again = RowRef("crm", "public.account", "C-2")
    steps: dict[str, Callable[[], Any]] = {
        "deleted": lambda: hub.tell(deleted(CRM, 3)),
        "again": lambda: hub.tell(tax(again, 5, phone="2")),
        "echo": lambda: hub.tell(w(deleted(ERP, 4))),
    }
    for step in order:
        steps[step]()
    assert not hub.record.retired
    assert [write.operation for write in hub.writes("erp")] == ["create"], "the copy is made again"


def _settled(hub: Hub, ref: RowRef, **values: Value) -> None:
    """The note of a write that was planned before anything else here happened."""
    row = hub.row(ref)
    quiet = row.said == "00000001"
    news = {name: value for name, value in values.items() if quiet or row.told(name) == value}
    news = {name: value for name, value in news.items() if row.told(name) != value}
    if news:
        index = hub.record.rows.index(row)
        hub.record.rows[index] = msgspec.structs.replace(row, sent={**row.sent, **news})


def _owned_by(system: str) -> Rulebook:
    limit = {"type": "decimal(14,2)", "owner": system, "protected": True}
    return rulebook({**CUSTOMER, "fields": {**CUSTOMER["fields"], "credit_limit": limit}})


def _recent_groups() -> Rulebook:
    group = {"fields": ["street", "city"], "strategy": "recency", "among": ["crm", "billing", "erp"]}
    return rulebook({**CUSTOMER, "groups": {"address": group}})
