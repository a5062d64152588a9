"""What stands in the hub when systems have been read and nothing has been delivered: who knows whom, and by which key;
what would be created where; which values would be replaced, by whose word.

Pure: whoever has the records hands them in one by one; memory is bounded by the rules, not by the records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from engine.change import Value
from engine.errors import ValueRefused
from engine.identity import MatchPair, match_pairs
from engine.mapping import deliverable
from engine.plan import Difference, TargetPlan, wanted
from engine.record import Contribution, Record
from engine.resolve import choose, roots
from rules.rulebook import Entity, Rulebook, Stream

SAMPLES = 3
BY_LINK = ""
"""Instead of a match key: rows that a carried id or a steward joined."""


@dataclass(slots=True)
class EntityCount:
    """Live records: by the systems that have a root row of them, and those of several systems by the first match key
    on which two of these agree."""

    systems: Counter[tuple[str, ...]] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Sample:
    record: str
    before: Value
    after: Value


@dataclass(slots=True)
class FieldCount:
    """Rows in which a field would get another value; those of them that have none yet, and that would have none."""

    changed: int = 0
    filled: int = 0
    emptied: int = 0
    samples: list[Sample] = field(default_factory=list)


FieldPlace = tuple[str, str, str, str]
"""Entity, field, the system that is written, the system whose word stands ("" where none has one)."""
RowPlace = tuple[str, str, str]
"""System, stream, what is done."""
ValuePlace = tuple[str, str, str]
"""Entity, field, system."""


class Meeting:
    """Feed it every record; then read the counts."""

    def __init__(self, rulebook: Rulebook) -> None:
        self.records = 0
        self.entities: dict[str, EntityCount] = {}
        self.rows: Counter[RowPlace] = Counter()
        self.fields: dict[FieldPlace, FieldCount] = {}
        self.refused: Counter[ValuePlace] = Counter()
        """Values of protected fields in rows of systems that have no say in them, other than what stands."""
        self.unfit: Counter[ValuePlace] = Counter()
        """Values that cannot be written: they fail a check, or there is no code for them."""
        self._rulebook = rulebook
        self._roots = roots(rulebook)
        self._plans = {name: plan for name in rulebook.systems if (plan := TargetPlan(rulebook, name)).entities}
        self._born = {name: _born(rulebook, name) for name in self._plans}

    def take(self, record: Record, once_more: Callable[[], Record]) -> None:
        del once_more  # nothing is changed
        entity = self._rulebook.entities.get(record.entity)
        if entity is None:
            return
        if not record.retired:
            self.records += 1
            self._count_systems(entity, record)
            self._count_refused(entity, record)
        for system, plan in self._plans.items():
            for each in plan.differences(record):
                self._count_row(entity, record, system, each)

    def empty(self) -> Meeting:
        """The same question, about other records."""
        return Meeting(self._rulebook)

    def add(self, other: Meeting) -> None:
        """Counts of other records; samples are those of the first of all."""
        self.records += other.records
        for counts, more in (
            (self.rows, other.rows),
            (self.refused, other.refused),
            (self.unfit, other.unfit),
        ):
            counts.update(more)
        for name, count in other.entities.items():
            mine = self.entities.setdefault(name, EntityCount())
            mine.systems.update(count.systems)
            mine.keys.update(count.keys)
        for place, found in other.fields.items():
            here = self.fields.setdefault(place, FieldCount())
            here.changed += found.changed
            here.filled += found.filled
            here.emptied += found.emptied
            here.samples = sorted(here.samples + found.samples, key=lambda each: each.record)[:SAMPLES]

    # --- who knows whom --------------------------------------------------------------------------------------

    def _count_systems(self, entity: Entity, record: Record) -> None:
        there = self._roots[entity.name]
        systems = tuple(sorted({row.system for row in record.rows if row.live and (row.system, row.stream) in there}))
        found = self.entities.setdefault(entity.name, EntityCount())
        found.systems[systems] += 1
        if len(systems) > 1:
            found.keys[_agreed(entity, record.rows)] += 1

    def _count_refused(self, entity: Entity, record: Record) -> None:
        for unit in entity.units:
            policy = unit.policy
            if not policy.protected:
                continue
            for name in unit.fields:
                if name not in record.golden:
                    continue
                for row in record.rows:
                    if row.live and row.system != policy.owner and _differs(row, name, record.golden[name]):
                        self.refused[entity.name, name, row.system] += 1

    # --- what would be written -------------------------------------------------------------------------------

    def _count_row(self, entity: Entity, record: Record, system: str, each: Difference) -> None:
        self.rows[system, each.stream.name, each.operation] += 1
        self._count_unfit(entity, record, each.stream, each.row, each.fields)
        if each.operation == "create" and each.stream.parent is None:
            for stream in self._born[system].get(entity.name, ()):
                fields = tuple(name for name in stream.create_fields if record.golden.get(name) is not None)
                if fields:
                    self.rows[system, stream.name, "create"] += 1
                    self._count_unfit(entity, record, stream, None, fields)
        if each.operation == "update" and each.row is not None:
            for name in each.fields:
                self._count_field(entity, record, each.row, name)

    def _count_field(self, entity: Entity, record: Record, row: Contribution, name: str) -> None:
        winner = choose(entity.unit_of[name], record.rows)
        place = entity.name, name, row.system, winner.system if winner is not None else ""
        found = self.fields.setdefault(place, FieldCount())
        found.changed += 1
        holds = row.holds(name)
        before = None if holds is msgspec.UNSET else holds
        after = wanted(record, row, name)
        found.filled += before is None
        found.emptied += after is None
        if len(found.samples) < SAMPLES:
            found.samples.append(Sample(record.id, before, after))

    def _count_unfit(
        self, entity: Entity, record: Record, stream: Stream, row: Contribution | None, names: Sequence[str]
    ) -> None:
        for name in names:
            mapping = stream.fields[name]
            if mapping.plain or mapping.reference is not None:
                continue
            try:
                deliverable(mapping, wanted(record, row, name))
            except ValueRefused:
                self.unfit[entity.name, name, stream.system] += 1


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
    told = row.told(name)
    return told is not msgspec.UNSET and told is not None and told != value
