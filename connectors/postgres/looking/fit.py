"""Whether a table fits what is mapped onto it: columns, keys, types, uniqueness and rights. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fieldwarden.connectors.postgres.catalog import Column, Table
from fieldwarden.connectors.postgres.harm import harms, untold
from fieldwarden.connectors.postgres.looking.advice import instead, listed, make_unique, quoted
from fieldwarden.engine.ports.finding import Finding, bad, note, warning
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.rulebook import Entity, Stream
from fieldwarden.rules.values import FieldType

_EXACT: dict[str, tuple[str, ...]] = {
    "integer": ("integer",),
    "decimal": ("numeric", "integer"),
    "boolean": ("boolean",),
    "date": ("date",),
    "timestamp": ("timestamp", "timestamptz", "date"),
    "uuid": ("uuid",),
}
"""Column types whose every value the field's type can carry."""

_SOME: dict[str, tuple[str, ...]] = {
    "integer": ("text", "numeric"),
    "decimal": ("text",),
    "boolean": ("text", "integer"),
    "date": ("text", "timestamp", "timestamptz"),
    "timestamp": ("text",),
    "uuid": ("text",),
}
"""Column types some of whose values it can carry: the others become dead letters."""


def can_carry(column_type: str, wanted: FieldType) -> bool:
    """Whether the field can hold at least some of the values of a column of this portable type."""
    exact = _EXACT.get(wanted.kind)
    floating = wanted.kind == "decimal" and column_type == "float"
    return exact is None or column_type in exact or column_type in _SOME[wanted.kind] or floating


def reading_findings(stream: Stream, table: Table, entity: Entity | None, version: int) -> Iterator[Finding]:
    """What is wrong for the source's half, and what both halves need: columns, key, types."""
    wanted = wanted_columns(stream)
    for name in sorted(wanted.columns | set(stream.conflict) | set(stream.constants)):
        column = table.columns.get(name)
        if column is None:
            yield _no_column(stream, table, name)
        elif name in wanted.columns:
            yield from readable(stream, table, column)
            yield from _published(stream, column, version)
    yield from _told_apart(stream, table, version)
    yield from _expressions_fit(stream, table)
    if entity is not None:
        for mapped in stream.fields.values():
            column = table.columns.get(mapped.column or "")
            if column is not None and mapped.read is None and mapped.field in entity.fields:
                yield from _type_fits(stream, column, entity.fields[mapped.field].type)


def _told_apart(stream: Stream, table: Table, version: int) -> Iterator[Finding]:
    """Whether rows have the key that is mapped, in the table and in what its log says of them."""
    if not any(set(unique) <= set(stream.key) for unique in table.unique):
        columns = ", ".join(stream.key)
        yield (bad if table.identity != "f" else warning)(
            "key",
            f"{stream.name} has no primary key or unique index on its key {columns}",
            make_unique(table, stream.key, key=True),
            stream.name,
        )
        if table.identity != "f":
            return
    if stream.reads:
        lacking = untold(stream.name, stream.table, stream.key, table.identity_columns)
        for what, remedy in list(harms(table.parts, stream.key, version)) or lacking:
            yield bad("table", what, remedy, stream.name)


def _expressions_fit(stream: Stream, table: Table) -> Iterator[Finding]:
    """An expression is typed by the columns it reads, so only the real table can tell whether it makes sense."""
    columns = tuple(table.columns.values())
    named = [("where", stream.where), ("changed_at", stream.changed_at)]
    named += [(f"field {mapped.field}", mapped.read) for mapped in stream.fields.values()]
    for name, expression in named:
        if expression is None or not expression.columns <= table.columns.keys():
            continue
        try:
            expression.bind([column.name for column in columns], [column.type for column in columns])
        except ValueError as error:
            yield bad("expression", f"{stream.name}, {name}: {error}", "mend the expression", stream.name)


def _no_column(stream: Stream, table: Table, name: str) -> Finding:
    what = f"{stream.name} has no column {name}"
    return bad("column", what, instead(name, table.columns), stream.name, name)


def readable(stream: Stream, table: Table, column: Column, role: str = "the role") -> Iterator[Finding]:
    """Whether the role by which the table was described may read a column of it."""
    if not table.usable or not column.readable:
        schema = "" if table.usable else f"GRANT USAGE ON SCHEMA {table.schema} to the role; "
        yield bad(
            "privilege",
            f"{role} may not read {stream.name}.{column.name}",
            f"{schema}GRANT SELECT ({quoted(column.name)}) ON {stream.table} to the role",
            stream.name,
            column.name,
        )


def _published(stream: Stream, column: Column, version: int) -> Iterator[Finding]:
    if stream.reads and column.generated and (version < 180000 or not column.stored):
        yield bad(
            "column",
            f"{stream.name}.{column.name} is a generated column, which this server does not publish",
            "map an expression over the columns it is generated from instead",
            stream.name,
            column.name,
        )


def _type_fits(stream: Stream, column: Column, wanted: FieldType) -> Iterator[Finding]:
    where = f"{stream.name}.{column.name} ({column.written})"
    exact = _EXACT.get(wanted.kind)
    if exact is None:
        return
    if column.type in exact:
        if wanted.kind == "decimal" and column.type == "numeric" and wanted.precision is not None:
            yield from _numeric_fits(stream, column, wanted, where)
    elif column.type in _SOME[wanted.kind]:
        yield warning(
            "type",
            f"{where} may hold what is no {wanted}; such a row is set aside",
            f"make the column {_sql_type(wanted)}, or read it through an expression",
            stream.name,
            column.name,
        )
    elif wanted.kind == "decimal" and column.type == "float":
        yield warning(
            "type",
            f"{where} is binary floating point, which does not hold {wanted} exactly",
            f"make the column {_sql_type(wanted)}",
            stream.name,
            column.name,
        )
    else:
        yield bad(
            "type",
            f"{where} cannot hold a {wanted}",
            "map another column, read it through an expression, or change the field's type",
            stream.name,
            column.name,
        )


def _numeric_fits(stream: Stream, column: Column, wanted: FieldType, where: str) -> Iterator[Finding]:
    assert wanted.precision is not None
    assert wanted.scale is not None
    if column.modifier < 4:
        yield note(
            "type", f"{where} has no bound; what does not fit {wanted} is set aside", "", stream.name, column.name
        )
        return
    precision, scale = (column.modifier - 4) >> 16 & 0xFFFF, (column.modifier - 4) & 0x7FF
    if scale > wanted.scale or precision - scale > wanted.precision - wanted.scale:
        yield warning(
            "type",
            f"{where} holds more than {wanted}; what does not fit is set aside",
            f"widen the field to decimal({max(precision, wanted.precision)},{max(scale, wanted.scale)})",
            stream.name,
            column.name,
        )


def _sql_type(wanted: FieldType) -> str:
    if wanted.kind == "decimal":
        return "numeric" if wanted.precision is None else f"numeric({wanted.precision},{wanted.scale})"
    return {"timestamp": "timestamptz"}.get(wanted.kind, wanted.kind)


# --- the target's half ------------------------------------------------------------------------------------------


def writing_findings(stream: Stream, table: Table, rights: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong for the target's half. `rights`: `deletes`, and the columns of `inserts` and `updates`."""
    carrier = table.columns.get(stream.external_id or "")
    if carrier is not None:
        yield from _external_id(stream, carrier, table)
    if stream.conflict and not stream.parent_row and set(stream.conflict) not in map(set, table.unique):
        yield from _not_unique(stream, table)
    yield from _set_beside(stream, table)
    updated = {stream.fields[name].column for name in stream.update_fields} | (
        stream.on_write.keys() if stream.update_fields else set()
    )
    computed = {column.name for column in table.columns.values() if column.generated}
    mapped = {stream.fields[name].column or "" for name in (*stream.update_fields, *stream.create_fields)}
    for name in sorted(computed & mapped):
        what = f"{stream.name}.{name} is a generated column, which PostgreSQL computes by itself"
        yield bad("column", what, f"{{column: {name}, write: false}} to only read it", stream.name, name)
    yield from _denied(stream, "UPDATE", _known(updated, table) - computed - set(rights["updates"]))
    if stream.on_retire == "delete" and (stream.creates or stream.update_fields) and not rights["deletes"]:
        yield _grant(stream, "DELETE", "")
    if stream.creates:
        created = {stream.fields[name].column for name in stream.create_fields}
        created |= {*stream.parent_columns, *stream.constants, *stream.on_write, stream.external_id}
        yield from _denied(stream, "INSERT", _known(created, table) - computed - set(rights["inserts"]))
        for column in table.columns.values():
            if column.required and column.name not in created:
                yield bad(
                    "column",
                    f"{stream.name}.{column.name} is NOT NULL without a default, and creating a row does not set it",
                    "map a field to it, set it (`set:`), give it a default, or leave `create` out",
                    stream.name,
                    column.name,
                )


def _set_beside(stream: Stream, table: Table) -> Iterator[Finding]:
    """The columns of on_write: are there, can be set, and their expressions make sense."""
    columns = tuple(table.columns.values())
    for name, expression in stream.on_write.items():
        missing = sorted({name, *expression.columns} - table.columns.keys())
        for each in missing:
            yield _no_column(stream, table, each)
        if missing:
            continue
        if table.columns[name].generated:
            what = f"{stream.name}.{name} is a generated column, which on_write cannot set"
            yield bad("column", what, "remove it from on_write:", stream.name, name)
        try:
            if expression.columns:
                expression.bind([column.name for column in columns], [column.type for column in columns])
        except ValueError as error:
            yield bad(
                "expression", f"{stream.name}, on_write {name}: {error}", "mend the expression", stream.name, name
            )


def _not_unique(stream: Stream, table: Table) -> Iterator[Finding]:
    """A constraint that the application's rows do not keep would break it: for a child it is proposed last."""
    columns = ", ".join(stream.conflict)
    partial = [told for names, told in table.partial if set(names) == set(stream.conflict)]
    if partial and stream.conflict_where is not None:
        return
    what = f"{stream.name} has no unique constraint on {columns}, so creating twice would make two rows"
    if partial:
        what = f"{stream.name}: {columns} is unique only where {partial[0]}"
        suggestion = f"unique: {{columns: [{columns}], where: ...}}, with that condition"
    elif stream.conflict_where is not None:
        suggestion = (
            f"CREATE UNIQUE INDEX ON {stream.table} ({listed(stream.conflict)}) WHERE {stream.conflict_where.text}"
        )
    else:
        suggestion = make_unique(table, stream.conflict)
    if stream.parent is not None and not partial:
        suggestion = (
            "leave `unique` out, so that a row is looked for by its parent and `where` before it is created; or, if "
            f"the application never has two such rows: {suggestion}"
        )
    yield bad("unique", what, suggestion, stream.name)


def _external_id(stream: Stream, column: Column, table: Table) -> Iterator[Finding]:
    if column.type not in ("text", "uuid"):
        yield bad(
            "external_id",
            f"{stream.name}.{column.name} ({column.written}) cannot carry a record id",
            "make it a text or uuid column",
            stream.name,
            column.name,
        )
    if (column.name,) not in table.unique and not _is_part(column.name, stream.conflict):
        yield (bad if stream.creates else warning)(
            "external_id",
            f"{stream.name}.{column.name} has no unique index, so creating twice would make two rows",
            make_unique(table, [column.name]),
            stream.name,
            column.name,
        )


def _is_part(column: str, unique: tuple[str, ...]) -> bool:
    """Whether it is unique together with others."""
    return column in unique and len(unique) > 1


def _known(columns: set[str | None], table: Table) -> set[str]:
    return {column for column in columns if column is not None and column in table.columns}


def _denied(stream: Stream, right: str, columns: set[str]) -> Iterator[Finding]:
    for column in sorted(columns):
        yield _grant(stream, right, column)


def _grant(stream: Stream, right: str, column: str) -> Finding:
    what = f"{stream.name}.{column}" if column else stream.name
    granted = f"{right} ({quoted(column)})" if column else right
    return bad(
        "privilege",
        f"the role has no {right} privilege on {what}",
        f"GRANT {granted} ON {stream.table} to the role",
        stream.name,
        column,
    )
