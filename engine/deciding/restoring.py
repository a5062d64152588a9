"""What a split gives back of what the join replaced: a record's values from before it, out of the ledger.

A record is what its rows say, so a value comes back as the word of a row: of the one that had said it, while the
others carry it as they did. It is golden then by the ordinary choice, under the rules of today, or it is not given back
at all. Only what we wrote into a row is replaced: what somebody said there since stays.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.contribution import give_back
from fieldwarden.engine.deciding.resolve import choose, word_of
from fieldwarden.engine.ledger.entries import Decision, EntryBody
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.rulebook import Entity, Unit

Writable = Mapping[tuple[str, str], Collection[str]]
"""By (system, stream), the fields that may be written into its rows."""

Moment = tuple[int, int]

_SAYING = frozenset({"said", "observed", "moved", "mended"})


@dataclass(slots=True)
class Keys:
    """The keys that rows have by now: give it first, in their order, all entries that tell of another key.

    A moment is where an entry stands among those of both records."""

    _given: list[tuple[Moment, RowRef, RowRef]] = field(default_factory=list)

    def learn(self, moment: Moment, body: EntryBody) -> None:
        """Take in an entry that may tell that a row got another key."""
        if body.event == "rekeyed":
            row = RowRef(*body.row)
            self._given.append((moment, row._replace(key=body.was), row))

    def now(self, moment: Moment, row: RowRef) -> RowRef:
        """The row that had this key at this moment, by the key that it has now.

        >>> keys, here = Keys(), ("crm", "public.account")
        >>> keys.learn((1, 5), EntryBody("customer", (*here, "C-2"), "rekeyed", "", None, [], was="C-1"))
        >>> keys.now((1, 4), RowRef(*here, "C-1")).key, keys.now((1, 6), RowRef(*here, "C-1")).key
        ('C-2', 'C-1')
        """
        for given, old, new in self._given:
            if given > moment and old == row:
                row = new
        return row


@dataclass(slots=True)
class BeforeJoin:
    """What the ledger tells of one of the two records: feed its entries of before the join to `before`, those of the
    joined record to `since`, in their order, the rows by the keys that they have now (`Keys`).

    Other records may have been joined to it, and split from it again, before the join and after it. What one brought is
    with it only as long as that one is."""

    rows: frozenset[RowRef]
    """Those that are its own after the split."""
    stays: bool = True
    """Whether it is the one that goes on: with it are records that were joined to it later."""
    golden: dict[str, Value] = field(default_factory=dict)
    """Its values before the join."""
    meant: dict[str, Value] = field(default_factory=dict)
    """The same, with what its rows have said since."""
    _winners: dict[str, str] = field(default_factory=dict)
    _said: dict[tuple[RowRef, str], tuple[Value, Stamp]] = field(default_factory=dict)
    _since: set[tuple[RowRef, str]] = field(default_factory=set)
    _beneath: dict[str, dict[str, tuple[Value, str]]] = field(default_factory=dict)
    """By record that was joined to it and is with it still: of the fields that this has changed, what stood before."""
    _later: set[str] = field(default_factory=set)
    """Those of them that came after the join."""

    def before(self, body: EntryBody) -> None:
        """Take in the next entry of before the join."""
        row = RowRef(*body.row)
        if body.event == "joined":
            self._beneath[body.was] = {}
        elif body.event == "split":
            self._without(body.was)  # what its entry says stands
        for each in body.decisions:
            self._cover(body, row, each)
            self.golden[each.field] = self.meant[each.field] = each.after
            if each.winner:
                self._winners[each.field] = each.winner
            if body.event in _SAYING:
                self._said[row, each.field] = each.proposed, Stamp(body.position, body.at)

    def since(self, body: EntryBody) -> None:
        """Take in the next entry of the joined record, of after the join."""
        row = RowRef(*body.row)
        joined = body.event == "joined" and self.stays
        if body.event == "split":
            self._split(body)
        elif body.event == "parted":
            self._part(body)
        elif joined:
            self._beneath[body.was] = {}
            self._later.add(body.was)
        if not joined and (row not in self.rows or body.event not in _SAYING):
            return
        for each in body.decisions:
            self._cover(body, row, each)
            if not joined:
                self._said[row, each.field] = each.proposed, Stamp(body.position, body.at)
                self._since.add((row, each.field))
            if joined or each.outcome == "accepted":
                self.meant[each.field], self._winners[each.field] = each.after, each.winner

    def _cover(self, body: EntryBody, row: RowRef, each: Decision) -> None:
        """Note what another record's values are to stand over; the word of its own row stands whoever leaves."""
        if not self._beneath:
            return
        if body.event == "joined" or (body.event in _SAYING and row not in self.rows):
            last = next(reversed(self._beneath.values()))
            last.setdefault(each.field, (self.meant.get(each.field), self._winners.get(each.field, "")))
        elif body.event in _SAYING and each.outcome in ("accepted", "agreed"):
            for beneath in self._beneath.values():
                beneath.pop(each.field, None)

    def _without(self, left: str) -> dict[str, tuple[Value, str]]:
        """That record is not with it any more: what stood before in the fields that nobody has covered since."""
        if left not in self._beneath:
            return {}
        joined = list(self._beneath)
        after = joined[joined.index(left) + 1 :]
        uncovered = {}
        for name, stood in self._beneath.pop(left).items():
            over = next((each for each in after if name in self._beneath[each]), "")
            if over:
                self._beneath[over][name] = stood
            else:
                uncovered[name] = stood
            if left not in self._later and (not over or over in self._later):
                self.golden[name] = stood[0]
        return uncovered

    def _split(self, body: EntryBody) -> None:
        """Another record left the joined one, which matters to one that it had been joined to."""
        covered = set(self._beneath.get(body.was, ()))
        for name, stood in self._without(body.was).items():
            self.meant[name], self._winners[name] = stood
        if not self.stays or body.was in self._later:
            return
        systems = {row.system for row in self.rows}
        for each in body.decisions:  # its own rows' words that stand again since, not what a third record says
            if each.field not in covered and (each.winner in systems or not each.winner):
                self.golden[each.field] = self.meant[each.field] = each.after
                self._winners[each.field] = each.winner

    def _part(self, body: EntryBody) -> None:
        """What its rows refer to is another record again."""
        for each in body.decisions:
            if each.after == body.was and each.before is not None:
                self.follow({each.before: body.was}, [each.field])

    def follow(self, joined: Mapping[str, str], fields: Collection[str]) -> None:
        """What these fields referred to is another record by now (`joined`: old id -> new id)."""
        for values in (self.golden, self.meant):
            for name in fields:
                value = values.get(name)
                if value is not None and value in joined:
                    values[name] = joined[value]
        for (row, name), (value, stamp) in self._said.items():
            if name in fields and value is not None and value in joined:
                self._said[row, name] = joined[value], stamp

    def speaker(self, unit: Unit, rows: Sequence[Contribution]) -> tuple[Contribution, Stamp] | None:
        """The row that had said what is meant in the unit, and when. None where no such row is known."""
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
        """True if the row's own word on the unit was said after the join."""
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
    entity: Entity,
    record: Record,
    former: BeforeJoin,
    writable: Writable,
    now: Mapping[str, Value],
    unread: Collection[tuple[str, str]] = (),
) -> list[Returned]:
    """Give the record what the join took, as far as its rows let it be. `record.rows` are changed in place; its golden
    values are not. Gives the fields that are not as before the join, or would not be without this.

    `now`: the golden values of the joined record; `unread`: the streams that are written but not read."""
    told = []
    for unit in entity.units:
        meant = _values(unit, former.meant)
        plain = choose(unit, record.rows)
        without = _stands(unit, plain)
        why = "another record was joined to it since"
        if plain is not None and former.said_since(unit, plain):
            why = f"{plain.system} says so since the join"
        if without != meant:
            why = _return(unit, record, former, (writable, unread), meant, plain)
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
    former: BeforeJoin,
    streams: tuple[Writable, Collection[tuple[str, str]]],
    meant: dict[str, Value],
    plain: Contribution | None,
) -> str:
    """Let rows stand for what is meant again; "" or why they cannot."""
    if plain is not None and former.said_since(unit, plain):
        return f"{plain.system} says otherwise since the join"
    speaker = former.speaker(unit, record.rows)
    kept, given, waits = list(record.rows), False, False
    writable, unread = streams
    for index, row in enumerate(kept):
        place = row.system, row.stream
        if not _is_ours(unit, row, meant, writable.get(place, ())):
            continue
        if place not in unread and any(name in row.sent for name in _other(unit, row, meant)):
            waits = True  # an image from before our write may still come, and would pass for somebody's word then
        else:
            again = copy.deepcopy(row)
            own = speaker[1] if speaker is not None and speaker[0] is row else None
            for name in _other(unit, row, meant):
                give_back(again, name, meant[name], own)
            record.rows[index], given = again, True
    winner = choose(unit, record.rows)
    if given and _stands(unit, winner) == meant:
        return ""
    record.rows[:] = kept
    if waits:
        return "what was written there has not come back yet"
    return _why_not(unit, winner, given)


def _is_ours(unit: Unit, row: Contribution, meant: Mapping[str, Value], fields: Collection[str]) -> bool:
    """Whether all that is not as meant in the row is what we wrote there, and may be written again."""
    if row.deleted is not None or any(row.own(name) for name in unit.fields):
        return False
    other = _other(unit, row, meant)
    return bool(other) and all(name in fields and name not in row.unreadable for name in other)


def _other(unit: Unit, row: Contribution, meant: Mapping[str, Value]) -> list[str]:
    """Where it stands for something else, by what we wrote."""
    return [name for name in unit.fields if row.given(name) and row.word(name) != meant[name]]


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
    return {name: None if winner is None else word_of(winner, name) for name in unit.fields}
