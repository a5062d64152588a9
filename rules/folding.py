"""Folds checked files into the rulebook that the engine reads on every change."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace

from fieldwarden.rules.expressions import Expression, column, now, parse
from fieldwarden.rules.files import Files, reads, writes
from fieldwarden.rules.models import EntityFile, FieldMapping, StreamModel, SystemFile
from fieldwarden.rules.normalising import BEFORE
from fieldwarden.rules.policies import blocks, policy_of
from fieldwarden.rules.rulebook import Entity, Field, FieldMap, MatchKey, Rulebook, Stream, System, Unit
from fieldwarden.rules.shapes import MatchPart
from fieldwarden.rules.tables import overlap
from fieldwarden.rules.zones import zone

_NO_RULES = {"connector", "on_gap"}
_PLAIN_COLUMN = re.compile(r"[^\W\d][\w$]*$")
_PLAIN_WORDS = re.compile(r"[^\W\d][\w$]*( [\w$]+)+$")


def fold(files: Files) -> Rulebook:
    """The rulebook of files that have passed every check."""
    entities = {name: _entity(files, file.model) for name, file in files.entities.items()}
    systems = {
        name: _system(files, entities, files.systems[name].model, rank) for rank, name in enumerate(files.ranked())
    }
    named = canonical_source(files, connectors=False)
    return Rulebook(hashlib.sha256(named.encode()).hexdigest(), entities, systems, canonical_source(files))


def canonical_source(files: Files, *, connectors: bool = True) -> str:
    """All that the files say about rules, as one JSON text: files in order of name, keys as written.

    Without `connectors`: how each system is reached, and what is done where its changes are gone, is no rule, and may
    differ from one process to the next."""
    systems = [files.systems[name].document.data for name in sorted(files.systems)]
    if not connectors:
        systems = [{key: value for key, value in data.items() if key not in _NO_RULES} for data in systems]
    content: dict[str, object] = {
        "ranks": files.ranked(),
        "entities": [files.entities[name].document.data for name in sorted(files.entities)],
        "systems": systems,
        "codes": {name: files.code_texts[name] for name in sorted(files.code_texts)},
    }
    if files.unnamed != BEFORE:  # rulebooks that do not say it are from before there were normalisers
        content["unnamed"] = files.unnamed
    if files.planned:
        content["planned"] = sorted(files.planned)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def expression(text: str) -> Expression:
    """A column named as it is in the table, or an expression. Raises ValueError.

    Words that are no expression are a name with blanks in it."""
    if _PLAIN_COLUMN.match(text):
        return column(text)
    try:
        return parse(text)
    except ValueError:
        if _PLAIN_WORDS.match(text):
            return column(text)
        raise


def setting(text: str) -> Expression:
    """What a write sets a column to: the time, or an expression. Raises ValueError."""
    return now() if text.replace(" ", "").lower() == "now()" else expression(text)


def field_source(source: str | FieldMapping) -> tuple[str | None, Expression | None, bool]:
    """(column, expression to read through, writable) of one entry under `fields:`. Raises ValueError."""
    if isinstance(source, str):
        parsed = expression(source)
        bare = parsed.bare_column
        return (bare, None, True) if bare is not None else (None, parsed, False)
    read = expression(source.read) if source.read is not None else None
    if read is not None and read.bare_column is not None and source.column in (None, read.bare_column):
        return read.bare_column, None, source.write and source.column is not None
    return source.column, read, source.write and source.column is not None


def _entity(files: Files, model: EntityFile) -> Entity:
    fields = {
        name: Field(
            name,
            field.type,
            personal=field.class_ == "personal",
            optional=field.optional,
            refuses=field.check if field.on_invalid == "refuse" else (),
        )
        for name, field in model.fields.items()
    }
    units = tuple(
        Unit(
            block.name,
            block.fields,
            policy_of(files, model, block),
            _optional(model, block.fields),
            _plural(files, model.entity, block.fields),
            _below(files, model.entity, block.fields),
        )
        for block in blocks(model)
    )
    return Entity(
        name=model.entity,
        fields=fields,
        units=units,
        unit_of={name: unit for unit in units for name in unit.fields},
        match=tuple(_match_key(parts, files.unnamed) for parts in model.match_keys),
        delete_authority=frozenset(model.delete.authority if model.delete else ()),
    )


def _plural(files: Files, entity: str, fields: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    """The (system, stream) that tell these fields in several rows, of which the first counts."""
    return frozenset(
        (system, name)
        for system in files.systems
        for name, stream in files.streams(entity, system)
        if stream.first_by and not stream.fields.keys().isdisjoint(fields)
    )


def _below(files: Files, entity: str, fields: tuple[str, ...]) -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    """The (system, stream) of child rows that tell these fields, where a `where` above may leave parents out or
    `merged_into` make others of them, with all that stand above them."""
    found = {}
    for system in files.systems:
        streams = files.systems[system].model.streams
        for name, stream in files.streams(entity, system):
            above: list[str] = []
            parent = next(iter(stream.parent or {}), None)
            while parent in streams and parent not in above:
                above.append(parent)
                parent = next(iter(streams[parent].parent or {}), None)
            leaves = any(streams[each].where or streams[each].merged_into for each in above)
            if leaves and not stream.fields.keys().isdisjoint(fields):
                found[system, name] = tuple((system, each) for each in above)
    return found


def _match_key(parts: tuple[MatchPart, ...], unnamed: str) -> MatchKey:
    names = tuple(part.field for part in parts)
    return MatchKey("+".join(names), names, tuple(part.form or unnamed for part in parts))


def _optional(model: EntityFile, names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name for name in names if model.fields[name].optional)


def _system(files: Files, entities: Mapping[str, Entity], model: SystemFile, rank: int) -> System:
    streams = {name: _stream(files, entities, model, name, stream) for name, stream in model.streams.items()}
    streams = {name: _among(stream, streams, model) for name, stream in streams.items()}
    return System(model.system, rank, model.connector, streams, model.on_gap == "rebaseline")


def _among(stream: Stream, streams: Mapping[str, Stream], model: SystemFile) -> Stream:
    """With those streams of its table of which a row must not be in both."""
    rivals = tuple(
        (other.name, other.where)
        for other in streams.values()
        if other is not stream
        and other.where is not None
        and physical(model, other.table) == physical(model, stream.table)
        and overlap(stream.where, other.where) != "never"
        and share_nothing(stream, other)
    )
    return replace(stream, rivals=rivals) if rivals else stream


def share_nothing(one: Stream, other: Stream) -> bool:
    """Whether no row may be in both of two streams of a table: they speak of one entity, or write one column."""
    written, also = written_columns(one), written_columns(other)
    owned = written & other.protected_columns or also & one.protected_columns
    return one.entity == other.entity or bool(written & also or owned)


def written_columns(stream: Stream) -> frozenset[str]:
    """The columns that are written for a row there: of its fields, and the one with its record's id."""
    columns = (stream.fields[name].column for name in (*stream.update_fields, *stream.create_fields))
    return frozenset(column for column in (*columns, stream.external_id) if column is not None)


def physical(system: SystemFile, table: str) -> tuple[str, ...]:
    """A table's name in its parts, so that two names of one table are equal, and those of two tables are not."""
    return system.connector.table(table)


def _stream(files: Files, entities: Mapping[str, Entity], system: SystemFile, name: str, model: StreamModel) -> Stream:
    entity = entities[model.entity]
    name_of_zone = model.timezone or system.timezone
    where = zone(name_of_zone) if name_of_zone else None
    maps = {field: _field_map(files, entity, system, field, source) for field, source in model.fields.items()}
    checks = files.entities[model.entity].model.fields
    maps = {field: replace(mapped, checks=checks[field].check) for field, mapped in maps.items()}
    if where is not None:
        moments = {field for field in maps if entity.fields[field].type.kind == "timestamp"}
        maps |= {field: replace(maps[field], zone=where) for field in moments}
    (parent, parent_columns), *_ = model.parent.items() if model.parent else [(None, ())]
    writing = writes(system, model)
    owned = {f for f in maps if _owned(entity, f, system.system) and entity.unit_of[f].policy.protected}
    creatable = [f for f, m in maps.items() if writing and m.writable]
    fixed = {*model.key, *parent_columns, *(model.merged_into or ()), model.external_id}
    return Stream(
        system=system.system,
        name=name,
        entity=model.entity,
        key=model.key,
        fields=maps,
        parent=parent,
        parent_columns=parent_columns,
        external_id=model.external_id,
        where=expression(model.where) if model.where else None,
        changed_at=expression(model.changed_at) if model.changed_at else None,
        reads=reads(system, model),
        creates=model.create and writing,
        constants=model.constants,
        on_write={column: setting(text) for column, text in model.on_write.items()},
        conflict=conflict_columns(model) if model.create else (),
        conflict_where=expression(model.unique_where) if model.unique_where else None,
        parent_row=parent_row(system, model) if model.create else None,
        on_retire=model.on_retire if writing else "keep",
        update_fields=tuple(f for f in creatable if f not in owned and maps[f].column not in fixed),
        create_fields=tuple(f for f in creatable if f not in owned or entity.unit_of[f].policy.seed_from),
        protected_columns=frozenset(column for f in owned for column in maps[f].columns),
        zone=where,
        table=model.table or name,
        first_by=model.first_by or (),
        merged_into=model.merged_into or (),
    )


def conflict_columns(stream: StreamModel) -> tuple[str, ...]:
    """The columns by which creating a row twice yields one."""
    if stream.unique is not None:
        return stream.unique_columns
    if stream.external_id is not None:
        return (stream.external_id,)
    return parent_columns(stream) if is_looked_up(stream) else stream.key


def parent_columns(stream: StreamModel) -> tuple[str, ...]:
    return next(iter(stream.parent.values())) if stream.parent else ()


def is_looked_up(stream: StreamModel) -> bool:
    """Whether nothing unique tells a created child row again, but its parent and `where` alone."""
    if stream.parent is None or stream.unique is not None or stream.external_id is not None:
        return False
    mapped = set()
    for source in stream.fields.values():
        column, _, writable = field_source(source)
        mapped |= {column} if writable else set()
    return not set(stream.key) <= {*mapped, *parent_columns(stream), *stream.constants}


def parent_row(system: SystemFile, stream: StreamModel) -> tuple[str, tuple[str, ...]] | None:
    """The parent's table and key, where its row is to be locked while a child row is created."""
    if stream.parent is None or not is_looked_up(stream):
        return None
    name = next(iter(stream.parent))
    parent = system.streams[name]
    return parent.table or name, parent.key


def _owned(entity: Entity, field: str, system: str) -> bool:
    return entity.unit_of[field].policy.owner == system


def _field_map(files: Files, entity: Entity, system: SystemFile, field: str, source: str | FieldMapping) -> FieldMap:
    name, read, writable = field_source(source)
    kind = entity.fields[field].type
    reference = root_stream(system, kind.target) if kind.kind == "ref" and kind.target else None
    codes = files.codes[kind.target].for_system(system.system) if kind.kind == "code" and kind.target else None
    return FieldMap(field, name, read, reference, codes, writable)


def root_stream(system: SystemFile, entity: str) -> str | None:
    for name, stream in system.streams.items():
        if stream.entity == entity and stream.parent is None:
            return name
    return None
