"""Survivorship: which contribution stands for each field, as a pure function of the set of contributions.

The incumbent golden value is no candidate, and neither arrival order nor ingest time decides: ties end in a total
order (time as the source states it, rank of the system, newest position inside one system, key). So any
interleaving of the same changes ends in the same golden record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from fieldwarden.engine.change import Value
from fieldwarden.engine.deciding.plural import is_excluded, speakers, with_parents, without_husks
from fieldwarden.engine.ledger.entries import Decision, Outcome
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.rulebook import Entity, Rulebook, Unit

_NEVER = -(2**62)
_NO_STAMP = Stamp("", None)
_UNHEARD = ""
"""In place of a system's name: some of the fields are not the speaker's to supply."""
_SHAPES = 1000
"""Sets of fields remembered: rows of one stream nearly always state the same ones."""


def choose(unit: Unit, rows: Sequence[Contribution]) -> Contribution | None:
    """The contribution that wins the unit, or None where nobody has a word on it. What it holds is the golden value.

    Own words of those who are heard come first, and with them whatever the owner's row holds. Where no candidate is
    complete, the best of those that know every field stands, nulls and all: a value that its only source cleared is
    cleared everywhere. Where no such word is left, what a row carries stands: it is what everybody holds.
    """
    policy = unit.policy
    if len(rows) == 1 and rows[0].deleted is None:
        return _alone(unit, rows[0])
    if unit.below or unit.plural:
        rows, left = _reduced(unit, rows)
        if left is not None:
            return left
    if policy.protected:
        return _protected(unit, rows)
    best = _newest if policy.strategy == "recency" else _foremost
    return best(unit, rows, policy.order) or _carrier(unit, rows)


def candidates(unit: Unit, rows: Sequence[Contribution]) -> Sequence[Contribution]:
    """Those of a record's rows that can stand for a unit: none below a row that is excluded or was merged into another,
    and of several in one stream only the first."""
    return _reduced(unit, rows)[0] if unit.below or unit.plural else rows


def _reduced(unit: Unit, rows: Sequence[Contribution]) -> tuple[Sequence[Contribution], Contribution | None]:
    """The candidates; and an owner's row that is none of them but stands all the same (see `_left`)."""
    left = None
    if unit.below:
        said = without_husks(rows, unit.below)
        rows = with_parents(said, unit.below)
        left = _left(unit, said) if unit.policy.protected and len(rows) < len(said) else None
        if left is not None and any(left is row for row in rows):
            left = None
    return speakers(rows, unit.plural) if unit.plural else rows, left


def is_spoken_for(unit: Unit, rows: Sequence[Contribution]) -> bool:
    """Whether, for certain, somebody's own word stands for a unit: False says nothing.

    Much cheaper than `choose`, for who need not know whose."""
    if not unit.simple:
        return False
    (name,), order = unit.fields, unit.policy.order
    for row in rows:
        if name in row.fields and name not in row.sent and row.deleted is None and row.system in order:
            return True
    return False


def _alone(unit: Unit, row: Contribution) -> Contribution | None:
    """Who has nobody to contend with stands, if it may speak at all and knows every field."""
    policy, system = unit.policy, row.system
    if not _known(unit, row):
        return None
    if not _own(unit, row):
        return row
    heard = (system == policy.owner or system in policy.seed_from) if policy.protected else system in policy.order
    return row if heard else None


def _protected(unit: Unit, rows: Sequence[Contribution]) -> Contribution | None:
    """The owner's word; after its row is deleted its last word; before its first one a seed."""
    policy = unit.policy
    owners = [row for row in rows if row.system == policy.owner and _known(unit, row)]
    if owners and (stands := _foremost(unit, owners, (policy.owner or "",))):
        return stands
    if last := [row for row in owners if not row.husk]:
        return max(last, key=lambda row: (row.deleted or "", row.key))
    return _foremost(unit, rows, policy.seed_from) or _carrier(unit, rows)


def _left(unit: Unit, rows: Sequence[Contribution]) -> Contribution | None:
    """The owner's word; where its only live row is excluded with its parent, it stands as that of a deleted one."""
    owners = [row for row in rows if row.system == unit.policy.owner and row.deleted is None and _known(unit, row)]
    return max(owners, key=lambda row: row.key) if len(owners) == 1 else None


def _foremost(unit: Unit, rows: Sequence[Contribution], order: Sequence[str]) -> Contribution | None:
    """The complete word of the best-ranked system that has one, else the best-ranked word there is; of several in one
    system the last."""
    incomplete: list[Contribution] = []
    for system in order:
        heard = [row for row in rows if row.system == system and row.deleted is None and _speaks(unit, row)]
        if heard:
            complete = [row for row in heard if _complete(unit, row)]
            if complete:
                return _last(unit, complete)
            incomplete = incomplete or heard
    return _last(unit, incomplete) if incomplete else None


def _newest(unit: Unit, rows: Sequence[Contribution], order: Sequence[str]) -> Contribution | None:
    """The last of the complete words, else of all; of those told at one time the best-ranked system's."""
    heard = [row for row in rows if row.deleted is None and row.system in order and _speaks(unit, row)]
    if len(heard) < 2:
        return heard[0] if heard else None

    def rank(row: Contribution) -> tuple[int, int, str, str]:
        at, position, key = _when(unit, row)
        return at, -order.index(row.system), position, key

    return max([row for row in heard if _complete(unit, row)] or heard, key=rank)


def _last(unit: Unit, rows: Sequence[Contribution]) -> Contribution:
    return rows[0] if len(rows) == 1 else max(rows, key=lambda row: _when(unit, row))


def _when(unit: Unit, row: Contribution) -> tuple[int, str, str]:
    """When a row said what it says, by its system's time and by its order, and its key where both are the same.

    A carried value has no time of its own: the time of a block is that of its row's own edits."""
    stamps = [row.stamp(name) for name in unit.fields if row.own(name)] or [_NO_STAMP]
    at = max(_NEVER if stamp.at is None else stamp.at for stamp in stamps)
    return at, max(stamp.position for stamp in stamps), row.key


def _carrier(unit: Unit, rows: Sequence[Contribution]) -> Contribution | None:
    """Of the rows that carry a value of the unit, the best-ranked: where nobody says anything any more, what they hold
    stays. Systems that the rule does not hear come last."""
    carriers = [row for row in rows if row.deleted is None and _known(unit, row) and not _own(unit, row)]
    if not carriers:
        return None
    policy = unit.policy
    order = policy.seed_from if policy.protected else policy.order
    return min(carriers, key=lambda row: (_place(order, row.system), row.system, row.stream, row.key))


def _place(order: Sequence[str], system: str) -> int:
    return order.index(system) if system in order else len(order)


def _speaks(unit: Unit, row: Contribution) -> bool:
    """Whether what the row holds is a word: its own, or the owner's, whoever wrote it first."""
    if row.system == unit.policy.owner:
        return _known(unit, row)
    return _own(unit, row) and _known(unit, row)


def _own(unit: Unit, row: Contribution) -> bool:
    """One own edit makes the block that the row holds its own word."""
    fields, sent = row.fields, row.sent
    for name in unit.fields:
        if name in fields and name not in sent:
            return True
    return bool(row.still) and any(map(row.own, unit.fields))


def _known(unit: Unit, row: Contribution) -> bool:
    """Whether the row holds something in every field of the unit, and none of it is nobody's word."""
    fields, carried, sent = row.fields, row.carried, row.sent
    for name in unit.fields:
        if name in sent:
            if name in row.restore and row.restore[name] == sent[name]:
                return False  # what it held before a refusal, on its way back: as much nobody's as after its echo
        elif name not in fields and name not in carried:
            return False
    return True


def _complete(unit: Unit, row: Contribution) -> bool:
    """A full candidate's nulls are values only where the system says so."""
    policy = unit.policy
    alone = len(unit.fields) == 1
    for name in unit.fields:
        if row.word(name) is not None:
            continue
        if alone and policy.strategy == "first_non_null":
            return False
        if row.system not in policy.nulls and (alone or name not in unit.optional):
            return False
    return True


def roots(rulebook: Rulebook) -> dict[str, frozenset[tuple[str, str]]]:
    """By entity, the (system, stream) whose rows stand for its records."""
    return {
        entity: frozenset(
            (system.name, stream.name)
            for system in rulebook.systems.values()
            for stream in system.streams.values()
            if stream.entity == entity and stream.parent is None
        )
        for entity in rulebook.entities
    }


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
    golden, rows = record.golden, record.rows
    alone = rows[0] if len(rows) == 1 and rows[0].deleted is None else None
    touched, decided = set(changed), set()
    decisions = []
    for first in changed:
        unit = entity.unit_of.get(first)
        if unit is None:  # a field of former rules that the row still tells of
            continue
        if len(unit.fields) > 1:
            if unit.name in decided:
                continue
            decided.add(unit.name)
        winner = choose(unit, rows) if alone is None else _alone(unit, alone)
        stays = winner is None and awaits_correction(unit, rows)
        for name in unit.fields:
            old, new = golden.get(name), None
            if stays:
                new = old
            elif winner is None:
                golden.pop(name, None)
            else:
                new = golden[name] = held(winner, name)
            if old == new and name not in touched:
                continue
            proposed = None if deleted else held(row, name)
            if old is None and new is None and proposed is None:
                continue
            outcome = _gone(record, winner) if deleted else _outcome(unit, row, winner, proposed, old, new)
            if observed and outcome in ("refused", "held"):
                outcome = "outranked"
            system = "" if winner is None else winner.system
            decisions.append(Decision(name, outcome, proposed, old, new, system))
    return decisions


def held(row: Contribution, name: str) -> Value:
    """What the row stands for as far as we know; None also where it never told."""
    value = row.word(name)
    return None if value is msgspec.UNSET else value


def awaits_correction(unit: Unit, rows: Sequence[Contribution]) -> bool:
    """Whether the owner's row still holds what was refused before it became the owner: until it is corrected, which
    makes the golden value its own, the golden value stays."""
    owner = unit.policy.owner
    for row in speakers(rows, unit.plural) if unit.plural else rows:
        if row.void and row.system == owner and row.deleted is None and not row.void.keys().isdisjoint(unit.fields):
            return True
    return False


class Unrivalled:
    """The plainest case of `decide`, and by far the most common: the only row that says anything says something new in
    fields on which its system is heard, and all of it is accepted.

    Which sets of fields that holds for depends on the rules alone, so it is found out once per set."""

    def __init__(self, entity: Entity, system: str) -> None:
        self._entity = entity
        self._system = system
        self._owners: dict[tuple[str, ...], frozenset[str]] = {}
        self._below = {
            place: above for unit in entity.units for place, above in unit.below.items() if place[0] == system
        }

    def accept(
        self, record: Record, row: Contribution, changed: Sequence[str]
    ) -> tuple[dict[str, Value], dict[str, Value]] | None:
        """Take the changed fields over into the golden values: (accepted values, those that they replace), as
        `encode_accepted` wants them. None, and nothing done, where this is not that case."""
        if row.deleted is not None:
            return None
        names = tuple(changed)
        owners = self._owners.get(names)
        if owners is None:
            owners = self._owners[names] = self._rivals(names)
            if len(self._owners) > _SHAPES:
                self._owners.clear()
        if self._below and is_excluded(row, record.rows, self._below):
            return None
        if _UNHEARD in owners or (len(record.rows) > 1 and not _only_speaker(record.rows, row, owners)):
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

    def _rivals(self, names: tuple[str, ...]) -> frozenset[str]:
        """Other systems that own some of these fields, whose rows' values stand whoever wrote them. _UNHEARD is among
        them where the system may not supply all of the fields, only the first of several rows does, or a group that
        they touch is not whole."""
        given, system = set(names), self._system
        owners = set()
        for name in names:
            unit = self._entity.unit_of.get(name)
            if unit is None or unit.plural or not given.issuperset(unit.fields):
                return frozenset((_UNHEARD,))
            policy = unit.policy
            if not (
                system == policy.owner or system in policy.seed_from if policy.protected else system in policy.order
            ):
                return frozenset((_UNHEARD,))
            if policy.owner is not None and policy.owner != system:
                owners.add(policy.owner)
        return frozenset(owners) if names else frozenset((_UNHEARD,))


def _only_speaker(rows: Sequence[Contribution], row: Contribution, owners: frozenset[str]) -> bool:
    """Whether no other row has a word: none of its own (rows that we created, and whose systems are silent, have none),
    and none as the owner of a field."""
    for other in rows:  # noqa: SIM110 (asked for every change of a record with several rows)
        if (other.fields or other.system in owners) and other is not row:
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
