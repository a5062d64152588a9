"""Folding a history gives its record; any entry lost, doubled or changed, and any value changed, is found."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.engine.ledger.entries import Decision, EntryBody
from fieldwarden.engine.ledger.replay import Fold, Mismatch

FIELDS = ("name", "email", "limit")


def entry(decisions: list[Decision], *, retired: bool | None = None, entity: str = "customer") -> EntryBody:
    return EntryBody(entity, ("crm", "account", "1"), "said", "0/1", None, decisions, retired=retired)


def decision(name: str, before: str | None, after: str | None) -> Decision:
    return Decision(name, "accepted" if before != after else "refused", after, before, after, "crm", "rule")


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[EntryBody], dict[str, str | None], bool]:
    """A history that links up, with the golden values and the retirement it ends in."""
    golden: dict[str, str | None] = {}
    retired = False
    bodies = []
    for _ in range(draw(st.integers(1, 8))):
        decisions = []
        for name in draw(st.lists(st.sampled_from(FIELDS), unique=True)):
            after = draw(st.none() | st.sampled_from(["a", "b", "c"]))
            decisions.append(decision(name, golden.get(name), after))
            golden[name] = after
        flip = draw(st.booleans())
        retired = retired != flip
        bodies.append(entry(decisions, retired=retired if flip else None))
    return bodies, golden, retired


def fold(bodies: list[EntryBody], versions: list[int] | None = None) -> tuple[Fold, list[Mismatch]]:
    folded = Fold()
    findings = []
    for version, body in zip(versions or range(1, len(bodies) + 1), bodies, strict=True):
        findings += folded.apply(version, body)
    return folded, findings


History = tuple[list[EntryBody], dict[str, str | None], bool]


@given(histories())
def test_a_whole_history_folds_to_its_record(history: History) -> None:
    bodies, golden, retired = history
    folded, findings = fold(bodies)
    assert findings == []
    assert folded.compare("customer", len(bodies), golden, retired) == []
    shown = {name: value for name, value in golden.items() if value is not None}
    assert folded.compare("customer", len(bodies), shown, retired) == [], "null and absent are one thing"


@given(histories(), st.data())
def test_a_changed_golden_value_is_named(history: History, data: st.DataObject) -> None:
    bodies, golden, retired = history
    name = data.draw(st.sampled_from(FIELDS))
    folded, _ = fold(bodies)
    changed = folded.compare("customer", len(bodies), golden | {name: "other"}, retired)
    assert [(finding.kind, finding.field) for finding in changed] == [("golden", name)]
    assert [f.kind for f in folded.compare("customer", len(bodies), golden, not retired)] == ["retired"]
    assert [f.kind for f in folded.compare("contact", len(bodies), golden, retired)] == ["entity"]


@given(histories(), st.data())
def test_a_lost_entry_is_a_gap_and_breeds_no_other_complaint(history: History, data: st.DataObject) -> None:
    bodies, golden, retired = history
    lost = data.draw(st.integers(1, len(bodies)))
    versions = [version for version in range(1, len(bodies) + 1) if version != lost]
    folded, findings = fold([bodies[version - 1] for version in versions], versions)
    end = folded.compare("customer", len(bodies), golden, retired)
    if lost < len(bodies):
        assert [finding.kind for finding in findings] == ["gap"]
        assert end == []
    else:
        assert findings == []
        assert [finding.kind for finding in end] == ["version"]


@given(histories(), st.data())
def test_a_doubled_entry_is_named(history: History, data: st.DataObject) -> None:
    bodies, golden, retired = history
    twice = data.draw(st.integers(1, len(bodies)))
    versions = sorted([*range(1, len(bodies) + 1), twice])
    folded, findings = fold([bodies[version - 1] for version in versions], versions)
    assert [(finding.kind, str(twice) in finding.words) for finding in findings] == [("duplicate", True)]
    assert folded.compare("customer", len(bodies), golden, retired) == []


@pytest.mark.long
@given(histories(), st.data())
def test_a_changed_before_or_after_does_not_link_up(history: History, data: st.DataObject) -> None:
    bodies, golden, retired = history
    places = [(at, nth) for at, body in enumerate(bodies) for nth in range(len(body.decisions))]
    if not places:
        return
    at, nth = data.draw(st.sampled_from(places))
    side = data.draw(st.sampled_from(["before", "after"]))
    decisions = list(bodies[at].decisions)
    old = decisions[nth]
    decisions[nth] = old._replace(before="tampered") if side == "before" else old._replace(after="tampered")
    bodies = [*bodies[:at], msgspec.structs.replace(bodies[at], decisions=decisions), *bodies[at + 1 :]]
    folded, findings = fold(bodies)
    findings += folded.compare("customer", len(bodies), golden, retired)
    assert {finding.field for finding in findings} == {decisions[nth].field}
    assert not any("tampered" in finding.words for finding in findings)


def test_an_unreadable_entry_leaves_only_what_is_told_again_sure() -> None:
    folded = Fold()
    assert folded.apply(1, entry([decision("name", None, "a"), decision("email", None, "x")])) == []
    assert folded.skip(2) == []
    assert folded.apply(3, entry([decision("name", "b", "c")])) == []
    assert folded.compare("customer", 3, {"name": "c", "email": "?"}, True) == []
    assert [f.field for f in folded.compare("customer", 3, {"name": "d"}, False)] == ["name"]
    assert [f.kind for f in folded.skip(5)] == ["gap"]


def test_a_record_cannot_change_its_entity_nor_retire_twice() -> None:
    _, findings = fold([entry([], retired=True), entry([], retired=True), entry([], entity="contact")])
    assert [finding.kind for finding in findings] == ["retired", "entity"]


def test_a_record_without_entries() -> None:
    assert Fold().compare("customer", 0, {}, False) == []
    assert [f.words for f in Fold().compare("customer", 2, {"name": "a"}, False)] == [
        "the record has version 2, the ledger holds no entry about it"
    ]
