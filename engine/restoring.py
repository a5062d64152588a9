"""What a split gives back of what the join replaced: a record's values from before it, out of the ledger.

A record is what its rows say, so a value comes back as the word of a row: of the one that had said it, while the
others carry it as they did. It is golden then by the ordinary choice, under the rules of today, or it is not given back
at all. Only what we wrote into a row is replaced: what somebody said there since stays.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from engine.change import RowRef, Value
from engine.contribution import give_back
from engine.ledger import EntryBody
from engine.record import Contribution, Record, Stamp
from engine.resolve import choose, held
from rules.rulebook import Entity, Unit

Writable = Mapping[tuple[str, str], Collection[str]]
"""By (system, stream), the fields that may be written into its rows."""

_SAYING = frozenset({"said", "observed", "moved", "rekeyed", "mended"})


@dataclass(slots=True)
class Former:
    """What the ledger tells of one of the two records: feed its entries of before the join to `before`, those of the
    joined record to `since`, in their order."""

    rows: frozenset[RowRef]
    """Those that are its own after the split."""
    golden: dict[str, Value] = field(default_factory=dict)
    """Its values before the join."""
    meant: dict[str, Value] = field(default_factory=dict)
    """The same, with what its rows have said since."""
    _winners: dict[str, str] = field(default_factory=dict)
    _said: dict[tuple[RowRef, str], tuple[Value, Stamp]] = field(default_factory=dict)
    _since: set[tuple[RowRef, str]] = field(default_factory=set)

    def before(self, body: EntryBody) -> None:
        row = RowRef(*body.row)
        for each in body.decisions:
            self.golden[each.field] = self.meant[each.field] = each.after
            if each.winner:
                self._winners[each.field] = each.winner
            if body.event in _SAYING:
                self._said[row, each.field] = each.proposed, Stamp(body.position, body.at)

    def since(self, body: EntryBody) -> None:
        row = RowRef(*body.row)
        joined = body.event == "joined"  # another record came to it later, and is not what is split
        if not joined and (row not in self.rows or body.event not in _SAYING):
            return
        for each in body.decisions:
            if not joined:
                self._said[row, each.field] = each.proposed, Stamp(body.position, body.at)
                self._since.add((row, each.field))
            if joined or each.outcome == "accepted":
                self.meant[each.field], self._winners[each.field] = each.after, each.winner

    def follow(self, joined: Mapping[str, str], fields: Collection[str]) -> None:
        """What these fields referred to is another record by now."""
        for values in (self.golden, self.meant):
            for name in fields:
                value = values.get(name)
                if value is not None and value in joined:
                    values[name] = joined[value]

    def speaker(self, unit: Unit, rows: Sequence[Contribution]) -> tuple[Contribution, Stamp] | None:
        """The row that had said what is meant, and when; None where none is known to."""
        for row in rows:
            for name in unit.fields:
                value, stamp = self._said.get((row.ref, name), (None, None))
                if (
                    stamp
                    and value is not None
                    and value == self.meant.get(name)
                    and self._winners.get(name) == row.system
                ):
                    return row, stamp
        return None

    def said_since(self, unit: Unit, row: Contribution) -> bool:
        return any((row.ref, name) in self._since and row.own(name) for name in unit.fields)


@dataclass(frozen=True, slots=True)
class Returned:
    """One field of one record that the join had changed: what the joined record has, what this one had, what it has
    after the split. `why`: why that is not given back; "" if it is. `systems`: those in whose rows it is written."""

    record: str
    field: str
    now: Value
    former: Value
    after: Value
    systems: tuple[str, ...]
    why: str


def give_all_back(
    entity: Entity, record: Record, former: Former, writable: Writable, now: Mapping[str, Value]
) -> list[Returned]:
    """Give the record what the join took, as far as its rows let it be; it is changed in place, but for its golden
    values. `now`: those of the joined record. Tells what is not as before, or would not be without."""
    told = []
    for unit in entity.units:
        meant = _values(unit, former.meant)
        plain = choose(unit, record.rows)
        without = _stands(unit, plain)
        why = "another record was joined to it since"
        if plain is not None and former.said_since(unit, plain):
            why = f"{plain.system} says so since the join"
        if without != meant:
            why = _return(unit, record, former, writable, meant, plain)
        after = without if why else meant
        for name, value in after.items():
            if value != (former.golden.get(name) if why else without[name]):
                systems = _written(record, name, value, writable)
                told.append(Returned(record.id, name, now.get(name), former.golden.get(name), value, systems, why))
    for name, value in former.golden.items():
        if name not in entity.fields and value is not None:
            told.append(Returned(record.id, name, now.get(name), value, None, (), "it has left the rules"))
    return told


def _return(
    unit: Unit,
    record: Record,
    former: Former,
    writable: Writable,
    meant: dict[str, Value],
    plain: Contribution | None,
) -> str:
    """Let rows stand for what is meant again; "" or why they cannot."""
    if plain is not None and former.said_since(unit, plain):
        return f"{plain.system} says otherwise since the join"
    speaker = former.speaker(unit, record.rows)
    kept, given = list(record.rows), False
    for index, row in enumerate(kept):
        if _is_ours(unit, row, meant, writable.get((row.system, row.stream), ())):
            again = copy.deepcopy(row)
            own = speaker[1] if speaker is not None and speaker[0] is row else None
            for name in unit.fields:
                if row.given(name) and row.word(name) != meant[name]:
                    give_back(again, name, meant[name], own)
            record.rows[index], given = again, True
    winner = choose(unit, record.rows)
    if given and _stands(unit, winner) == meant:
        return ""
    record.rows[:] = kept
    return _why_not(unit, winner, given)


def _is_ours(unit: Unit, row: Contribution, meant: Mapping[str, Value], fields: Collection[str]) -> bool:
    """Whether all that is not as meant in the row is what we wrote there, and may be written again."""
    if row.deleted is not None or any(row.own(name) for name in unit.fields):
        return False
    other = [name for name in unit.fields if row.given(name) and row.word(name) != meant[name]]
    return bool(other) and all(name in fields and name not in row.unreadable for name in other)


def _why_not(unit: Unit, winner: Contribution | None, given: bool) -> str:
    if winner is None:
        return "no row of it holds what was written there"
    if winner.system == unit.policy.owner:
        return f"{winner.system} owns it"
    if given or any(winner.own(name) for name in unit.fields):
        return f"by today's rules {winner.system} comes first"
    return f"{winner.system} does not take it"


def _written(record: Record, name: str, value: Value, writable: Writable) -> tuple[str, ...]:
    rows = [row for row in record.rows if row.deleted is None and name in writable.get((row.system, row.stream), ())]
    return tuple(
        sorted({row.system for row in rows if row.given(name) or name in row.still if row.holds(name) != value})
    )


def _values(unit: Unit, values: Mapping[str, Value]) -> dict[str, Value]:
    return {name: values.get(name) for name in unit.fields}


def _stands(unit: Unit, winner: Contribution | None) -> dict[str, Value]:
    return {name: None if winner is None else held(winner, name) for name in unit.fields}
