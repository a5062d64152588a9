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
    golden = record.golden
    return [
        Decision(name, "stale", value, golden.get(name), golden.get(name), "", "older than what the row said")
        for name, value in change.fields.items()
        if golden.get(name) != value
    ]


def moved(decisions: Sequence[Decision]) -> list[Decision]:
    """Our own write proposes nothing: only what stands otherwise since is told."""
    return [
        decision if decision.outcome == "accepted" else decision._replace(outcome="withdrawn", proposed=None)
        for decision in decisions
        if decision.before != decision.after
    ]


def words(row: Contribution, change: Change, refusable: Set[str]) -> dict[str, Value | msgspec.UnsetType]:
    """What the row stands for where a change of it may be refused."""
    return {name: row.word(name) for name in change.fields if name in refusable} if refusable else {}


def not_golden(entity: Entity, record: Record, row: Contribution, names: Sequence[str]) -> list[str]:
    """Those of these fields that the row does not hold as golden has them, nor all of their block."""
    units = {name: entity.unit_of[name] for name in names if name in entity.unit_of}
    return [
        name
        for name, unit in units.items()
        if any(row.holds(each) != record.golden.get(each, msgspec.UNSET) for each in unit.fields)
    ]


def unlike_ours(entity: Entity, record: Record, row: Contribution, change: Change) -> list[Decision]:
    """What became of values that came with our own write and that we did not write (`Change.unlike`), where they do not
    stand: what becomes of any other's. No golden value moves, and the row is corrected."""
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
    """What was refused or held for approval counts no more. Where golden has no value to correct it to, it is to be put
    back to what the row held before."""
    for decision in decisions:
        name = decision.field
        if decision.outcome in ("refused", "held"):
            refuse(row, name, msgspec.UNSET if name in record.golden else before.get(name, msgspec.UNSET))
        elif name in row.fields:
            row.restore.pop(name, None)


def forget_older(record: Record, row: Contribution) -> None:
    """Of a stream's deleted rows the latest few are kept: their last words may still hold a protected field,
    and a late repetition must find them deleted."""
    gone = [
        other
        for other in record.rows
        if other.deleted is not None and not other.merged and other.system == row.system and other.stream == row.stream
    ]
    gone.sort(key=lambda other: other.deleted or "")
    for other in gone[:-TOMBSTONES]:
        record.rows.remove(other)


def unreadable_key(entity: Entity, change: Change) -> str:
    """Why nobody can tell whether a new row belongs to a record that is there already; "" if they can."""
    if not change.unreadable:
        return ""
    names = [name for key in entity.match for name in key.fields if name in change.unreadable]
    return f"field {names[0]}, by which its record is found: {change.unreadable[names[0]]}" if names else ""
