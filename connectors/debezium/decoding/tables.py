"""One mapped topic: everything compiled from the schemas its records came with, for values and for keys."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import msgspec

from fieldwarden.connectors.debezium.decoding import json_format, plain, storable
from fieldwarden.connectors.debezium.decoding.avro_format import Avro
from fieldwarden.connectors.debezium.decoding.envelope import Event, Source
from fieldwarden.connectors.debezium.decoding.json_format import BareRows, Envelopes, Remembered
from fieldwarden.connectors.debezium.decoding.rows import RowReader, check_columns, check_key, shape
from fieldwarden.connectors.debezium.decoding.schemas import Schema
from fieldwarden.connectors.debezium.decoding.unavailable import PARAMETER, Placeholder
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.change import UNKNOWN, Relation
from fieldwarden.engine.wanted import Wanted

_ABSENT = Schema("string")
_NO_ENVELOPE = "it is not Debezium's envelope; a transformation such as ExtractNewRecordState must be left out"


class Table:
    """Reads one topic's values and keys. `types` are the columns' portable types where records do not say them."""

    def __init__(self, topic: str, wanted: Wanted, placeholder: Placeholder, types: Mapping[str, str]) -> None:
        self.topic = topic
        self.wanted = wanted
        self._placeholder = placeholder
        self._types = types
        self._relations: dict[Any, Relation] = {}
        self._shapes: dict[Any, RowReader] = {}
        self._json = Remembered(self._json_envelopes)
        self._json_keys = Remembered(self._json_key)
        self._avro: dict[int, RowReader] = {}
        self._avro_keys: dict[int, RowReader] = {}
        self._needle = json_format.needle(placeholder.text)
        self._latest: RowReader | None = None
        self._later: Mapping[str, str] = {}
        self._partial: dict[int, Relation] = {}

    # --- what the table is like now -----------------------------------------------------------------------------

    def tell_columns(self, types: Mapping[str, str]) -> None:
        """The columns that the table has now, with portable types: records that lack one are from before it.

        Shapes that were read by an older word are forgotten."""
        self._later = types
        self._partial.clear()
        self._json = Remembered(self._json_envelopes)
        self._avro.clear()
        self._shapes.clear()

    def is_partial(self, relation: Relation) -> bool:
        """Whether rows of this shape lack columns, by the last `tell_columns`."""
        return id(relation) in self._partial

    # --- values -------------------------------------------------------------------------------------------------

    def json_event(self, data: bytes) -> Event:
        """Raises Unreadable and SchemaDrift."""
        found = self._json.find(data)
        if found is None:
            return self._plain_event(data)
        envelopes, payload = found
        try:
            event: Event = envelopes.event(payload, data)
        except Unreadable:
            again = self._json.whole(data)  # what follows a known schema was no single value: the whole decides
            if again is None:
                raise Unreadable("it is not valid JSON") from None
            event = again[0].event(again[1], data)
        self._latest = event.shape
        return event

    def avro_event(self, number: int, avro: Avro, data: bytes, start: int) -> Event:
        """Raises Unreadable and SchemaDrift."""
        value = avro.read(data, start)
        made = self._avro.get(number)
        if made is None:
            made = self._avro[number] = self._shape(_row_schema(avro.schema))
        self._latest = made
        return self._event(made, value)

    def _json_envelopes(self, schema: Schema) -> Envelopes:
        row = _row_schema(schema)
        made = self._shape(row)
        fields = {name: row.fields.get(name, _ABSENT) for name in made.relation.columns}
        declared = any(PARAMETER in each.parameters for each in fields.values())
        return Envelopes(made, fields, None if declared else self._needle)

    def _shape(self, row: Schema) -> RowReader:
        made = shape(self.wanted, row, self._placeholder, self._relations, self._types, self._later)
        return self._remember(made, row.fields)

    def _remember(self, made: RowReader, present: Container[str]) -> RowReader:
        if any(name not in present for name in made.relation.columns):
            self._partial[id(made.relation)] = made.relation
            return made
        self._relations[made.relation.columns, made.relation.types] = made.relation
        return made

    def _event(self, made: RowReader, value: Any) -> Event:
        """An event from plain objects."""
        if not isinstance(value, dict) or "op" not in value:
            raise Unreadable(_NO_ENVELOPE)
        try:
            source = msgspec.convert(value.get("source") or {}, Source)
            op = msgspec.convert(value["op"], str)
        except msgspec.ValidationError as error:
            raise Unreadable(f"its envelope is not Debezium's: {error}") from None
        names = made.relation.columns
        before, after = value.get("before"), value.get("after")
        return Event(made, op, _picked(after, names), lambda: _picked(before, names), source)

    def _plain_event(self, data: bytes) -> Event:
        value = json_format.anything(data)
        if not isinstance(value, dict) or "op" not in value:
            raise Unreadable(_NO_ENVELOPE)
        row = value.get("after") or value.get("before")
        if isinstance(row, dict):
            made = self._plain_shape(row)
        else:
            made = self._latest or self._plain_shape(dict.fromkeys(sorted(self.wanted.columns)))
        self._latest = made
        return self._event(made, value)

    def _plain_shape(self, row: Mapping[str, Any]) -> RowReader:
        names = tuple(name for name in row if name in self.wanted.columns)
        made = self._shapes.get(names)
        if made is None:
            absent = tuple(sorted(self.wanted.columns & self._later.keys() - row.keys()))
            check_columns(self.wanted, {**row, **dict.fromkeys(absent)})
            columns = [plain.column(self._types.get(name, "text")) for name in (*names, *absent)]
            relation = self.wanted.relation((*names, *absent), tuple(each.type for each in columns))
            unknown = self._placeholder.plain()
            made = self._shapes[names] = RowReader(relation, self.wanted.key, columns, [unknown] * len(columns))
            self._remember(made, row)
        return made

    # --- keys ---------------------------------------------------------------------------------------------------

    def json_key(self, data: bytes) -> tuple[str, ...]:
        """The stream's key of a record's key (or of a header that holds one). Raises Unreadable and SchemaDrift."""
        found = self._json_keys.find(data)
        if found is not None:
            rows, payload = found
            return self._key_texts(rows.shape, rows.row(payload))
        value = json_format.anything(data)
        if not isinstance(value, dict):
            raise Unreadable("its key is not a JSON object")
        check_key(self.wanted, self.topic, list(value))
        return self._key_texts(self._bare_key_shape(), [value[name] for name in self.wanted.key])

    def avro_key(self, number: int, avro: Avro, data: bytes, start: int) -> tuple[str, ...]:
        """The same of an Avro key."""
        value = avro.read(data, start)
        made = self._avro_keys.get(number)
        if made is None:
            made = self._avro_keys[number] = self._key_shape(avro.schema)
        return self._key_texts(made, _picked(value, self.wanted.key) or [])

    def knows_json_key(self, data: bytes) -> bool:
        """Whether a key has the schema of the last one, which was the stream's."""
        return self._json_keys.begins(data)

    def knows_avro_key(self, number: int) -> bool:
        return number in self._avro_keys

    def _json_key(self, schema: Schema) -> BareRows:
        made = self._key_shape(schema)
        return BareRows(made, {name: schema.fields[name] for name in self.wanted.key})

    def _key_shape(self, schema: Schema) -> RowReader:
        check_key(self.wanted, self.topic, list(schema.fields))
        key = self.wanted.key
        ordered = Schema("struct", fields={name: schema.fields[name] for name in key})
        return shape(Wanted(self.wanted.stream, key, frozenset(key)), ordered, self._placeholder, {}, self._types)

    def _bare_key_shape(self) -> RowReader:
        """A key without a schema is read as the same columns of the rows are."""
        latest = self._latest
        key = self.wanted.key
        if latest is not None:
            return latest.part(key)
        columns = [plain.column(self._types.get(name, "text")) for name in key]
        relation = Relation(self.wanted.stream, key, tuple(each.type for each in columns))
        return RowReader(relation, key, columns, [()] * len(key))

    def _key_texts(self, made: RowReader, row: list[Any]) -> tuple[str, ...]:
        values = made.values(row)
        if not all(isinstance(value, str) for value in values):
            raise Unreadable("a column of its key has no value")
        storable.check_key(values)  # type: ignore[arg-type]
        return values  # type: ignore[return-value]


def _row_schema(schema: Schema) -> Schema:
    fields = schema.fields
    row = fields.get("after") or fields.get("before")
    if row is None or "op" not in fields or row.type != "struct":
        raise Unreadable(_NO_ENVELOPE)
    return row


def _picked(row: Any, names: Sequence[str]) -> list[Any] | None:
    if row is None:
        return None
    if not isinstance(row, dict):
        raise Unreadable("a row in it is not an object")
    return [row.get(name, UNKNOWN) for name in names]
