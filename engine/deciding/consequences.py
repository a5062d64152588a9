"""What a change's decisions mean beyond the record: what is told of them, and what the row's words are worth then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import msgspec

from fieldwarden.engine.change import Change, Value
from fieldwarden.engine.deciding.contribution import refuse, tell
from fieldwarden.engine.deciding.resolve import choose
from fieldwarden.engine.ledger.entries import Decision, Outcome
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Entity

TOMBSTONES = 16
BESIDE = "came with our own write, but is not what we are known to have written there"
"""What such a decision says for a rule in the ledger."""


def stale(record: Record, change: Change) -> list[Decision]:
    """The decisions for a change that is older than what its row said: one for each field in which it differs from
    golden. Nothing is changed."""
    golden = record.golden
    return [
        Decision(name, "stale", value, golden.get(name), golden.get(name), "", "older than what the row said")
        for name, value in change.fields.items()
        if golden.get(name) != value
    ]


def moved(decisions: Sequence[Decision]) -> list[Decision]:
    """Of these decisions, those by which a golden value moved. Our own write coming back proposes nothing, so that is
    all there is to tell.

    >>> agreed = Decision("name", "agreed", "A", "A", "A", "crm")
    >>> fell = Decision("city", "outranked", "B", "B", "C", "erp")
    >>> [(each.field, each.outcome, each.proposed) for each in moved([agreed, fell])]
    [('city', 'withdrawn', None)]
    """
    return [
        decision if decision.outcome == "accepted" else decision._replace(outcome="withdrawn", proposed=None)
        for decision in decisions
        if decision.before != decision.after
    ]


def words(row: Contribution, change: Change, refusable: Set[str]) -> dict[str, Value | msgspec.UnsetType]:
    """What the row stands for in those fields of a change in which its word may be refused. Ask before the row hears
    the change."""
    return {name: row.word(name) for name in change.fields if name in refusable} if refusable else {}


def not_golden(entity: Entity, record: Record, row: Contribution, names: Sequence[str]) -> list[str]:
    """Of these fields, those in which the row holds something else than golden in the field or elsewhere in its
    group."""
    units = {name: entity.unit_of[name] for name in names if name in entity.unit_of}
    return [
        name
        for name, unit in units.items()
        if any(row.holds(each) != record.golden.get(each, msgspec.UNSET) for each in unit.fields)
    ]


def unlike_ours(entity: Entity, record: Record, row: Contribution, change: Change) -> list[Decision]:
    """What became of the values that came with our own write and that we did not write (`Change.unlike`), where they do
    not stand: they are refused, or held for approval. No golden value moves. What is told is counted in `row.unlike`;
    the row is corrected by its next delivery."""
    found = []
    for name in change.unlike:
        value, golden, unit = change.fields[name], record.golden.get(name), entity.unit_of[name]
        if value != golden:
            winner = choose(unit, record.rows)
            outcome: Outcome = "held" if unit.policy.approval else "refused"
            system = "" if winner is None else winner.system
            found.append(Decision(name, outcome, value, golden, golden, system, BESIDE))
            tell(row, name, golden)
    return found


def refused(
    record: Record,
    row: Contribution,
    decisions: Sequence[Decision],
    before: Mapping[str, Value | msgspec.UnsetType],
) -> None:
    """Make the row's refused words count no more, so that none of them ever comes back; `row` is changed in place.
    `decisions` are those of the change; `before` is what the row stood for before it (`words`): where golden has no
    value, the row is put back to that."""
    for decision in decisions:
        name = decision.field
        if decision.outcome in ("refused", "held"):
            refuse(row, name, msgspec.UNSET if name in record.golden else before.get(name, msgspec.UNSET))
        elif name in row.fields:
            row.restore.pop(name, None)


def forget_older(record: Record, row: Contribution) -> None:
    """Drop the stream's deleted rows from `record.rows`, but for the latest TOMBSTONES. Those are kept, since their
    last words may still hold a protected field, and a change told again late must find its row deleted."""
    gone = [
        other
        for other in record.rows
        if other.deleted is not None and not other.merged and other.system == row.system and other.stream == row.stream
    ]
    gone.sort(key=lambda other: other.deleted or "")
    for other in gone[:-TOMBSTONES]:
        record.rows.remove(other)


def unreadable_key(entity: Entity, change: Change) -> str:
    """Why nobody can tell whether a new row belongs to a record that is there already: a field of a match key cannot be
    read. "" if they can."""
    if not change.unreadable:
        return ""
    names = [name for key in entity.match for name in key.fields if name in change.unreadable]
    return f"field {names[0]}, by which its record is found: {change.unreadable[names[0]]}" if names else ""
