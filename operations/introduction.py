"""What the systems would make of each other: who knows whom, what would be created and replaced, what waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fieldwarden.engine.change import Value
from fieldwarden.engine.checking.meeting import EntityCount, Meeting
from fieldwarden.engine.hub.asking import Mask
from fieldwarden.operations.counted import RowCount, rows_counted
from fieldwarden.operations.stewards import Alike
from fieldwarden.rules.rulebook import Rulebook


@dataclass(frozen=True, slots=True)
class InSystems:
    """How many records have a root row in exactly these systems."""

    systems: Sequence[str]
    records: int


@dataclass(frozen=True, slots=True)
class ByKey:
    """How many were matched by a key; None: by an id that a row carries, or a steward."""

    key: str | None
    records: int


@dataclass(frozen=True, slots=True)
class Entity:
    entity: str
    records: int
    matched: int
    systems: Sequence[InSystems]
    keys: Sequence[ByKey]


@dataclass(frozen=True, slots=True)
class Sample:
    """One record's value, masked."""

    record: str
    before: Value
    after: Value


@dataclass(frozen=True, slots=True)
class Field:
    """In how many rows of a system a field would get the winner's value (None: nobody's); of those, how many have none
    yet (`filled`), and would have none (`emptied`)."""

    entity: str
    field: str
    system: str
    winner: str | None
    changed: int
    filled: int
    emptied: int
    rule: str
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Overruled:
    """Values of a protected field in a system that has no say in it: those replaced, and those that stay there."""

    entity: str
    field: str
    system: str
    values: int
    replaced: int
    stay: int
    rule: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """Values that cannot be written: they fail a check, or there is no code for them."""

    entity: str
    field: str
    system: str
    values: int


@dataclass(frozen=True, slots=True)
class NotUnique:
    """How many values of match keys several records carry, by entity, and the first of them."""

    counts: Mapping[str, int]
    first: Sequence[Alike]


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Rows that fit no record for certain, for one reason; `keys` are some of theirs, masked."""

    system: str
    stream: str
    reason: str
    rows: int
    keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class SetAside:
    system: str
    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Introduction:
    records: int
    entities: Sequence[Entity]
    rows: Sequence[RowCount]
    fields: Sequence[Field]
    overruled: Sequence[Overruled]
    unfit: Sequence[Unfit]
    not_unique: NotUnique
    ambiguous: Sequence[Ambiguous]
    set_aside: Sequence[SetAside]


def introduction(
    rules: Rulebook,
    meeting: Meeting,
    mask: Mask,
    not_unique: NotUnique,
    ambiguous: Sequence[Ambiguous],
    set_aside: Sequence[SetAside],
) -> Introduction:
    """The counts of a meeting, personal values masked, and what waits for somebody."""
    return Introduction(
        records=meeting.records,
        entities=[_entity(name, meeting.entities.get(name, EntityCount())) for name in rules.entities],
        rows=rows_counted(meeting.rows),
        fields=[
            Field(
                entity=entity,
                field=name,
                system=system,
                winner=winner or None,
                changed=found.changed,
                filled=found.filled,
                emptied=found.emptied,
                rule=rules.entities[entity].unit_of[name].policy.sentence,
                samples=[
                    Sample(each.record, mask.value(entity, name, each.before), mask.value(entity, name, each.after))
                    for each in found.samples
                ],
            )
            for (entity, name, system, winner), found in sorted(meeting.fields.items())
        ],
        overruled=[
            Overruled(
                entity=entity,
                field=name,
                system=system,
                values=found.replaced + found.stay,
                replaced=found.replaced,
                stay=found.stay,
                rule=rules.entities[entity].unit_of[name].policy.sentence,
            )
            for (entity, name, system), found in sorted(meeting.overruled.items())
        ],
        unfit=[Unfit(*place, number) for place, number in sorted(meeting.unfit.items())],
        not_unique=not_unique,
        ambiguous=ambiguous,
        set_aside=set_aside,
    )


def _entity(name: str, found: EntityCount) -> Entity:
    ranked = sorted(found.systems.items(), key=lambda each: (-len(each[0]), each[0]))
    keys = sorted(found.keys.items(), key=lambda each: (-each[1], each[0]))
    return Entity(
        entity=name,
        records=found.systems.total(),
        matched=sum(number for systems, number in ranked if len(systems) > 1),
        systems=[InSystems(list(systems), number) for systems, number in ranked],
        keys=[ByKey(key or None, number) for key, number in keys],
    )
