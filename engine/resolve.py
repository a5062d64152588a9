"""Survivorship: which contribution stands for each field, as a pure function of the set of contributions.

The incumbent golden value is no candidate, and neither arrival order nor ingest time decides: ties end in a total
order (time as the source states it, rank of the system, newest position inside one system, key). So any
interleaving of the same changes ends in the same golden record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.change import Value
from engine.ledger import Decision, Outcome
from engine.record import Contribution, Record
from rules.rulebook import Entity, Policy, Unit

_NEVER = -(2**62)
_SHAPES = 1000
"""Sets of fields remembered: rows of one stream nearly always state the same ones."""


def choose(unit: Unit, rows: Sequence[Contribution]) -> Contribution | None:
    """The contribution that wins the unit, or None where nobody has a word on it.

    Where no candidate is complete, the best of those that know every field stands, nulls and all: a value that its
    only source cleared is cleared everywhere.
    """
    policy = unit.policy
    if len(rows) == 1 and rows[0].deleted is None:
        return _alone(unit, rows[0])
    if policy.protected:
        return _protected(unit, rows)
    return _best(unit, [row for row in rows if row.deleted is None and row.system in policy.order], policy.order)


def _alone(unit: Unit, row: Contribution) -> Contribution | None:
    """Who has nobody to contend with stands, if it may speak at all and knows every field."""
    policy, system = unit.policy, row.system
    heard = (system == policy.owner or system in policy.seed_from) if policy.protected else system in policy.order
    return row if heard and _known(unit, row) else None


def _protected(unit: Unit, rows: Sequence[Contribution]) -> Contribution | None:
    """The owner's word; after its row is deleted its last word; before its first one a seed."""
    policy = unit.policy
    owners = [row for row in rows if row.system == policy.owner and _known(unit, row)]
    if owners:
        live = [row for row in owners if row.deleted is None]
        if live:
            return _best(unit, live, (policy.owner or "",))
        return max(owners, key=lambda row: (row.deleted or "", row.key))
    seeds = [row for row in rows if row.deleted is None and row.system in policy.seed_from]
    return _best(unit, seeds, policy.seed_from)


def _best(unit: Unit, rows: Sequence[Contribution], order: Sequence[str]) -> Contribution | None:
    candidates = [row for row in rows if _complete(unit, row, unit.policy)]
    if not candidates:
        candidates = [row for row in rows if _known(unit, row)]
    return _first(unit, candidates, order, recency=unit.policy.strategy == "recency")


def _known(unit: Unit, row: Contribution) -> bool:
    fields = row.fields
    for name in unit.fields:  # noqa: SIM110 (this is asked for every field of every change)
        if name not in fields:
            return False
    return True


def _complete(unit: Unit, row: Contribution, policy: Policy) -> bool:
    """A candidate knows every field of the unit, and its nulls are values only where the system says so."""
    fields = row.fields
    if len(unit.fields) == 1:
        name = unit.fields[0]
        if name not in fields:
            return False
        return fields[name] is not None or (policy.strategy != "first_non_null" and row.system in policy.nulls)
    for name in unit.fields:
        if name not in fields:
            return False
        if fields[name] is None and row.system not in policy.nulls and name not in unit.optional:
            return False
    return True


def _first(unit: Unit, rows: Sequence[Contribution], order: Sequence[str], *, recency: bool) -> Contribution | None:
    if len(rows) == 1:
        return rows[0]
    best, best_rank = None, None
    for row in rows:
        place = -order.index(row.system)
        stamps = [row.stamp(name) for name in unit.fields]
        at = max(_NEVER if stamp.at is None else stamp.at for stamp in stamps)
        newest = max(stamp.position for stamp in stamps)
        rank = (at, place, newest, row.key) if recency else (place, at, newest, row.key)
        if best_rank is None or rank > best_rank:
            best, best_rank = row, rank
    return best


def retired(entity: Entity, root_streams: Iterable[tuple[str, str]], rows: Sequence[Contribution]) -> bool:
    """Whether the record is retired: a system with delete authority deleted its row and none such has it, or no
    row stands for it anywhere. `root_streams` are the (system, stream) whose rows stand for the entity."""
    for row in rows:
        if row.deleted is not None:
            break
    else:
        return False
    roots = [row for row in rows if (row.system, row.stream) in root_streams]
    if not any(row.deleted is None for row in roots):
        return bool(roots)
    authorities = [row for row in roots if row.system in entity.delete_authority]
    return bool(authorities) and all(row.deleted is not None for row in authorities)


def decide(
    entity: Entity,
    record: Record,
    row: Contribution,
    changed: Sequence[str],
    *,
    deleted: bool = False,
    observed: bool = False,
) -> list[Decision]:
    """Re-resolve what a change touched and say what became of it, field by field.

    `changed` are the fields of `row` whose word changed (all it had said, if the row is gone). A field of the
    same group whose golden value moved with the block is decided too. What was merely `observed` (read by a
    snapshot) nobody has tried to do, so it can be outranked but not refused.
    """
    golden, rows, said = record.golden, record.rows, row.fields
    alone = rows[0] if len(rows) == 1 and rows[0].deleted is None else None
    touched, decided = set(changed), set()
    decisions = []
    for first in changed:
        unit = entity.unit_of[first]
        if len(unit.fields) > 1:
            if unit.name in decided:
                continue
            decided.add(unit.name)
        winner = choose(unit, rows) if alone is None else _alone(unit, alone)
        for name in unit.fields:
            old, new = golden.get(name), None
            if winner is None:
                golden.pop(name, None)
            else:
                new = golden[name] = winner.fields[name]
            if old == new and name not in touched:
                continue
            proposed = None if deleted else said.get(name)
            if old is None and new is None and proposed is None:
                continue
            outcome = _gone(record, winner) if deleted else _outcome(unit, row, winner, proposed, old, new)
            if observed and outcome in ("refused", "held"):
                outcome = "outranked"
            system = "" if winner is None else winner.system
            decisions.append(Decision(name, outcome, proposed, old, new, system))
    return decisions


class Unrivalled:
    """The plainest case of `decide`, and by far the most common: the only row that says anything says something new in
    fields on which its system is heard, and all of it is accepted.

    Which sets of fields that holds for depends on the rules alone, so it is found out once per set."""

    def __init__(self, entity: Entity, system: str) -> None:
        self._entity = entity
        self._system = system
        self._heard: dict[tuple[str, ...], bool] = {}

    def accept(
        self, record: Record, row: Contribution, changed: Sequence[str]
    ) -> tuple[dict[str, Value], dict[str, Value]] | None:
        """Take the changed fields over into the golden values: (accepted values, those that they replace), as
        `encode_accepted` wants them. None, and nothing done, where this is not that case."""
        if row.deleted is not None or (len(record.rows) > 1 and not _only_speaker(record.rows, row)):
            return None
        names = tuple(changed)
        heard = self._heard.get(names)
        if heard is None:
            heard = self._heard[names] = self._is_heard(names)
            if len(self._heard) > _SHAPES:
                self._heard.clear()
        if not heard:
            return None
        said, golden = row.fields, record.golden
        accepted = dict(said) if len(names) == len(said) else {name: said[name] for name in names}
        before: dict[str, Value] = {}
        if golden:
            for name, value in accepted.items():
                old = golden.get(name)
                if old == value:
                    return None
                if old is not None:
                    before[name] = old
        whole = accepted
        if None in accepted.values():
            accepted = {name: value for name, value in accepted.items() if value is not None or name in before}
            if not accepted:
                return None
        golden.update(whole)
        return accepted, before

    def _is_heard(self, names: tuple[str, ...]) -> bool:
        """Whether the system may supply all of these, and they hold every group that they touch whole."""
        given, system = set(names), self._system
        for name in names:
            unit = self._entity.unit_of[name]
            policy = unit.policy
            if not given.issuperset(unit.fields):
                return False
            if not (
                system == policy.owner or system in policy.seed_from if policy.protected else system in policy.order
            ):
                return False
        return bool(names)


def _only_speaker(rows: Sequence[Contribution], row: Contribution) -> bool:
    """Whether no other row has ever said anything (rows that we created, and whose systems are silent, have not)."""
    for other in rows:  # noqa: SIM110
        if other.fields and other is not row:
            return False
    return True


def _gone(record: Record, winner: Contribution | None) -> Outcome:
    """A protected field whose owner's row is gone is held for a person to look at, unless the record went with it."""
    held = winner is not None and winner.deleted is not None and not record.retired
    return "held" if held else "withdrawn"


def _outcome(
    unit: Unit, row: Contribution, winner: Contribution | None, proposed: Value, old: Value, new: Value
) -> Outcome:
    if winner is row:
        return "agreed" if old == new else "accepted"
    if proposed == new:
        return "agreed"
    policy = unit.policy
    if policy.protected and row.system != policy.owner:
        return "held" if policy.approval else "refused"
    return "outranked"
