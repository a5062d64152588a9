"""Survivorship: which contribution stands for each field, as a pure function of the set of contributions.

The incumbent golden value is no candidate, and neither arrival order nor ingest time decides: ties end in a total
order (time as the source states it, rank of the system, newest position inside one system, key). So any
interleaving of the same changes ends in the same golden record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from fieldwarden.engine.change import Value
from fieldwarden.engine.deciding.plural import speakers, with_parents, without_husks
from fieldwarden.engine.ledger.entries import Decision, Outcome
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.rulebook import Entity, Rulebook, Unit

_NEVER = -(2**62)
_NO_STAMP = Stamp("", None)


def choose(unit: Unit, rows: Sequence[Contribution]) -> Contribution | None:
    """The row whose values stand for the unit: of all rows of one record, in any order. None if nobody has a word on
    the unit. What that row stands for (`word_of`) is the golden value. Nothing is changed.

    In this order: a complete own word of a system that the rule hears, and with it whatever the owner's row holds;
    where no candidate is complete, the best of those that know every field, nulls and all (what its only source cleared
    is cleared everywhere); where no such word is left, what a row carries (it is what everybody holds).

    A protected unit hears its owner only, and its seeds while the owner has said nothing.

    >>> unit = Unit("name", ("name",), Policy("source_priority", ("erp", "crm")))
    >>> crm = Contribution("crm", "account", "1", "7", Stamp("7", 1000), {"name": "Ann"})
    >>> erp = Contribution("erp", "party", "9", "3", Stamp("3", 2000), {"name": None})
    >>> choose(unit, [crm, erp]).system, choose(unit, [erp]).system, choose(unit, [])
    ('crm', 'erp', None)
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
    """Those of a record's rows that can stand for a unit. Left out are rows below a row that is excluded or was merged
    into another, and of several rows in one stream with `first_by` all but the first.

    >>> unit = Unit("phone", ("phone",), Policy("source_priority", ("crm",)), plural=frozenset({("crm", "phone")}))
    >>> rows = [Contribution("crm", "phone", key, "7", Stamp("7", None), {}, order=(key,)) for key in ("n2", "n1")]
    >>> [row.key for row in candidates(unit, rows)]
    ['n1']
    """
    return _reduced(unit, rows)[0] if unit.below or unit.plural else rows


def _reduced(unit: Unit, rows: Sequence[Contribution]) -> tuple[Sequence[Contribution], Contribution | None]:
    """The candidates; and an owner's row that is none of them but stands all the same (see `_left`)."""
    left = None
    if unit.below:
        said = without_husks(rows, unit.below)
        rows = with_parents(said, unit.below)
        left = _left(unit, said) if unit.policy.protected and len(rows) < len(said) else None
        # It is among the candidates all the same: they were fewer for another row's sake.
        if left is not None and any(left is row for row in rows):
            left = None
    return speakers(rows, unit.plural) if unit.plural else rows, left


def is_spoken_for(unit: Unit, rows: Sequence[Contribution]) -> bool:
    """A quick look that needs no choice. True: some row's own word stands for the unit, though not said which. False
    says nothing: ask `choose`.

    >>> unit = Unit("name", ("name",), Policy("source_priority", ("crm",)))
    >>> is_spoken_for(unit, [Contribution("crm", "account", "1", "7", Stamp("7", None), {"name": "Ann"})])
    True
    """
    if not unit.simple:
        return False
    (name,), order = unit.fields, unit.policy.order
    for row in rows:
        if name in row.fields and name not in row.sent and row.deleted is None and row.system in order:
            return True
    return False


def _alone(unit: Unit, row: Contribution) -> Contribution | None:
    """As `choose`, for the only row of a record, which is live. It stands if it may speak at all and knows every
    field."""
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
    # The owner deleted its row: a protected value outlives it. A husk's does not: the row that it was merged into
    # speaks.
    if last := [row for row in owners if not row.husk]:
        return max(last, key=lambda row: (row.deleted or "", row.key))
    return _foremost(unit, rows, policy.seed_from) or _carrier(unit, rows)


def _left(unit: Unit, rows: Sequence[Contribution]) -> Contribution | None:
    """The owner's live row of which the parent row is excluded. Its word stands then as that of a deleted row does.
    None if the owner has no live row or several."""
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

    # A row that was only read, not seen to change, has no time: it ranks before every dated edit, so that reading rows
    # again makes nothing look recent.
    return max([row for row in heard if _complete(unit, row)] or heard, key=rank)


def _last(unit: Unit, rows: Sequence[Contribution]) -> Contribution:
    return rows[0] if len(rows) == 1 else max(rows, key=lambda row: _when(unit, row))


def _when(unit: Unit, row: Contribution) -> tuple[int, str, str]:
    """When a row said what it says: by its system's time, then by its position, then by its key.

    A carried value has no time of its own: the time of a block is that of its row's own edits."""
    stamps = [row.stamp(name) for name in unit.fields if row.own(name)] or [_NO_STAMP]
    at = max(_NEVER if stamp.at is None else stamp.at for stamp in stamps)
    return at, max(stamp.position for stamp in stamps), row.key


def _carrier(unit: Unit, rows: Sequence[Contribution]) -> Contribution | None:
    """Of the live rows that carry a value of the unit, the best-ranked. Systems that the rule does not hear come
    last."""
    carriers = [row for row in rows if row.deleted is None and _known(unit, row) and not _own(unit, row)]
    if not carriers:
        return None
    policy = unit.policy
    order = policy.seed_from if policy.protected else policy.order
    # The golden value stays where nobody speaks any more, also if only a system carries it that the rule does not hear.
    return min(carriers, key=lambda row: (_place(order, row.system), row.system, row.stream, row.key))


def _place(order: Sequence[str], system: str) -> int:
    return order.index(system) if system in order else len(order)


def _speaks(unit: Unit, row: Contribution) -> bool:
    """Whether what the row holds is a word: its own, or the owner's, whoever wrote it first."""
    # The owner's row says what it holds, whoever wrote it first: also a value that we carried there from a seed.
    if row.system == unit.policy.owner:
        return _known(unit, row)
    return _own(unit, row) and _known(unit, row)


def _own(unit: Unit, row: Contribution) -> bool:
    """One own edit makes the whole block that the row holds its own word, carried fields included."""
    fields, sent = row.fields, row.sent
    for name in unit.fields:
        if name in fields and name not in sent:
            return True
    return bool(row.still) and any(map(row.own, unit.fields))


def _known(unit: Unit, row: Contribution) -> bool:
    """True if the row holds something in every field of the unit, and none of it is nobody's word."""
    fields, carried, sent = row.fields, row.carried, row.sent
    for name in unit.fields:
        if name in sent:
            # Else it could become golden while that write is under way, by what a refusal put back.
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
        # In a group a field may be null without `on_null: value` where the entity calls it optional.
        if row.system not in policy.nulls and (alone or name not in unit.optional):
            return False
    return True


def roots(rulebook: Rulebook) -> dict[str, frozenset[tuple[str, str]]]:
    """By entity, the (system, stream) pairs whose rows stand for its records: all streams of the entity without a
    parent. An entity that no system has is there with an empty set."""
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
    """True if the record is retired: systems with delete authority deleted all of their rows of it, or no live row of
    any system stands for it. False for a record none of whose rows was deleted.

    `root_streams` are the (system, stream) pairs whose rows stand for the entity's records (`roots`).

    >>> customer = Entity("customer", {}, (), {}, delete_authority=frozenset({"crm"}))
    >>> crm = Contribution("crm", "account", "1", "7", Stamp("7", None), {}, deleted="7")
    >>> erp = Contribution("erp", "party", "9", "3", Stamp("3", None), {})
    >>> retired(customer, {("crm", "account"), ("erp", "party")}, [crm, erp])
    True
    """
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
    """Choose anew what a change touched, and say what became of each field.

    `changed` are the fields of `row` whose word changed (all that it had said, if the row is `deleted`). The row has
    taken the change in already. Fields of the same group whose golden value moves with the block are decided as well;
    fields that left the rules are passed over. `observed`: the row was read by a snapshot. Nobody has tried to write
    anything then, so it can be outranked but not refused.

    `record.golden` is changed in place; its version and rows are not. A field that is null before, after and in the row
    makes no decision.

    >>> unit = Unit("name", ("name",), Policy("source_priority", ("erp", "crm"), owner="erp", protected=True))
    >>> customer = Entity("customer", {}, (unit,), {"name": unit})
    >>> crm = Contribution("crm", "account", "1", "7", Stamp("7", 2000), {"name": "Anna"})
    >>> erp = Contribution("erp", "party", "9", "3", Stamp("3", 1000), {"name": "Ann"})
    >>> record = Record("0190", "customer", 1, {"name": "Ann"}, [crm, erp])
    >>> [(each.field, each.outcome, each.proposed, each.after) for each in decide(customer, record, crm, ["name"])]
    [('name', 'refused', 'Anna', 'Ann')]
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
        # crm's word was refused, then crm became the owner: its row holds the refused word until it is corrected.
        stays = winner is None and awaits_correction(unit, rows)
        for name in unit.fields:
            old, new = golden.get(name), None
            if stays:
                new = old
            elif winner is None:
                golden.pop(name, None)
            else:
                new = golden[name] = word_of(winner, name)
            if old == new and name not in touched:
                continue
            proposed = None if deleted else word_of(row, name)
            if old is None and new is None and proposed is None:
                continue
            outcome = _gone(record, winner) if deleted else _outcome(unit, row, winner, proposed, old, new)
            if observed and outcome in ("refused", "held"):
                outcome = "outranked"
            system = "" if winner is None else winner.system
            decisions.append(Decision(name, outcome, proposed, old, new, system))
    return decisions


def word_of(row: Contribution, name: str) -> Value:
    """What the row stands for in the field (`Contribution.word`). None also where nothing was ever heard of it.

    >>> word_of(Contribution("crm", "account", "1", "7", Stamp("7", None), {"name": "Ann"}), "name")
    'Ann'
    """
    value = row.word(name)
    return None if value is msgspec.UNSET else value


def awaits_correction(unit: Unit, rows: Sequence[Contribution]) -> bool:
    """True if the owner's row still holds what was refused before that system became the owner. Then the golden value
    stays as it is, even if nobody stands for it: correcting the row makes the golden value the owner's own."""
    owner = unit.policy.owner
    for row in speakers(rows, unit.plural) if unit.plural else rows:
        if row.void and row.system == owner and row.deleted is None and not row.void.keys().isdisjoint(unit.fields):
            return True
    return False


def _gone(record: Record, winner: Contribution | None) -> Outcome:
    """A protected field whose owner's row is gone is held for a person to look at, unless the record went with it."""
    outlives = winner is not None and winner.deleted is not None and not record.retired
    return "held" if outlives else "withdrawn"


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
