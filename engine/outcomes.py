"""What a change's decisions mean beyond the record: what is told of them, and what the row's words are worth then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from engine.change import Change, Value
from engine.contribution import refuse
from engine.ledger import Decision
from engine.record import Contribution, Record
from rules.rulebook import Entity

TOMBSTONES = 16


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
