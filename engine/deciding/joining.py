"""Two records that turn out to be one: whether they may be joined, and what becomes of both.

A record that was begun from a row without a match key, or before anybody knew better, may come to state the same key as
another. They are joined by themselves where nothing contradicts it; else they stand in the queue of duplicates, and a
steward decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.identity import match_pairs
from fieldwarden.engine.deciding.reresolve import redecided
from fieldwarden.engine.deciding.resolve import choose, retired
from fieldwarden.engine.ledger.entries import Decision
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Entity

Roots = Collection[tuple[str, str]]
"""The (system, stream) whose rows stand for the entity's records."""

Apart = Collection[frozenset[str]]
"""Pairs of records that a steward said are not one."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What a join did: the golden values that changed in the record that goes on, and those that the other gave up;
    `retired` and `other_retired` are set where that changed."""

    decisions: list[Decision]
    given_up: list[Decision]
    retired: bool | None
    other_retired: bool | None


def contradiction(entity: Entity, records: Sequence[Record], roots: Roots, apart: Apart) -> str:
    """Why these records of one entity may not be joined without a steward, in words without values. "" if they may.

    Of two records the first match key that both state decides, as it does of a row that looks for its record: who
    shares a tax id may differ in the e-mail, but not the other way round. `roots`: whose rows stand for the entity's
    records; `apart`: pairs of records that a steward keeps apart."""
    if why := obstacle(records, roots, apart):
        return why
    stated = [dict(match_pairs(entity, record.golden)) for record in records]
    for one, other in combinations(stated, 2):
        if key := parting(entity, one, other):
            return f"they differ in {key}"
    return ""


def parting(entity: Entity, one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """The match key that tells two records apart, each given as what it states by key: the first that both state, if
    they differ in it. "" if none does.

    >>> keys = MatchKey("tax_id", ("tax_id",)), MatchKey("email", ("email",))
    >>> customer = Entity("customer", {}, (), {}, match=keys)
    >>> parting(customer, {"tax_id": "1", "email": "a@x"}, {"tax_id": "1", "email": "b@x"})
    ''
    >>> parting(customer, {"email": "a@x"}, {"tax_id": "1", "email": "b@x"})
    'email'
    """
    for key in entity.match:
        if key.name in one and key.name in other:
            return "" if one[key.name] == other[key.name] else key.name
    return ""


def obstacle(records: Sequence[Record], roots: Roots, apart: Apart, but: RowRef | None = None) -> str:
    """Why these records may not be joined, whatever their keys say. "" if they may. `but`: a row that does not
    count."""
    ids = {record.id for record in records}
    if any(pair <= ids for pair in apart):
        return "a steward keeps them apart"
    if double := rooted_twice(records, roots, but):
        return f"{double[0].system} has a row of its own in each"
    return ""


def rooted_twice(records: Sequence[Record], roots: Roots, but: RowRef | None = None) -> list[Contribution]:
    """The live root rows of the first system (by name) that has some in more than one of these records. None if no
    system has."""
    rows: dict[str, list[tuple[str, Contribution]]] = {}
    for record in records:
        for row in record.rows:
            if row.live and (row.system, row.stream) in roots and row.ref != but:
                rows.setdefault(row.system, []).append((record.id, row))
    for system in sorted(rows):
        if len({id for id, _ in rows[system]}) > 1:
            return [row for _, row in rows[system]]
    return []


def join(entity: Entity, roots: Roots, survivor: Record, absorbed: Record) -> Joined:
    """Give all rows of `absorbed` to `survivor` and choose its golden values anew. Both are changed in place, except
    for their versions; `absorbed` is left retired and empty, so that its id is never anybody else's."""
    survivor.rows += absorbed.rows
    chosen = [(unit, choose(unit, survivor.rows)) for unit in entity.units]
    decisions = redecided(chosen, survivor, "joined")
    now = retired(entity, roots, survivor.rows)
    flipped = now if now != survivor.retired else None
    survivor.retired = now
    given_up = [
        Decision(name, "merged", None, value, None, "") for name, value in absorbed.golden.items() if value is not None
    ]
    other = None if absorbed.retired else True
    absorbed.rows, absorbed.golden, absorbed.retired = [], {}, True
    return Joined(decisions, given_up, flipped, other)


def split(
    entity: Entity,
    roots: Roots,
    record: Record,
    other: Record,
    rows: Collection[RowRef],
    give_back: Callable[[Record], Collection[str]] = lambda _: (),
) -> Joined:
    """Give these rows of `record` to `other`, which has none, and choose the golden values of both anew. Both are
    changed in place, except for their versions. In what comes back, `given_up` and `other_retired` are those of
    `other`. `give_back` is called with each record once it has its rows, may change them, and names the fields that it
    gave back."""
    other.rows = [row for row in record.rows if row.ref in rows]
    record.rows = [row for row in record.rows if row.ref not in rows]
    told = []
    for each in (record, other):
        names = give_back(each)
        each.large = record.large or bool(names)  # what is given back may be large
        decisions = redecided([(unit, choose(unit, each.rows)) for unit in entity.units], each, "split")
        decisions = [one._replace(outcome="restored") if one.field in names else one for one in decisions]
        now = retired(entity, roots, each.rows)
        told.append((decisions, now if now != each.retired else None))
        each.retired = now
    (kept, flipped), (given, other_flipped) = told
    return Joined(kept, given, flipped, other_flipped)


def referring(entities: Mapping[str, Entity]) -> dict[str, tuple[str, ...]]:
    """By entity, its fields that hold ids of records. Entities without any are left out."""
    found = {
        entity.name: tuple(name for name, field in entity.fields.items() if field.type.kind == "ref")
        for entity in entities.values()
    }
    return {name: fields for name, fields in found.items() if fields}


def named(record: Record, fields: Sequence[str]) -> set[str]:
    """The ids of the records that this one refers to, in its golden values and in all that its rows keep."""
    kept = [record.golden, *(values for row in record.rows for values in values_of(row))]
    return {value for values in kept for name in fields if (value := values.get(name)) is not None}


def follow(record: Record, fields: Sequence[str], joined: Mapping[str, str]) -> tuple[bool, list[Decision]]:
    """Let a record that refers to joined records refer to those that go on (`joined`: old id -> new id). The record is
    changed in place, except for its version. Gives whether anything was, and the decisions for the golden values that
    changed.

    >>> record = Record("0190", "order", 1, {"customer": "0001"}, [])
    >>> follow(record, ["customer"], {"0001": "0002"})[0], record.golden
    (True, {'customer': '0002'})
    """
    decisions = []
    for name in fields:
        old = record.golden.get(name)
        if old is not None and old in joined:
            record.golden[name] = joined[old]
            decisions.append(Decision(name, "joined", None, old, joined[old], ""))
    moved = bool(decisions)
    for row in record.rows:
        for values in values_of(row):
            for name in fields:
                value = values.get(name)
                if value is not None and value in joined:
                    values[name], moved = joined[value], True
    return moved, decisions


def values_of(row: Contribution) -> tuple[dict[str, Value], ...]:
    """All mappings by field in which a row keeps values. They are the row's own: who changes them changes the row."""
    return row.fields, row.carried, row.void, row.restore, row.sent, row.still
