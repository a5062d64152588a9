"""Values that cannot be one of their field: what is decided of them.

What the row holds there is not known, so it is nobody's candidate: the row's earlier word keeps its place, and golden
stays as it was. Where the row's system has no say in the field, the value is refused (or outranked) like any other and
the row is corrected. Where it has one, nobody writes over it: a person sees it, and the row's next readable word
mends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import UNSET

from fieldwarden.engine.ledger.entries import Decision, Outcome
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Entity, Unit
from fieldwarden.rules.validating import INVALID

UNREAD = "cannot be read: "
"""With what the rule of such a decision begins, in the ledger."""


def has_say(unit: Unit, system: str, rows: Sequence[Contribution]) -> bool:
    """True if a system's word on the unit may stand, as things are now. A seed's may only while the owner has told
    nothing of the unit.

    >>> policy = Policy("source_priority", ("erp",), owner="erp", protected=True, seed_from=("crm",))
    >>> unit = Unit("terms", ("terms",), policy)
    >>> erp = Contribution("erp", "party", "9", "3", Stamp("3", None), {"terms": "NET30"})
    >>> has_say(unit, "crm", []), has_say(unit, "crm", [erp]), has_say(unit, "erp", [erp])
    (True, False, True)
    """
    policy = unit.policy
    if not policy.protected:
        return system in policy.order
    if system == policy.owner:
        return True
    return system in policy.seed_from and not any(
        row.system == policy.owner and all(row.told(name) is not UNSET for name in unit.fields) for row in rows
    )


def stands(unit: Unit, row: Contribution, rows: Sequence[Contribution]) -> bool:
    """True if a value that cannot be read is left in the row: a person has to mend it, or the rule leaves refused
    values in place. False where it is written over: the system has no say, or the value is one that the rules never
    accept."""
    leave = unit.policy.protected and unit.policy.on_reject == "leave"
    return leave or (has_say(unit, row.system, rows) and not _is_invalid(unit, row))


def _is_invalid(unit: Unit, row: Contribution) -> bool:
    return any(row.unreadable.get(name, "").startswith(INVALID) for name in unit.fields)


def decisions(
    entity: Entity, record: Record, row: Contribution, names: Iterable[str], *, ours: bool, observed: bool
) -> list[Decision]:
    """What became of these fields of `row`, whose values cannot be read. Nothing is changed: no golden value moves.

    `names` must be fields of the entity. `ours`: it is our own write that came back so; nobody tried to say it.
    `observed`: it was only read there, so it can be outranked but not refused."""
    found = []
    for name in names:
        unit = entity.unit_of[name]
        outcome: Outcome = "unreadable"
        if not ours and not has_say(unit, row.system, record.rows):
            outcome = "refused" if unit.policy.protected and not observed else "outranked"
        elif not ours and not observed and _is_invalid(unit, row):
            outcome = "refused"
        golden = record.golden.get(name)
        found.append(Decision(name, outcome, None, golden, golden, "", UNREAD + row.unreadable.get(name, "")))
    return found
