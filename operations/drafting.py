"""A first proposal of what a database's tables mean: which stand for entities, which are parts of them, what refers to
what. Names decide where the catalogue is silent, so a person has to look at all of it (`operations.drafts` says where).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from fieldwarden.connectors.postgres.catalog import Column, Table
from fieldwarden.connectors.postgres.looking.survey import Reference, Survey

EDITED = (
    "write_date",
    "updated_at",
    "modified_at",
    "last_modified",
    "changed_at",
    "updated_on",
    "modified_on",
    "updated",
)
MADE = ("create_date", "created_at", "created_on", "created")
_BOOKKEEPING = {*EDITED, *MADE, "write_uid", "create_uid", "updated_by", "created_by", "modified_by", "fieldwarden_id"}
_KINDS = ("type", "kind", "category", "usage", "purpose")
_ORDERED = ("sequence", "position", "priority", "rank", "sort_order")
_MANY = 8
_MOMENTS = ("timestamp", "timestamptz")
_TYPES = {
    "text": "text",
    "integer": "integer",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamp",
    "uuid": "uuid",
}


@dataclass(slots=True)
class Proposed:
    """One column as a field: its name in the entity, and its type."""

    name: str
    column: Column
    type: str


@dataclass(slots=True)
class Part:
    """A table, or its rows of the kind `label`, as a stream of an entity. `kinds` are columns that tell several rows of
    one parent apart; `plural`: there may be several. `left` are columns that are not mapped, with the reason."""

    name: str
    table: Table
    key: tuple[str, ...]
    stream: str
    parent: Reference | None = None
    label: str | None = None
    fields: list[Proposed] = field(default_factory=list)
    kinds: list[Column] = field(default_factory=list)
    plural: bool = False
    left: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Draft:
    """An entity: its own table first, then those that are parts of it. `match` are keys that its table keeps unique."""

    entity: str
    parts: list[Part]
    match: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def fields(self) -> list[Proposed]:
        return [each for part in self.parts for each in part.fields]


def drafted(survey: Survey) -> tuple[list[Draft], dict[str, str]]:
    """The entities of these tables, and the tables that cannot be followed, with the reason."""
    keys = {name: _key(table) for name, table in survey.tables.items()}
    unfit = {name: "it has no primary key and no unique index" for name, key in keys.items() if not key}
    parents = _parents(survey, keys)
    entities = {name: _entity_name(name, keys) for name in keys if keys[name] and name not in parents}
    drafts = {name: Draft(entity, []) for name, entity in entities.items()}
    for name, draft in drafts.items():
        references = _references(survey, keys, entities, name)
        draft.parts = [_part(survey, name, keys[name], None, references, entities, "")]
        for child, reference in parents.items():
            if _root(child, parents) == name:
                draft.parts += _children(survey, parents, child, keys[child], reference, entities, _short(child, name))
        draft.match = _match(draft)
    _without_circles(drafts)
    return list(drafts.values()), unfit


def plain(name: str) -> str:
    """A name as entities and fields may have one."""
    text = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:48].rstrip("_") or "x"
    return text if text[0].isalpha() else f"x_{text}"[:48]


def _key(table: Table) -> tuple[str, ...]:
    return table.primary or min(table.unique, key=len, default=())


def _parents(survey: Survey, keys: Mapping[str, tuple[str, ...]]) -> dict[str, Reference]:
    """The tables that are parts of another one: named after it, or gone with it, and always below it."""
    found: dict[str, Reference] = {}
    for each in survey.references:
        table = survey.tables[each.source]
        mandatory = set(each.columns) <= {*table.primary, *(c.name for c in table.columns.values() if c.required)}
        part = each.owned or _last(each.source).startswith(f"{_last(each.target)}_")
        fits = keys.get(each.target) == each.keys and each.target != each.source and bool(keys[each.source])
        if mandatory and part and fits and each.source not in found and _root(each.target, found) != each.source:
            found[each.source] = each
    return found


def _root(name: str, parents: Mapping[str, Reference]) -> str:
    while name in parents:
        name = parents[name].target
    return name


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _entity_name(name: str, others: Collection[str]) -> str:
    alike = [other for other in others if plain(_last(other)) == plain(_last(name))]
    return plain(_last(name)) if len(alike) == 1 else plain(name.replace(".", "_"))


def _short(child: str, parent: str) -> str:
    return plain(_last(child).removeprefix(f"{_last(parent)}_"))


def _references(
    survey: Survey, keys: Mapping[str, tuple[str, ...]], entities: Mapping[str, str], name: str
) -> dict[str, str]:
    """Column -> the table that its value is the key of."""
    return {
        each.columns[0]: each.target
        for each in survey.references
        if each.source == name and len(each.columns) == 1 and each.target in entities and keys[each.target] == each.keys
    }


def _part(
    survey: Survey,
    name: str,
    key: tuple[str, ...],
    parent: Reference | None,
    references: Mapping[str, str],
    entities: Mapping[str, str],
    short: str,
) -> Part:
    table = survey.tables[name]
    part = Part(name, table, key, name, parent)
    held = {
        column: f"{each.target}: map it as a field of type ref({entities[each.target]}), if that matters"
        if each.target in entities
        else f"{each.target}, which is no entity here"
        for each in survey.references
        if each.source == name
        for column in each.columns
    }
    if parent is not None:
        _tell_apart(part, parent)
    for column in table.columns.values():
        if (why := _why_not(part, column, held, references)) is not None:
            part.left[column.name] = why
            continue
        kind = f"ref({entities[references[column.name]]})" if column.name in references else _type(column)
        field_name = plain(f"{short}_{column.name}" if short else column.name)
        part.fields.append(Proposed(field_name, column, kind))
    return part


def _children(
    survey: Survey,
    parents: Mapping[str, Reference],
    child: str,
    key: tuple[str, ...],
    reference: Reference,
    entities: Mapping[str, str],
    short: str,
) -> list[Part]:
    """A table of child rows as one stream; as one for each kind of row, where the catalogue lists the kinds."""
    whole = _part(survey, child, key, reference, {}, entities, short)
    [kind] = whole.kinds if len(whole.kinds) == 1 else [None]
    labels = survey.labels.get((child, kind.name), ()) if kind is not None else ()
    if not 1 <= len(labels) <= _MANY or any(each.target == child for each in parents.values()):
        return [whole]
    parts = []
    for label in labels:
        part = _part(survey, child, key, reference, {}, entities, plain(f"{short}_{label}"))
        part.stream, part.label = plain(f"{short}_{label}"), label
        parts.append(part)
    return parts


def _tell_apart(part: Part, parent: Reference) -> None:
    """Whether one parent may have several of these rows, and which columns say which is which."""
    columns, unique = set(parent.columns), [set(each) for each in (*part.table.unique, part.table.primary) if each]
    part.plural = not any(each <= columns for each in unique)
    if part.plural:
        names = {name for each in unique if each > columns for name in each - columns}
        names |= {name for name in part.table.columns if name.rpartition("_")[2] in _KINDS}
        part.kinds = [column for column in part.table.columns.values() if column.name in names and _type(column)]


def _why_not(part: Part, column: Column, held: Mapping[str, str], references: Mapping[str, str]) -> str | None:
    """Why a column is no field; None where it is one."""
    if column.name in (part.parent.columns if part.parent else ()):
        return "holds the parent's key"
    if column in part.kinds:
        return "tells these rows apart"
    if part.plural and column.name in _ORDERED:
        return "orders these rows"
    if column.name in _BOOKKEEPING:
        return "is the application's own"
    if column.name in held and column.name not in references:
        return f"refers to {held[column.name]}"
    if column.generated:
        return "is generated"
    if not _type(column):
        return f"is of type {column.written}: a field of type text carries it"
    surrogate = column.name in part.key and (column.type in ("integer", "uuid") or part.parent is not None)
    return "is the key" if surrogate and column.name not in references else None


def _type(column: Column) -> str:
    if column.type == "numeric":
        return decimal(column)
    return _TYPES.get(column.type, "")


def decimal(column: Column) -> str:
    if column.modifier < 4:
        return "decimal"
    precision, scale = (column.modifier - 4) >> 16 & 0xFFFF, (column.modifier - 4) & 0x7FF
    return f"decimal({precision},{scale})" if scale <= precision else "decimal"


def _match(draft: Draft) -> list[tuple[str, ...]]:
    """Unique constraints of the entity's own table over its fields."""
    own = draft.parts[0]
    names = {each.column.name: each.name for each in own.fields}
    keys = [key for key in own.table.unique if set(key) <= names.keys()]
    return list(dict.fromkeys(tuple(names[column] for column in key) for key in sorted(keys, key=len)))


def order(part: Part) -> tuple[str, ...]:
    """By which columns the first of several rows can be told; empty where there is one at most."""
    told = {*(part.parent.columns if part.parent else ()), *(column.name for column in part.kinds)}
    if not part.plural or any(set(each) <= told for each in part.table.unique):
        return ()
    columns = [name for name in _ORDERED if name in part.table.columns]
    return tuple(dict.fromkeys((*columns, *part.key)))


def edited(table: Table) -> tuple[str, str | None] | None:
    """The columns that say when a row was edited, and, for rows that never were, when it was made."""
    moments = {column.name for column in table.columns.values() if column.type in _MOMENTS}
    changed = next((name for name in EDITED if name in moments), None)
    made = next((name for name in MADE if name in moments), None)
    return (changed, made) if changed else None


def _without_circles(drafts: Mapping[str, Draft]) -> None:
    """References that would close a circle are left out: rows would wait for each other."""
    by_entity = {draft.entity: draft for draft in drafts.values()}
    while True:
        graph = {e: {_target(each) for each in draft.fields if _target(each)} - {e} for e, draft in by_entity.items()}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]
            own = by_entity[circle[1]].parts[0]
            [closing, *_] = [each for each in own.fields if _target(each) == circle[0]]
            own.fields.remove(closing)
            own.left[closing.column.name] = f"refers to {circle[0]}, which refers back: DECIDE which to map"
        else:
            return


def _target(proposed: Proposed) -> str:
    return proposed.type.removeprefix("ref(").removesuffix(")") if proposed.type.startswith("ref(") else ""
