"""What new rules would make of the records there are: counted record by record, in bounded memory, nothing is changed.

Pure: whoever has the records hands them in one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fieldwarden.engine.checking.samples import SAMPLES, Sample, first
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.reresolve import Reresolver
from fieldwarden.engine.deciding.resolve import choose
from fieldwarden.engine.deciding.scope import plans_of
from fieldwarden.engine.record import Record
from fieldwarden.rules.changes import Changes
from fieldwarden.rules.rulebook import Rulebook, Unit

Place = tuple[str, str]
"""Entity, field."""
RowPlace = tuple[str, str, str]
"""System, stream, what is done."""
Operation = tuple[str, str, str, tuple[str, ...]]
"""A write: stream, what is done, key and fields."""


@dataclass(slots=True)
class FieldCount:
    """Of one field: values that become others, and records where another system's word stands from then on."""

    values: int = 0
    winners: int = 0
    samples: list[Sample] = field(default_factory=list)

    def add(self, other: FieldCount) -> None:
        """Add the counts of other records. The samples are the first of both."""
        self.values += other.values
        self.winners += other.winners
        self.samples = first(self.samples + other.samples)


class Preview:
    """Counts what new rules would make of the records there are. Feed it every record of the entities that `changes`
    names; then read the counts."""

    def __init__(self, old: Rulebook, new: Rulebook, changes: Changes, *, mixed: bool) -> None:
        """`mixed`: some records have not been resolved under `old` yet."""
        self.records = 0
        self.touched = 0
        self.retired: dict[str, int] = {}
        self.revived: dict[str, int] = {}
        self.fields: dict[Place, FieldCount] = {}
        self.rows: Counter[RowPlace] = Counter()
        self._question = (old, new, changes, mixed)
        self._resolve = Reresolver(new, None if mixed else old)
        self._old_plans = plans_of(old)
        self._new_plans = plans_of(new)
        self._units: dict[str, list[Unit]] = {}
        for entity, name, _, _ in changes.rules:
            unit = next(u for u in old.entities[entity].units if u.name == name)
            self._units.setdefault(entity, []).append(unit)
        self._written = frozenset(
            entity for entity in changes.entities if _writing(old, entity) != _writing(new, entity)
        )

    def take(self, record: Record, once_more: Callable[[], Record]) -> None:
        """Count one record. The record is changed; `once_more` gives it as it was, and is asked for few.

        >>> from copy import deepcopy
        >>> from fieldwarden.rules.changes import compare
        >>> phone = {"phone": {"type": "text", "owner": "billing"}}
        >>> rules = rulebook(CUSTOMER | {"fields": CUSTOMER["fields"] | phone})
        >>> by_crm = Contribution(*ACCOUNT, "1", Stamp("1", 2), {"phone": "555"})
        >>> by_billing = Contribution(*SUBSCRIBER, "1", Stamp("1", 1), {"phone": "556"})
        >>> record = Record("0190-7", "customer", 1, {"phone": "555"}, [by_crm, by_billing])
        >>> preview = Preview(RULES, rules, compare(RULES, rules), mixed=False)
        >>> preview.take(record, lambda: deepcopy(record))
        >>> [(sample.before, sample.after) for sample in preview.fields["customer", "phone"].samples]
        [('555', '556')]
        """
        self.records += 1
        before = {unit.name: choose(unit, record.rows) for unit in self._units.get(record.entity, ())}
        applied = self._resolve(record)
        for unit, now in applied.chosen if before else ():
            winner = before.get(unit.name, now)
            if winner is not now and (winner and winner.ref) != (now and now.ref):
                for name in unit.fields:
                    self._count(record.entity, name).winners += 1
        if applied.news:
            self.touched += 1
        for decision in applied.decisions:
            found = self._count(record.entity, decision.field)
            found.values += 1
            if len(found.samples) < SAMPLES:
                found.samples.append(Sample(record.id, decision.before, decision.after, decision.winner))
        if applied.retired is not None:
            flips = self.retired if applied.retired else self.revived
            flips[record.entity] = flips.get(record.entity, 0) + 1
        if applied.stored or record.entity in self._written:
            names = frozenset(decision.field for decision in applied.decisions)
            self._count_rows(record, once_more, names)

    def empty(self) -> Preview:
        """The same question, with nothing counted yet: for another process that counts other records."""
        old, new, changes, mixed = self._question
        return Preview(old, new, changes, mixed=mixed)

    def add(self, other: Preview) -> None:
        """Add the counts of other records; samples are those of the first of all."""
        self.records += other.records
        self.touched += other.touched
        for mine, its in ((self.retired, other.retired), (self.revived, other.revived)):
            for entity, number in its.items():
                mine[entity] = mine.get(entity, 0) + number
        for place, count in other.fields.items():
            self._count(*place).add(count)
        self.rows.update(other.rows)

    def _count(self, entity: str, name: str) -> FieldCount:
        return self.fields.setdefault((entity, name), FieldCount())

    def _count_rows(self, record: Record, once_more: Callable[[], Record], changed: frozenset[str]) -> None:
        """What is to be written now, and was not due before."""
        before: Record | None = None
        for system, plan in self._new_plans.items():
            operations = list(_operations(plan, record)) if record.entity in plan.entities else []
            former = self._old_plans.get(system)
            due: set[Operation] = set()
            if operations and former is not None:
                before = before or once_more()
                due = set(_operations(former, before))
            for operation in operations:
                if operation in due and not changed.intersection(operation[3]):
                    continue
                self.rows[system, operation[0], operation[1]] += 1


def _operations(plan: TargetPlan, record: Record) -> Iterator[Operation]:
    for each in plan.differences(record):
        yield each.stream.name, each.operation, each.row.key if each.row is not None else "", each.fields


def _writing(rules: Rulebook, entity: str) -> list[object]:
    """What there is to write of an entity, by the rules alone."""
    return [
        (s.name, stream.name, stream.creates, stream.update_fields, stream.create_fields, stream.on_retire)
        for s in rules.systems.values()
        for stream in s.streams.values()
        if stream.entity == entity
    ]
