"""From what a steward wrote about a field, its group and the entity's defaults to the one policy that holds.

A field's own keys stand above its group's silence and the entity's defaults; naming an owner or a strategy drops
what the defaults say about another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fieldwarden.rules.files import Files
from fieldwarden.rules.models import POLICY_KEYS, EntityFile, PolicyKeys
from fieldwarden.rules.rulebook import OnReject, Policy, StrategyName

BELONG: Mapping[str, frozenset[str]] = {
    "owner": frozenset({"owner", "protected", "seed_from", "on_reject", "approval"}),
    "source_priority": frozenset({"order"}),
    "first_non_null": frozenset({"order"}),
    "recency": frozenset({"among", "order"}),
}
"""Which keys mean something under which strategy."""

ONE_RULE = ("strategy", "owner", "protected", "order", "among")
"""What the fields of a group must agree about; the rest may be said by one of them for all."""

Stated = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """A unit before its policy: its name, its fields in declared order, and whether it is a group."""

    name: str
    fields: tuple[str, ...]
    group: bool


def stated(keys: PolicyKeys) -> Stated:
    """Only the policy keys that the file really says."""
    given = keys.model_fields_set
    return {key: getattr(keys, key) for key in POLICY_KEYS if key in given and getattr(keys, key) is not None}


def combined(defaults: Stated, own: Stated) -> dict[str, Any]:
    """`own` over what of `defaults` still applies; `strategy` is always there."""
    strategy = own.get("strategy") or ("owner" if "owner" in own else None)
    if strategy is None:
        strategy = defaults.get("strategy") or ("owner" if "owner" in defaults else "source_priority")
    inherited = {key: value for key, value in defaults.items() if key in BELONG[strategy]}
    if "among" in own:
        inherited.pop("order", None)
    return {**inherited, **own, "strategy": strategy}


def blocks(entity: EntityFile) -> Iterator[Block]:
    """The units in the order of their first fields; a field in several groups counts for the first."""
    group_of: dict[str, str] = {}
    for name, group in entity.groups.items():
        for member in group.fields:
            group_of.setdefault(member, name)
    done: set[str] = set()
    for name in entity.fields:
        unit = group_of.get(name)
        if unit is None:
            yield Block(name, (name,), False)
        elif unit not in done:
            done.add(unit)
            members = tuple(
                dict.fromkeys(m for m in entity.groups[unit].fields if m in entity.fields and group_of[m] == unit)
            )
            yield Block(unit, members, True)


def rule_of(entity: EntityFile, block: Block) -> dict[str, Any]:
    """The combined keys of a unit. Of a group whose fields disagree (an error elsewhere) the first one's count."""
    defaults = stated(entity.defaults)
    own: dict[str, Any] = dict(stated(entity.groups[block.name])) if block.group else {}
    for name in block.fields:
        own = {**stated(entity.fields[name]), **own}
    return combined(defaults, own)


def policy_of(files: Files, entity: EntityFile, block: Block) -> Policy:
    """The folded policy; `order` holds only systems that are read for the whole unit.

    A planned owner protects nothing yet: until it is there, the others supply the value as where an owner has none."""
    rule = rule_of(entity, block)
    needed = tuple(name for name in block.fields if not entity.fields[name].optional) or block.fields
    able = files.suppliers(entity.entity, needed)
    strategy: StrategyName = rule["strategy"]
    owner: str | None = rule.get("owner") if strategy == "owner" else None
    protected = bool(owner and rule.get("protected")) and owner not in files.planned
    seeds = tuple(name for name in rule.get("seed_from", ()) if name in able and name != owner) if owner else ()
    order = _order(rule, able, owner, protected, seeds)
    on_reject: OnReject = rule.get("on_reject", "correct")
    return Policy(
        strategy=strategy,
        order=order,
        owner=owner,
        protected=protected,
        seed_from=seeds,
        on_reject=on_reject if protected else "correct",
        approval=rule.get("approval") if protected else None,
        nulls=_nulls(files, strategy, order, owner),
        sentence=_sentence(strategy, order, owner, protected, seeds)
        + (f" (planned; until then {' > '.join(order) or 'nobody'})" if owner in files.planned else ""),
    )


def _order(
    rule: Stated, able: tuple[str, ...], owner: str | None, protected: bool, seeds: tuple[str, ...]
) -> tuple[str, ...]:
    if owner is not None:
        candidates = (owner,) if protected else (owner, *seeds, *able)
    else:
        order = rule.get("order", ())
        candidates = rule.get("among") or order or able
        if order:
            place = {name: index for index, name in enumerate(order)}
            candidates = tuple(sorted(candidates, key=lambda name: place.get(name, len(place))))
    return tuple(dict.fromkeys(name for name in candidates if name in able))


def _nulls(files: Files, strategy: StrategyName, order: tuple[str, ...], owner: str | None) -> frozenset[str]:
    if strategy == "first_non_null":
        return frozenset()
    speaking = {name for name in order if files.systems[name].model.on_null == "value"}
    return frozenset(speaking | ({owner} if owner in order else set()))


def _sentence(
    strategy: StrategyName, order: tuple[str, ...], owner: str | None, protected: bool, seeds: tuple[str, ...]
) -> str:
    if owner is not None:
        seeded = f", seeded by {', '.join(seeds)}" if protected and seeds else ""
        return f"owner {owner}{', protected' if protected else ''}{seeded}"
    if strategy == "recency":
        return f"recency among {', '.join(order)}"
    return f"{strategy} {' > '.join(order)}"
