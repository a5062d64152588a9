"""What stands in the hub when systems have been read and nothing has been delivered: who knows whom, and by which key;
what would be created where; which values would be replaced, by whose word.

Pure: whoever has the records hands them in one by one; memory is bounded by the rules, not by the records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from fieldwarden.engine.change import Value
from fieldwarden.engine.checking.samples import SAMPLES, Sample, first
from fieldwarden.engine.deciding.identity import MatchPair, match_pairs
from fieldwarden.engine.deciding.mapping import deliverable, outward
from fieldwarden.engine.deciding.meant import wanted
from fieldwarden.engine.deciding.plan import Difference
from fieldwarden.engine.deciding.resolve import candidates, choose, roots
from fieldwarden.engine.deciding.scope import plans_of
from fieldwarden.engine.errors import ValueRefused
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Entity, FieldMap, Rulebook, Stream

BY_LINK = ""
"""Instead of a match key: rows that a carried id or a steward joined."""


@dataclass(slots=True)
class EntityCount:
    """Live records: by the systems that have a root row of them, and those of several systems by the first match key
    on which two of these agree."""

    systems: Counter[tuple[str, ...]] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class FieldCount:
    """Rows in which a field would get another value; those of them that have none yet, and that would have none."""

    changed: int = 0
    filled: int = 0
    emptied: int = 0
    samples: list[Sample] = field(default_factory=list)


@dataclass(slots=True)
class OverruledCount:
    """Values of a protected field, other than what stands, in rows of a system that has no say in it: those that are
    replaced, and those that stay there."""

    replaced: int = 0
    stay: int = 0


FieldPlace = tuple[str, str, str, str]
"""Entity, field, the system that is written, the system whose word stands ("" where none has one)."""
RowPlace = tuple[str, str, str]
"""System, stream, what is done."""
ValuePlace = tuple[str, str, str]
"""Entity, field, system."""


class Meeting:
    """Counts what stands in the hub before anything is delivered. Feed it every record; then read the counts."""

    def __init__(self, rulebook: Rulebook) -> None:
        self.records = 0
        self.entities: dict[str, EntityCount] = {}
        self.rows: Counter[RowPlace] = Counter()
        self.fields: dict[FieldPlace, FieldCount] = {}
        self.overruled: dict[ValuePlace, OverruledCount] = {}
        self.unfit: Counter[ValuePlace] = Counter()
        """Values that cannot be written: they fail a check, or there is no code for them."""
        self._rulebook = rulebook
        self._roots = roots(rulebook)
        self._plans = plans_of(rulebook)
        self._born = {name: _born(rulebook, name) for name in self._plans}

    def take(self, record: Record, once_more: Callable[[], Record]) -> None:
        """Count one record; it is not changed. `once_more` is what counts of this kind are handed, and is not asked.

        >>> row = Contribution("crm", "public.account", "C-1", "1", Stamp("1", 1), {"phone": "555"})
        >>> meeting = Meeting(RULES)
        >>> meeting.take(Record("0190-7", "customer", 1, {"phone": "555"}, [row]), lambda: None)
        >>> dict(meeting.entities["customer"].systems), sorted(meeting.rows)
        ({('crm',): 1}, [('billing', 'public.customer', 'create'), ('erp', 'public.party', 'create')])
        """
        del once_more  # nothing is changed
        entity = self._rulebook.entities.get(record.entity)
        if entity is None:
            return
        writing = _Writing()
        for plan in self._plans.values():
            for each in plan.differences(record):
                self._count_row(entity, record, each, writing)
        if not record.retired:
            self.records += 1
            self._count_systems(entity, record)
            self._count_overruled(entity, record, writing)

    def empty(self) -> Meeting:
        """The same question, with nothing counted yet: for another process that counts other records."""
        return Meeting(self._rulebook)

    def add(self, other: Meeting) -> None:
        """Add the counts of other records; samples are those of the first of all."""
        self.records += other.records
        self.rows.update(other.rows)
        self.unfit.update(other.unfit)
        for name, count in other.entities.items():
            mine = self.entities.setdefault(name, EntityCount())
            mine.systems.update(count.systems)
            mine.keys.update(count.keys)
        for place, found in other.fields.items():
            here = self.fields.setdefault(place, FieldCount())
            here.changed += found.changed
            here.filled += found.filled
            here.emptied += found.emptied
            here.samples = first(here.samples + found.samples)
        for where, values in other.overruled.items():
            known = self.overruled.setdefault(where, OverruledCount())
            known.replaced += values.replaced
            known.stay += values.stay

    # --- who knows whom --------------------------------------------------------------------------------------

    def _count_systems(self, entity: Entity, record: Record) -> None:
        there = self._roots[entity.name]
        systems = tuple(sorted({row.system for row in record.rows if row.live and (row.system, row.stream) in there}))
        found = self.entities.setdefault(entity.name, EntityCount())
        found.systems[systems] += 1
        if len(systems) > 1:
            found.keys[_agreed(entity, record.rows)] += 1

    def _count_overruled(self, entity: Entity, record: Record, writing: _Writing) -> None:
        for unit in entity.units:
            if not unit.policy.protected:
                continue
            for row in candidates(unit, record.rows):
                if not row.live or row.system == unit.policy.owner:
                    continue
                for name in unit.fields:
                    if not _differs(row, name, record.golden.get(name)):
                        continue
                    found = self.overruled.setdefault((entity.name, name, row.system), OverruledCount())
                    if writing.replaces(row, name) or self._empties(entity, record, row, name, writing):
                        found.replaced += 1
                    else:
                        found.stay += 1

    def _empties(self, entity: Entity, record: Record, row: Contribution, name: str, writing: _Writing) -> bool:
        """Count a value that is emptied later, if it is: once the owner's row is created, what it holds is the owner's
        word."""
        policy = entity.unit_of[name].policy
        if record.golden.get(name) is not None or policy.on_reject == "leave" or row.system not in self._plans:
            return False
        if not any(each.system == policy.owner and each.reads and name in each.fields for each in writing.created):
            return False
        stream = self._rulebook.systems[row.system].streams[row.stream]
        if name not in stream.update_fields:
            return False
        if not any(row is other for other, _ in writing.updated):
            self.rows[row.system, stream.name, "update"] += 1
        writing.updated.append((row, (name,)))
        self._count_field(entity, record, row, name, policy.owner or "")
        return True

    # --- what would be written -------------------------------------------------------------------------------

    def _count_row(self, entity: Entity, record: Record, each: Difference, writing: _Writing) -> None:
        """Without the fields whose values cannot be written, and no row for none at all."""
        names = self._writable(entity, record, each.stream, each.row, each.fields)
        if not names and each.operation != "delete":
            return
        self.rows[each.stream.system, each.stream.name, each.operation] += 1
        if each.operation == "create":
            writing.created.append(each.stream)
            born = self._born[each.stream.system].get(entity.name, ()) if each.stream.parent is None else ()
            for stream in born:
                fields = [name for name in stream.create_fields if record.golden.get(name) is not None]
                if self._writable(entity, record, stream, None, fields):
                    writing.created.append(stream)
                    self.rows[stream.system, stream.name, "create"] += 1
        if each.operation == "update" and each.row is not None:
            writing.updated.append((each.row, names))
            for name in names:
                winner = choose(entity.unit_of[name], record.rows)
                self._count_field(entity, record, each.row, name, winner.system if winner is not None else "")

    def _count_field(self, entity: Entity, record: Record, row: Contribution, name: str, whose: str) -> None:
        place = entity.name, name, row.system, whose
        found = self.fields.setdefault(place, FieldCount())
        found.changed += 1
        holds = row.holds(name)
        before = None if holds is msgspec.UNSET else holds
        after = wanted(record, row, name)
        found.filled += before is None
        found.emptied += after is None
        if len(found.samples) < SAMPLES:
            found.samples.append(Sample(record.id, before, after, whose))

    def _writable(
        self, entity: Entity, record: Record, stream: Stream, row: Contribution | None, names: Sequence[str]
    ) -> Sequence[str]:
        """Those of the fields that can be written, the others counted; of a group all or none."""
        unfit = [name for name in names if not _fits(stream.fields[name], record, row)]
        if not unfit:
            return names
        for name in unfit:
            self.unfit[entity.name, name, stream.system] += 1
        held_back = {other for name in unfit for other in entity.unit_of[name].fields}
        return [name for name in names if name not in held_back]


@dataclass(slots=True)
class _Writing:
    """What would be written of one record: rows there are with the fields of theirs, and streams that get a row."""

    updated: list[tuple[Contribution, Sequence[str]]] = field(default_factory=list)
    created: list[Stream] = field(default_factory=list)

    def replaces(self, row: Contribution, name: str) -> bool:
        return any(row is other and name in names for other, names in self.updated)


def _fits(mapping: FieldMap, record: Record, row: Contribution | None) -> bool:
    """Whether what a row should hold can be written over what it holds: it passes the checks, and has a code there."""
    if mapping.plain or mapping.reference is not None:
        return True
    holds = msgspec.UNSET if row is None or mapping.field in row.unreadable else row.holds(mapping.field)
    try:
        deliverable(mapping, wanted(record, row, mapping.field))
        if holds is not msgspec.UNSET:
            outward(mapping, holds)
    except ValueRefused:
        return False
    return True


def _born(rulebook: Rulebook, system: str) -> Mapping[str, Sequence[Stream]]:
    """By entity, the child streams in which a row follows the creation of its parent's."""
    found: dict[str, list[Stream]] = {}
    for stream in rulebook.systems[system].streams.values():
        if stream.parent is not None and stream.creates:
            found.setdefault(stream.entity, []).append(stream)
    return found


def _agreed(entity: Entity, rows: Sequence[Contribution]) -> str:
    """The first match key on which rows of two systems agree."""
    stated: dict[str, set[MatchPair]] = {}
    for system in {row.system for row in rows}:
        stated[system] = set(_stated(entity, [row for row in rows if row.system == system and row.live]))
    times = Counter(pair for pairs in stated.values() for pair in pairs)
    names = {name for (name, _), number in times.items() if number > 1}
    return next((key.name for key in entity.match if key.name in names), BY_LINK)


def _stated(entity: Entity, rows: Sequence[Contribution]) -> Iterator[MatchPair]:
    """What one system's rows state, each alone and all together: a key may stand in several of them."""
    together: dict[str, Value] = {}
    for row in rows:
        yield from match_pairs(entity, row.fields)
        together = {**row.fields, **together}
    if len(rows) > 1:
        yield from match_pairs(entity, together)


def _differs(row: Contribution, name: str, value: Value) -> bool:
    """Whether a row holds another value there, as far as we can tell."""
    told = msgspec.UNSET if name in row.unreadable else row.told(name)
    return told is not msgspec.UNSET and told is not None and told != value
