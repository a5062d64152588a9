"""What differs between two rulebooks, as far as it matters to records that were resolved under the first.

Pure and without data: how many records a difference touches, only the hub can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

from fieldwarden.rules.names import qualified
from fieldwarden.rules.rulebook import Entity, Field, FieldMap, Rulebook, Stream, System, Unit
from fieldwarden.rules.validating import Check
from fieldwarden.rules.values import FieldType

_READING = (
    "entity", "key", "parent", "parent_columns", "first_by", "external_id", "where", "rivals", "changed_at", "reads",
    "merged_into",
)  # fmt: skip
_WRITING = {
    "on_write": "on_write", "constants": "set", "conflict": "unique", "conflict_where": "where of unique",
    "creates": "create", "on_retire": "on_retire",
}  # fmt: skip
"""What only our own writes depend on, as the files call it."""
_SAID = {"plural": "first_by", "below": "where or merged_into of a parent stream"}
"""Parts of a rule that the files call otherwise."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A difference that cannot be applied to the records as they are, and what to do instead."""

    words: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A stream whose rows have to be read again; `fields` are those that it did not tell before (empty: all)."""

    system: str
    stream: str
    entity: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """`entities` are those whose records have to be resolved again; `rules` names the units whose rule differs;
    `came` and `left` are entities, fields ("customer.name"), systems and streams ("crm public.account"), in words."""

    entities: frozenset[str]
    rules: tuple[tuple[str, str, str, str], ...]
    """(entity, unit, the rule before, the rule now)"""
    matching: tuple[tuple[str, str, str], ...]
    """(entity, what finds its records before, what does now)"""
    came: tuple[str, ...]
    left: tuple[str, ...]
    reading: tuple[Reading, ...]
    obstacles: tuple[Obstacle, ...]
    writing: tuple[tuple[str, str], ...] = ()
    """(a stream or entity in words, what differs in how it is written or retired)"""


def compare(old: Rulebook, new: Rulebook) -> Changes:
    """Everything that becomes different where `new` takes the place of `old`."""
    return Changes(
        frozenset(name for name in {*old.entities, *new.entities} if _touched(old, new, name)),
        tuple(_rules(old, new)),
        tuple(_matching(old, new)),
        tuple(_names(new, old)),
        tuple(_names(old, new)),
        tuple(_reading(old, new)),
        tuple(_obstacles(old, new)),
        tuple(_writing(old, new)),
    )


def in_force(live: Rulebook, local: Rulebook) -> Rulebook:
    """The live rules, with each system reached, and its gaps mended, as the local files say. A system that these do not
    name any more is reached as it was when its rules became live."""
    systems = {name: _reached(system, local.systems.get(name)) for name, system in live.systems.items()}
    return replace(live, systems=systems)


def _reached(system: System, local: System | None) -> System:
    if local is None:
        return system
    return replace(system, settings=local.settings, mends_gaps=local.mends_gaps)


def _touched(old: Rulebook, new: Rulebook, name: str) -> bool:
    return old.entities.get(name) != new.entities.get(name) or _streams(old, name) != _streams(new, name)


def _streams(rules: Rulebook, entity: str) -> dict[tuple[str, str], Stream]:
    return {
        (system.name, stream.name): stream
        for system in rules.systems.values()
        for stream in system.streams.values()
        if stream.entity == entity
    }


def _all_streams(rules: Rulebook) -> dict[tuple[str, str], Stream]:
    return {place: stream for entity in rules.entities for place, stream in _streams(rules, entity).items()}


def _units(entity: Entity) -> dict[str, Unit]:
    return {unit.name: unit for unit in entity.units}


def _rules(old: Rulebook, new: Rulebook) -> Iterator[tuple[str, str, str, str]]:
    for name in sorted(old.entities.keys() & new.entities.keys()):
        before, now = _units(old.entities[name]), _units(new.entities[name])
        for unit in sorted(before.keys() & now.keys()):
            if before[unit] != now[unit]:
                was, told = before[unit].policy.sentence, now[unit].policy.sentence
                yield name, unit, was, told if told != was else f"{told} ({_differing(before[unit], now[unit])})"


def _matching(old: Rulebook, new: Rulebook) -> Iterator[tuple[str, str, str]]:
    for name in sorted(old.entities.keys() & new.entities.keys()):
        if old.entities[name].match != new.entities[name].match:
            yield name, _match(old.entities[name]), _match(new.entities[name])


def _match(entity: Entity) -> str:
    return f"match by {'; by '.join(map(str, entity.match))}" if entity.match else "nothing matches but record ids"


def _differing(before: Unit, now: Unit) -> str:
    """Which parts of a rule differ that its sentence does not tell."""
    names = [each.name for each in fields(now) if getattr(before, each.name) != getattr(now, each.name)]
    if names == ["policy"]:
        policies = before.policy, now.policy
        names = [each.name for each in fields(now.policy) if len({repr(getattr(p, each.name)) for p in policies}) > 1]
    return f"other {', '.join(_SAID.get(name, name) for name in names)}"


def _writing(old: Rulebook, new: Rulebook) -> Iterator[tuple[str, str]]:
    for name in sorted(old.entities.keys() & new.entities.keys()):
        if old.entities[name].delete_authority != new.entities[name].delete_authority:
            yield name, "delete authority"
    known = _all_streams(old)
    for (system, name), stream in sorted(_all_streams(new).items()):
        before = known.get((system, name))
        if before is None:
            continue
        unique = ("conflict", "conflict_where") if before.creates != stream.creates else ()  # it comes with `create`
        parts = (part for part in _WRITING if part not in unique and getattr(before, part) != getattr(stream, part))
        names = [_WRITING[part] for part in parts]
        for field, mapped in stream.fields.items():
            if field in before.fields and before.fields[field].checks != mapped.checks:
                names.append(f"check of {field}")
        if names:
            yield f"{system} {name}", ", ".join(names)


def _names(here: Rulebook, there: Rulebook) -> Iterator[str]:
    """What is here and not there."""
    for name in sorted(here.systems.keys() - there.systems.keys()):
        yield f"system {name}"
    for name in sorted(here.entities):
        if name not in there.entities:
            yield f"entity {name}"
            continue
        for field, told in here.entities[name].fields.items():
            other = there.entities[name].fields.get(field)
            if other is None:
                yield f"field {name}.{field}"
            elif other.type != told.type:
                yield f"{name}.{field} as {told.type}"
    known = _all_streams(there)
    for (system, stream), mapped in sorted(_all_streams(here).items()):
        if (system, stream) not in known:
            yield f"stream {system} {stream}"
            continue
        for field in mapped.fields:
            if field not in known[system, stream].fields:
                yield f"{mapped.entity}.{field} in {system} {stream}"


def _reading(old: Rulebook, new: Rulebook) -> Iterator[Reading]:
    known = _all_streams(old)
    for (system, name), stream in sorted(_all_streams(new).items()):
        if not stream.reads:
            continue
        before = known.get((system, name))
        if (
            before is None
            or any(getattr(before, part) != getattr(stream, part) for part in _READING)
            or (_table(before) != _table(stream) or (stream.changed_at is not None and before.zone != stream.zone))
            or ((system, name) in new.systems[system].above_merged())
            > ((system, name) in old.systems[system].above_merged())
        ):
            yield Reading(system, name, stream.entity)
            continue
        was, now = old.entities[stream.entity].fields, new.entities[stream.entity].fields
        told = tuple(
            field
            for field, mapped in stream.fields.items()
            if _read(before.fields, field) != _reads(mapped) or _refuses(was, field) != _refuses(now, field)
        )
        if told:
            yield Reading(system, name, stream.entity, told)


def _read(maps: Mapping[str, FieldMap], field: str) -> FieldMap | None:
    mapped = maps.get(field)
    return None if mapped is None else _reads(mapped)


def _refuses(fields: Mapping[str, Field], name: str) -> tuple[Check, ...]:
    """What a value of the field has to pass to be accepted at all."""
    return fields[name].refuses if name in fields else ()


def _reads(mapped: FieldMap) -> FieldMap:
    """What reading the field depends on."""
    codes = None if mapped.codes is None else replace(mapped.codes, outward={})
    return replace(mapped, writable=True, codes=codes, checks=())


def _obstacles(old: Rulebook, new: Rulebook) -> Iterator[Obstacle]:
    for name in sorted(old.entities.keys() & new.entities.keys()):
        before, now = old.entities[name].fields, new.entities[name].fields
        for field in sorted(before.keys() & now.keys()):
            if not _holds(now[field].type, before[field].type):
                yield Obstacle(
                    f"{name}.{field} changes its type from {before[field].type} to {now[field].type}",
                    "give the field of the new type another name; or take the field out, `fieldwarden apply`, put it "
                    "back with its new type, `fieldwarden apply`: then its values are read anew",
                )
    known = _all_streams(old)
    for place, stream in sorted(_all_streams(new).items()):
        before_ = known.get(place)
        if before_ is None:
            continue
        moved = {"table": _table(before_) != _table(stream)}
        moved |= {part: getattr(before_, part) != getattr(stream, part) for part in ("key", "parent")}
        for part, differs in moved.items():
            if differs:
                was, now_ = _told(getattr(before_, part)), _told(getattr(stream, part))
                yield Obstacle(
                    f"{' '.join(place)} changes its {part} from {was} to {now_}",
                    "records know their rows by it: take the stream out, `fieldwarden apply`, put it back, "
                    "`fieldwarden apply`; its rows are read anew and find their records by external id or match key",
                )


def _table(stream: Stream) -> tuple[str, ...]:
    """A table's name, so that two names of one table are equal."""
    return qualified(stream.table)


def _holds(now: FieldType, before: FieldType) -> bool:
    """Whether every value of the type before is one of the type now, written in the same way."""
    if now == before:
        return True
    if (now.kind, before.kind) != ("decimal", "decimal") or before.precision is None or now.precision is None:
        return False
    return now.scale == before.scale and now.precision >= before.precision


def _told(part: object) -> str:
    return ", ".join(part) if isinstance(part, tuple) else str(part or "none")
