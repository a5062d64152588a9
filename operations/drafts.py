"""The draft of a project as its files: readable YAML, with a comment wherever a person has to decide."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from fieldwarden.connectors.postgres.catalog import Column
from fieldwarden.operations.drafting import Draft, Part, edited, order
from fieldwarden.rules.expressions import parse

Labels: TypeAlias = Mapping[tuple[str, str], tuple[str, ...]]
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_COLUMN = re.compile(r"[^\W\d][\w$]*$")
_NIL = "00000000-0000-0000-0000-000000000000"


def files(
    name: str,
    system: str,
    variable: str,
    drafts: list[Draft],
    unfit: Mapping[str, str],
    labels: Labels,
) -> dict[str, str]:
    """The texts of the project's files by their names."""
    found = {f"entities/{draft.entity}.yaml": "\n".join(_entity(draft, system)) + "\n" for draft in drafts}
    found["fieldwarden.yaml"] = _PROJECT.format(name=name, system=system)
    found[f"systems/{system}.yaml"] = "\n".join(_system(system, variable, drafts, unfit, labels)) + "\n"
    return dict(sorted(found.items()))


_PROJECT = """\
# A draft of `fieldwarden init --from`. Look for DECIDE in all files, then `fieldwarden validate`, `fieldwarden doctor`.
project: {name}
systems: [{system}]
# DECIDE: the other systems, in order of rank (the first wins ties); those not connected yet go under planned: [...]
onboarding: reviewed    # nothing is delivered before you have seen `fieldwarden onboard` and said `fieldwarden apply`
"""


def _entity(draft: Draft, system: str) -> Iterator[str]:
    yield f"# DECIDE: what else says something of a {draft.entity}, and who has the say about each field?"
    yield f"entity: {draft.entity}"
    if draft.match:
        keys = ", ".join(_names(key) if len(key) > 1 else _q(key[0]) for key in draft.match)
        yield "# DECIDE: these are unique there. Which do other systems know as well, and how do spellings differ"
        yield "# ({tax_id: tax_id(DE)}, {email: email} ...)?"
        yield f"identity: {{match: [{keys}]}}"
    else:
        yield "# DECIDE: nothing but the key is unique there. By which fields are the records of two systems the same?"
        yield "identity: {match: []}"
    yield f"defaults: {{strategy: source_priority, order: [{system}]}}"
    yield "fields:"
    width = max((len(each.name) for each in draft.fields), default=0) + 1
    for each in draft.fields:
        kind = json.dumps(each.type) if "," in each.type else each.type
        yield f"  {each.name + ':':<{width}} {{type: {kind}}}"


def _system(system: str, variable: str, drafts: list[Draft], unfit: Mapping[str, str], labels: Labels) -> Iterator[str]:
    yield "# DECIDE: may rows be created here (create: true, with an external_id), which are read only (mode: source)?"
    yield f"system: {system}"
    yield f'connector: {{kind: postgres, dsn: "${{env:{variable}}}"}}'
    columns = [column for draft in drafts for part in draft.parts for column in part.table.columns.values()]
    if any(column.type == "timestamp" for column in columns):
        yield "# DECIDE: columns without time zone hold local time; whose? (default: UTC)"
        yield "# timezone: Europe/Berlin"
    for name, why in unfit.items():
        yield f"# {name} is left out: {why}."
    yield "streams:"
    for draft in drafts:
        for part in draft.parts:
            yield from _stream(draft, part, labels)


def _stream(draft: Draft, part: Part, labels: Labels) -> Iterator[str]:
    yield f"  {_q(part.stream)}:"
    if part.stream != part.name:
        yield f"    table: {_q(part.name)}"
    yield f"    entity: {draft.entity}"
    if part.parent is not None:
        yield f"    parent: {{{_q(part.parent.target)}: {_names(part.parent.columns)}}}"
    yield f"    key: {_names(part.key)}"
    if part.parent is None:
        yield from _external_id(part)
    if part.kinds:
        yield from _where(part, labels)
    if first := order(part):
        yield "    # DECIDE: several rows may say it; the first by these columns counts"
        yield f"    first_by: {_names(first)}"
    if (moments := edited(part.table)) is not None:
        changed, made = moments
        yield f"    changed_at: {_q(f'coalesce({_sql(changed)}, {_sql(made)})' if made else _sql(changed))}"
        yield f"    # on_write: {{{changed}: now()}}      # DECIDE: does the application expect a write to set it?"
    for name, why in part.left.items():
        yield f"    # not mapped: {name} {why}"
    yield "    fields:" if part.fields else "    fields: {}"
    for each in part.fields:
        yield f"      {each.name}: {_mapping(each.column.name)}"


def _external_id(part: Part) -> Iterator[str]:
    if ("fieldwarden_id",) in part.table.unique:
        yield "    external_id: fieldwarden_id"
        return
    table = ".".join(map(_sql, (part.table.schema, part.table.name)))
    yield f"    # to create rows here: ALTER TABLE {table} ADD fieldwarden_id text UNIQUE; then"
    yield "    # external_id: fieldwarden_id"


def _where(part: Part, labels: Labels) -> Iterator[str]:
    if part.label is None:
        yield "    # DECIDE: rows of one parent are told apart by this; of which does this stream speak?"
        yield f"    # For others write a stream of another name beside it, with table: {part.name}"
        for column in part.kinds:
            if known := labels.get((part.name, column.name)):
                yield f"    # {column.name} is one of {', '.join(known)}"
    conditions = [_condition(part, column, labels) for column in part.kinds]
    yield f"    where: {_q(' and '.join(conditions))}"


def _condition(part: Part, column: Column, labels: Labels) -> str:
    if column.type in ("date", "timestamp", "timestamptz"):
        return f"{_sql(column.name)} is null"
    known = labels.get((part.name, column.name), ("DECIDE",))
    told = "'" + (known[0] if part.label is None else part.label).replace("'", "''") + "'"
    value = {"integer": "0", "numeric": "0", "boolean": "true", "uuid": f"'{_NIL}'"}.get(column.type, told)
    return f"{_sql(column.name)} = {value}"


def _mapping(column: str) -> str:
    return _q(column) if _COLUMN.match(column) else f"{{column: {_q(column)}}}"


def _sql(column: str) -> str:
    """Quoted where it has to be: also a plain name may be a word of SQL (`from`)."""
    try:
        if re.fullmatch(r"[a-z_][a-z0-9_]*", column) and parse(f"{column} is null").columns == {column}:
            return column
    except ValueError:
        pass
    return '"' + column.replace('"', '""') + '"'


def _names(columns: tuple[str, ...]) -> str:
    return _q(columns[0]) if len(columns) == 1 else f"[{', '.join(map(_q, columns))}]"


def _q(text: str) -> str:
    """A text as YAML reads it back."""
    sound = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if sound else json.dumps(text, ensure_ascii=False)
