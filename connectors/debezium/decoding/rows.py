"""A table's rows in one schema: which of their values are wanted, and how each becomes text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fieldwarden.connectors.debezium.decoding.columns import Column, NoText, column
from fieldwarden.connectors.debezium.decoding.schemas import NeedsSchema, Schema
from fieldwarden.connectors.debezium.decoding.unavailable import Placeholder
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.change import UNKNOWN, RawValue, Relation
from fieldwarden.engine.errors import SchemaDrift
from fieldwarden.engine.wanted import Wanted

_TOASTED = ("string", "bytes", "array", "map")


class RowReader:
    """How to read the rows of one table as one schema describes them. Values align with `relation.columns`.

    `columns` are compiled, `unknown` holds per column the values that mean *unknown* (empty: it cannot be so).
    `defaults` are the columns' defaults as text, where the schema says them.
    """

    def __init__(
        self,
        relation: Relation,
        key: Sequence[str],
        columns: Sequence[Column],
        unknown: Sequence[tuple[Any, ...]],
        defaults: Sequence[Any] = (),
    ) -> None:
        self.relation = relation
        self.key = tuple(relation.columns.index(name) for name in key)
        self.nothing: tuple[RawValue, ...] = (UNKNOWN,) * len(columns)
        self.defaults = tuple(defaults) or (None,) * len(columns)
        self._texts = tuple((place, each.text) for place, each in enumerate(columns) if each.text is not None)
        self._plain = tuple(place for place, each in enumerate(columns) if each.text is None)
        self._always = tuple((p, marks) for p, marks in enumerate(unknown) if marks and not _is_text(marks))
        self._texts_unknown = tuple((p, marks) for p, marks in enumerate(unknown) if marks and _is_text(marks))

    def part(self, names: Sequence[str]) -> RowReader:
        """The same columns read alone, without placeholders: a key's."""
        places = [self.relation.columns.index(name) for name in names]
        texts = dict(self._texts)
        types = tuple(self.relation.types[place] for place in places)
        columns = [Column(kind, texts.get(place)) for place, kind in zip(places, types, strict=True)]
        return RowReader(Relation(self.relation.stream, tuple(names), types), names, columns, [()] * len(columns))

    def values(self, row: list[Any], *, careful: bool = True) -> tuple[RawValue, ...]:
        """The texts of a row (which is used up). Not `careful`: no text in it can be a placeholder.

        Raises Unreadable."""
        if careful:
            for place, marks in self._texts_unknown:
                if row[place] in marks:
                    row[place] = UNKNOWN
        for place, marks in self._always:
            if row[place] in marks:
                row[place] = UNKNOWN
        place = 0
        try:
            for place, text in self._texts:
                value = row[place]
                if value is not None and value is not UNKNOWN:
                    row[place] = text(value)
        except NeedsSchema as error:
            raise Unreadable(f"column {self.relation.columns[place]}: {error}") from None
        except Exception:  # whatever a converter raises for a value that is not what its schema says
            raise Unreadable(f"column {self.relation.columns[place]} does not hold what its type says") from None
        for place in self._plain:
            value = row[place]
            if type(value) is not str and value is not None and value is not UNKNOWN:
                raise Unreadable(f"column {self.relation.columns[place]} does not hold what its type says")
        return tuple(row)

    def spread(self, key: Sequence[str]) -> tuple[RawValue, ...]:
        """A row of which only the key is known."""
        row = list(self.nothing)
        for place, text in zip(self.key, key, strict=True):
            row[place] = text
        return tuple(row)


def _is_text(marks: tuple[Any, ...]) -> bool:
    return all(isinstance(mark, str) for mark in marks)


def shape(
    wanted: Wanted,
    struct: Schema,
    placeholder: Placeholder,
    known: Mapping[Any, Relation],
    declared: Mapping[str, str],
    later: Mapping[str, str] = MappingProxyType({}),
) -> RowReader:
    """The shape of a struct's wanted fields. `known` has the relations made before, by columns and types; `later` the
    types of columns that may be missing, since the table got them after this: they are unknown. Such a relation is
    never one of those made before.

    Raises SchemaDrift where a wanted column is missing or cannot be read."""
    absent = {name: later[name] for name in sorted(wanted.columns) if name not in struct.fields and name in later}
    check_columns(wanted, {**struct.fields, **absent})
    taken = {name: each for name, each in struct.fields.items() if name in wanted.columns}
    columns = [compiled(wanted, name, each, declared.get(name, "")) for name, each in taken.items()]
    columns += [Column(each, None) for each in absent.values()]
    names, types = (*taken, *absent), tuple(each.type for each in columns)
    made_before = None if absent else known.get((names, types))
    relation = made_before or wanted.relation(names, types)
    unknown = [placeholder.of(each) if each.type in _TOASTED else () for each in taken.values()] + [()] * len(absent)
    defaults = [each.default for each in taken.values()] + [None] * len(absent)
    return RowReader(relation, wanted.key, columns, unknown, defaults)


def compiled(wanted: Wanted, name: str, schema: Schema, declared: str) -> Column:
    try:
        return column(schema, declared)
    except NoText as error:
        raise SchemaDrift(
            f"{wanted.stream}.{name} cannot be read exactly from what Debezium sends: {error}",
            suggestion="change the connector's options, or the mapping, then start `fieldwarden run`",
            path=f"{wanted.stream}.{name}",
        ) from None


def check_columns(wanted: Wanted, present: Mapping[str, Any]) -> None:
    for name in sorted(wanted.columns):
        if name not in present:
            raise SchemaDrift(
                f"{wanted.stream} has no column {name} any more, or Debezium leaves it out",
                suggestion=f"bring the column back, or mend the mapping of {wanted.stream}",
                path=f"{wanted.stream}.{name}",
            )


def check_key(wanted: Wanted, topic: str, present: Sequence[str]) -> None:
    """Rows of one key must be in one partition, in order: so a topic's key is the stream's key, no more and no less."""
    if set(present) != set(wanted.key):
        has = f"the key {', '.join(present)}" if present else "no key"
        raise SchemaDrift(
            f"{wanted.stream}: the records of {topic} have {has}, but the mapping's key is {', '.join(wanted.key)}",
            suggestion=f"make {', '.join(wanted.key)} the primary key, or set the connector's `message.key.columns`",
            path=wanted.stream,
        )
