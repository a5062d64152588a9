"""What the rulebook says of one system's part in deciding, folded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fieldwarden.engine.deciding.echoes import Places
from fieldwarden.engine.deciding.joining import referring
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.resolve import roots
from fieldwarden.engine.deciding.unrivalled import Unrivalled
from fieldwarden.rules.rulebook import Entity, MatchKey, Rulebook, Stream


@dataclass(frozen=True, slots=True)
class Scope:
    """`plans`: by entity, the targets that may receive it; `owned`: by entity, the fields this system owns, and
    `refusable` those on which its word may be refused; `roots`: by entity, the (system, stream) whose rows stand for
    its records. `unrivalled`: by entity, what this system's rows may say where nobody else does. `referring`: by
    entity, its references, and `matching_references` those that are part of a match key; `keyed`: by entity, the
    (entity, key, place in it) that hold ids of its records. `ordered`: the source tells
    each row's changes in order, so an older one repeats."""

    streams: Mapping[str, Stream]
    entities: Mapping[str, Entity]
    plans: Mapping[str, Sequence[tuple[str, TargetPlan]]]
    owned: Mapping[str, frozenset[str]]
    refusable: Mapping[str, frozenset[str]]
    roots: Mapping[str, frozenset[tuple[str, str]]]
    unrivalled: Mapping[str, Unrivalled]
    referring: Mapping[str, tuple[str, ...]]
    matching_references: Mapping[str, frozenset[str]]
    keyed: Mapping[str, Sequence[tuple[str, MatchKey, int]]]
    ordered: bool
    below: Mapping[str, frozenset[str]]
    """By stream: the child streams whose rows are excluded with its own."""
    above: Mapping[tuple[str, str], Sequence[tuple[str, str]]]
    """Of child streams whose rows may hang below a merged one: the streams above, the parent first."""
    matched: Mapping[str, frozenset[str]]
    """By entity: the fields that are part of a match key."""
    merging: frozenset[str]
    """The streams whose rows may be merged into others."""
    guarded: Mapping[str, Places]
    """By entity: where fields are written on which the row's own word may be refused."""
    moving: Mapping[str, frozenset[str]]
    """By entity: those fields."""

    def orphans(self, stream: Stream) -> tuple[Literal["parent", "excluded"], str]:
        """As what rows of this child stream are set aside whose parent row is not known, and why. "excluded": a `where`
        of a stream above may leave the parent out, and them with it."""
        above: Stream | None = stream
        while above is not None and above.parent is not None:
            above = self.streams.get(above.parent)
            if above is not None and above.where is not None:
                return "excluded", f"its parent row in {stream.parent} is excluded by `where`, or not known yet"
        return "parent", f"its parent row in {stream.parent} is not known yet"


def plans_of(rulebook: Rulebook) -> dict[str, TargetPlan]:
    """By system, the plans of the systems that anything is written to."""
    return {name: plan for name in rulebook.systems if (plan := TargetPlan(rulebook, name)).entities}


def scope_of(rulebook: Rulebook, system: str, plans: Mapping[str, TargetPlan], *, ordered: bool) -> Scope:
    """What the rulebook says of the part of `system` in deciding. `plans`: of all systems that are written
    (`plans_of`); `ordered`: as in `Scope`."""
    owned = {
        entity.name: frozenset(name for name, unit in entity.unit_of.items() if unit.policy.owner == system)
        for entity in rulebook.entities.values()
    }
    refusable = {entity.name: _refusable(entity, system) for entity in rulebook.entities.values()}
    guarded = {entity.name: _guarded(rulebook, entity) for entity in rulebook.entities.values()}
    receiving = {
        entity: [(name, plan) for name, plan in plans.items() if entity in plan.entities]
        for entity in rulebook.entities
    }
    unrivalled = {entity.name: Unrivalled(entity, system) for entity in rulebook.entities.values()}
    streams = rulebook.systems[system].streams
    matching = {entity.name: matching_references(entity) for entity in rulebook.entities.values()}
    return Scope(
        streams,
        rulebook.entities,
        receiving,
        owned,
        refusable,
        roots(rulebook),
        unrivalled,
        referring(rulebook.entities),
        matching,
        _keyed(rulebook),
        ordered,
        _below(rulebook, system),
        rulebook.systems[system].above_merged(),
        {entity.name: _matched(entity) for entity in rulebook.entities.values()},
        frozenset(stream.name for stream in streams.values() if stream.merged_into),
        guarded,
        {name: frozenset().union(*(fields for fields, _ in places.values())) for name, places in guarded.items()},
    )


def _refusable(entity: Entity, system: str) -> frozenset[str]:
    return frozenset(
        name for name, unit in entity.unit_of.items() if unit.policy.protected and unit.policy.owner != system
    )


def _guarded(rulebook: Rulebook, entity: Entity) -> Places:
    return {
        (system.name, stream.name): (written, stream.creates)
        for system in rulebook.systems.values()
        for stream in system.streams.values()
        if stream.entity == entity.name
        and (written := _refusable(entity, system.name).intersection((*stream.update_fields, *stream.create_fields)))
    }


def _below(rulebook: Rulebook, system: str) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for entity in rulebook.entities.values():
        for unit in entity.units:
            for (where, child), above in unit.below.items():
                for _, parent in above if where == system else ():
                    found.setdefault(parent, set()).add(child)
    return {parent: frozenset(children) for parent, children in found.items()}


def _keyed(rulebook: Rulebook) -> dict[str, list[tuple[str, MatchKey, int]]]:
    found: dict[str, list[tuple[str, MatchKey, int]]] = {}
    for entity in rulebook.entities.values():
        for key in entity.match:
            for place, name in enumerate(key.fields):
                target = entity.fields[name].type.target
                if entity.fields[name].type.kind == "ref" and target is not None:
                    found.setdefault(target, []).append((entity.name, key, place))
    return found


def matching_references(entity: Entity) -> frozenset[str]:
    """The fields of an entity that hold a record's id and are part of a match key.

    >>> order = {"id": FieldType("text"), "customer": FieldType("ref", target="customer")}
    >>> fields = {name: Field(name, kind) for name, kind in order.items()}
    >>> sorted(matching_references(Entity("order", fields, (), {}, match=(MatchKey("key", ("customer", "id")),))))
    ['customer']
    """
    return frozenset(name for name in _matched(entity) if entity.fields[name].type.kind == "ref")


def _matched(entity: Entity) -> frozenset[str]:
    return frozenset(name for key in entity.match for name in key.fields)
