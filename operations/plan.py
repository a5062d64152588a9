"""What the files would change, counted over the hub's real records; nothing is changed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fieldwarden.engine.change import Value
from fieldwarden.engine.checking.preview import Preview
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.asking import Mask
from fieldwarden.engine.hub.rules import Live
from fieldwarden.engine.hub.views.planning import preview
from fieldwarden.operations.counted import RowCount, rows_counted
from fieldwarden.operations.project import Opened
from fieldwarden.operations.protected import protection
from fieldwarden.operations.rules import live_of, loaded_from
from fieldwarden.operations.words import count
from fieldwarden.rules.changes import Changes, Reading, compare
from fieldwarden.rules.rulebook import Rulebook

_PROCESSES = 8


@dataclass(frozen=True)
class Planned:
    """The live rulebook beside the files: what differs, and the hash that an apply may insist on."""

    live: Live
    old: Rulebook
    new: Rulebook
    changes: Changes

    @property
    def differs(self) -> bool:
        return self.old.hash != self.new.hash

    @property
    def hash(self) -> str:
        return hashlib.sha256(f"{self.old.hash}\n{self.new.hash}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class RuleChange:
    entity: str
    unit: str
    before: str
    now: str


@dataclass(frozen=True, slots=True)
class WriteChange:
    """`what` differs in how a stream or entity is written."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class ToRead:
    """Columns that have to be read (no field: all rows), and how they are."""

    system: str
    stream: str
    entity: str
    fields: Sequence[str]
    how: str


@dataclass(frozen=True, slots=True)
class InTheWay:
    message: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One record's value, masked, and whose word wins."""

    record: str
    before: Value
    after: Value
    winner: str | None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """In how many records a field would get another value, and another winner."""

    entity: str
    field: str
    protected: bool
    values: int
    winners: int
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class PlannedChanges:
    """All that the files would change; `given_up` are entities with all their records."""

    rules: Sequence[RuleChange]
    came: Sequence[str]
    left: Sequence[str]
    writing: Sequence[WriteChange]
    given_up: Sequence[str]
    reading: Sequence[ToRead]
    obstacles: Sequence[InTheWay]
    fields: Sequence[FieldChange]
    rows: Sequence[RowCount]
    retired: Mapping[str, int]
    revived: Mapping[str, int]
    records: int
    touched: int
    seconds: float
    method: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`live` and `files` are rulebooks by their hash; `plan` is what an apply may insist on, None where no rules are
    live; `changes` are None where nothing differs."""

    live: str | None
    files: str
    plan: str | None
    differences: bool
    warnings: Sequence[str]
    changes: PlannedChanges | None


async def plan(project: Opened, *, unmask: bool = False) -> Plan:
    """The hub's live rules have been taken. Raises EnvironmentUnfit."""
    await _check_version(project)
    found = await planned(project)
    files = project.project.rulebook.hash
    warnings = [str(warning) for warning in project.project.warnings]
    protected = await protection(project)
    warnings += [f"{each.path}: {each.message} (try: {each.suggestion})" for each in protected.found]
    warnings += protected.unchecked
    if found is None:
        return Plan(None, files, None, False, warnings, None)
    changes = await _counted(project, found, unmask) if found.differs else None
    return Plan(found.old.hash, files, found.hash, found.differs, warnings, changes)


async def planned(project: Opened) -> Planned | None:
    """None in a hub without a live rulebook: the first run, or apply, makes the files live."""
    live = await live_of(project)
    if live is None:
        return None
    old = loaded_from(live)
    return Planned(live, old, project.project.rulebook, compare(old, project.project.rulebook))


def processors() -> int:
    """How many processes may count side by side: as many as this one may use processors, but not all connections."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(ours, _PROCESSES)


async def _check_version(project: Opened) -> None:
    from fieldwarden.engine.hub.views.checkup import check_up

    found = await check_up(project.hub_dsn, project.hub_schema)
    if found.applied < found.known:
        raise EnvironmentUnfit(
            f"the hub's tables are of version {found.applied}, and this program's of version {found.known}",
            suggestion="the next `fieldwarden run` brings them up to date; plan again then",
        )


async def _counted(project: Opened, found: Planned, unmask: bool) -> PlannedChanges:
    began = time.monotonic()
    mixed = found.live.former is not None
    seen = Preview(found.old, found.new, found.changes, mixed=mixed)
    processes = 1
    if found.changes.entities:
        where = project.hub_dsn, project.hub_schema
        processes = await preview(*where, found.changes.entities, seen, processors())
    return _changes(found, seen, processes, time.monotonic() - began, unmask)


def _changes(found: Planned, seen: Preview, processes: int, seconds: float, unmask: bool) -> PlannedChanges:
    masks = Mask(found.old, unmask=unmask), Mask(found.new, unmask=unmask)

    def shown(entity: str, name: str, value: str | None) -> str | None:
        """Hidden if either rulebook hides it, of those that know the field."""
        for rules, mask in zip((found.old, found.new), masks, strict=True):
            if name in (rules.entities[entity].fields if entity in rules.entities else ()):
                value = mask.value(entity, name, value)
        return value

    changes = found.changes
    how = f"streamed pass over {count(seen.records, 'record')} of {', '.join(sorted(changes.entities)) or 'nothing'}"
    how += f", in {processes} processes," if processes > 1 else ""
    return PlannedChanges(
        rules=[
            *(RuleChange(entity, "identity", before, now) for entity, before, now in changes.matching),
            *(RuleChange(*each) for each in changes.rules),
        ],
        came=list(changes.came),
        left=list(changes.left),
        writing=[WriteChange(where, what) for where, what in changes.writing],
        given_up=sorted(found.old.entities.keys() - found.new.entities.keys()),
        reading=[_reading(found.new, each) for each in changes.reading],
        obstacles=[InTheWay(each.words, each.suggestion) for each in changes.obstacles],
        fields=[
            FieldChange(
                entity,
                name,
                _protected(found, entity, name),
                counts.values,
                counts.winners,
                [
                    Sample(each.record, shown(entity, name, each.before), shown(entity, name, each.after), each.winner)
                    for each in counts.samples
                ],
            )
            for (entity, name), counts in sorted(seen.fields.items())
        ],
        rows=rows_counted(seen.rows),
        retired=seen.retired,
        revived=seen.revived,
        records=seen.records,
        touched=seen.touched,
        seconds=round(seconds, 2),
        method=f"{how} in {seconds:.1f} s",
    )


def _protected(found: Planned, entity: str, name: str) -> bool:
    """By either rulebook."""
    units = [rules.entities[entity].unit_of.get(name) for rules in (found.old, found.new) if entity in rules.entities]
    return any(unit is not None and unit.policy.protected for unit in units)


def _reading(rules: Rulebook, each: Reading) -> ToRead:
    direct = not rules.systems[each.system].partitioned
    how = (
        "read by `fieldwarden run` itself, before anything is delivered"
        if direct
        else f"not read by itself: `fieldwarden backfill start --system {each.system} --entity {each.entity}`"
    )
    return ToRead(each.system, each.stream, each.entity, list(each.fields), how)
