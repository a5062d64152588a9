"""From a column's Connect schema to its portable type, and to the function that writes its values as text.

The text is what PostgreSQL itself writes (and the direct connector hands on), so that a row is the same row whichever
way it was read. Compiled once per schema; a converter sees neither null nor an absent value. What cannot be written
exactly is refused when the schema is met, not value by value.

Facts: Debezium's connector reference for PostgreSQL and MySQL, "Data type mappings".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from fieldwarden.connectors.debezium.decoding import numbers, times
from fieldwarden.connectors.debezium.decoding.numbers import MOST_DECIMALS, as_bytes
from fieldwarden.connectors.debezium.decoding.schemas import Schema
from fieldwarden.connectors.wire.unreadable import Unreadable

Text = Callable[[Any], str]

_TIME = "io.debezium.time."
_CONNECT = "org.apache.kafka.connect.data."
_DATA = "io.debezium.data."
_NUMERIC = ("NUMERIC", "DECIMAL", "MONEY")
_NOT_TEXT = ("INET", "CIDR", "MACADDR", "MACADDR8", "XML", "LTREE", "TSVECTOR", "TSQUERY", "HSTORE")
_is_number = re.compile(r"-?[0-9]{1,9}").fullmatch
_PLAIN_ELEMENT = re.compile(r'[^\s{}",\\]+').fullmatch
_MOST_BITS = 83_886_080
"""PostgreSQL's bit(n) has no more ("Bit String Types")."""
_PADDING = 1 << 16
"""Zeros that may be added to what bits came as: Debezium sends all of them."""
_LONGEST_PADDED = 1 << 22
"""Characters of an array whose elements may be longer as text than as they came, by the zeros of their scale."""


@dataclass(frozen=True, slots=True)
class Column:
    """`text` is None where a value is its own text."""

    type: str
    text: Text | None


class NoText(Exception):
    """No exact text exists for values of this schema; the message says what to set instead."""


def column(schema: Schema, declared: str = "") -> Column:
    """`declared`: the portable type, as far as it is known from elsewhere; it only matters for decimals that travel as
    text of which the schema does not say so. Raises NoText; Unreadable for a schema that no converter writes."""
    if declared == "numeric" and schema.type == "string" and not (schema.name or schema.source_type):
        return Column("numeric", numbers.decimal_text)
    named = _NAMED.get(schema.name)
    if named is not None:
        return _refined(named, schema)
    if schema.name in _MADE:
        return _MADE[schema.name](schema)
    if schema.type in _INTEGERS:
        return _integer(schema)
    if schema.type in _PLAIN:
        return _PLAIN[schema.type](schema)
    raise NoText(f"{schema.name or schema.type} has no text of its own; leave the column out of the mapping")


def _refined(named: Column, schema: Schema) -> Column:
    """A named schema says all, except that an hstore may travel as JSON."""
    if schema.name == f"{_DATA}Json" and schema.source_type == "HSTORE":
        return Column("other", lambda value: _hstore(msgspec.json.decode(value)))
    return named


# --- plain schemas, where the column's own type (if it is told) says more ---------------------------------------


def _integer(schema: Schema) -> Column:
    if schema.source_type == "OID":
        return Column("other", str)
    if schema.source_type.endswith("UNSIGNED") and schema.type == "int64":
        return Column("integer", lambda value: str(value if value >= 0 else value + (1 << 64)))
    return Column("integer", str)


def _boolean(schema: Schema) -> Column:
    if schema.source_type in ("BIT", "VARBIT"):
        return Column("other", lambda value: "1" if value else "0")
    return Column("boolean", lambda value: "t" if value else "f")


def _string(schema: Schema) -> Column:
    kind = schema.source_type
    if kind.startswith(_NUMERIC):
        return Column("numeric", numbers.decimal_text)
    if kind == "BPCHAR":
        return Column("text", lambda value: value.rstrip(" "))
    if kind == "BYTEA":
        raise NoText("bytes written as text are ambiguous; set binary.handling.mode=bytes")
    return Column("other" if kind in _NOT_TEXT or kind.endswith("RANGE") else "text", None)


def _bytes(schema: Schema) -> Column:
    if schema.source_type.startswith(_NUMERIC):
        raise NoText("a decimal came as bytes without a scale; set decimal.handling.mode=string")
    return Column("other", lambda value: f"\\x{as_bytes(value).hex()}")


def _array(schema: Schema) -> Column:
    assert schema.items is not None
    element = schema.items
    if schema.source_type.startswith("_") and schema.source_type != "_BPCHAR":  # padding stays inside an array
        parameters = {**element.parameters, **_element_type(schema)}
        element = Schema(element.type, element.name, parameters, None, element.fields, element.items)
    made = column(element)
    if made.text is not None and (made.type == "numeric" or element.name in _MADE):
        return Column("other", partial(_padded_array_text, made.text))
    return Column("other", partial(_array_text, made.text))


def _element_type(schema: Schema) -> dict[str, str]:
    return {name: value.removeprefix("_") for name, value in schema.parameters.items() if name.endswith("column.type")}


def _array_text(element: Text | None, values: list[Any]) -> str:
    """PostgreSQL's `array_out`."""
    texts = (None if value is None else value if element is None else element(value) for value in values)
    return "{" + ",".join("NULL" if text is None else _quoted_element(text) for text in texts) + "}"


def _padded_array_text(element: Text, values: list[Any]) -> str:
    """The same of numbers, each of which may be a few bytes and thousands of zeros. Raises ValueError."""
    texts, length = list[str](), 0
    for value in values:
        texts.append("NULL" if value is None else _quoted_element(element(value)))
        length += len(texts[-1])
        if length > _LONGEST_PADDED:
            raise ValueError("an array of more digits than anybody writes")
    return "{" + ",".join(texts) + "}"


def _quoted_element(text: str) -> str:
    if _PLAIN_ELEMENT(text) is not None and text.upper() != "NULL":
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _map(_: Schema) -> Column:
    return Column("other", _hstore)


def _hstore(value: Mapping[str, str | None]) -> str:
    """PostgreSQL's `hstore_out`, whose keys are ordered by length first."""
    pairs = sorted(value.items(), key=lambda pair: (len(pair[0].encode()), pair[0].encode()))
    return ", ".join(f"{_quoted(key)}=>{'NULL' if text is None else _quoted(text)}" for key, text in pairs)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _double(schema: Schema) -> Column:
    if schema.source_type.startswith(_NUMERIC):
        raise NoText("a decimal came as binary floating point; set decimal.handling.mode=string")
    return Column("float", numbers.float_text)


_INTEGERS = ("int8", "int16", "int32", "int64")
_PLAIN: Mapping[str, Callable[[Schema], Column]] = {
    "boolean": _boolean,
    "string": _string,
    "float32": lambda _: Column("float", numbers.float32_text),
    "float64": _double,
    "bytes": _bytes,
    "array": _array,
    "map": _map,
}

# --- schemas with a logical name --------------------------------------------------------------------------------


def _decimal(schema: Schema) -> Column:
    scale = _number(schema, "scale")
    if scale is None:
        raise NoText("a decimal's schema does not say its scale; set decimal.handling.mode=string")
    if abs(scale) > MOST_DECIMALS:
        raise Unreadable("its schema has a decimal with a scale beyond any that PostgreSQL knows")

    def text(value: Any) -> str:  # `json.decimal.format=NUMERIC` writes the number itself
        return (
            numbers.plain(str(value))
            if isinstance(value, int | float | Decimal)
            else numbers.unscaled(as_bytes(value), scale)
        )

    return Column("numeric", text)


def _number(schema: Schema, parameter: str) -> int | None:
    """A parameter without which the schema's values mean nothing. None if it is not there: a converter or a transform
    has dropped it, and a default in its place would be a guess (7.90 read as 790). Raises Unreadable for what is no
    number: that is nobody's setting, and this record's trouble alone."""
    if (text := schema.parameters.get(parameter)) is None:
        return None
    if not _is_number(str(text)):
        raise Unreadable(f"its schema has a {schema.name.rpartition('.')[2]} whose {parameter} is no number")
    return int(text)


def _bits(schema: Schema) -> Column:
    if schema.source_type == "VARBIT":
        raise NoText("bits of varying length lose their leading zeros; leave the column out of the mapping")
    length = _number(schema, "length")
    if length is None:
        raise NoText("bits whose schema does not say their number lose their leading zeros; leave the column out")

    if not 0 <= length <= _MOST_BITS:
        raise Unreadable("its schema has more bits than any PostgreSQL knows")

    def text(value: Any) -> str:
        data = as_bytes(value)
        if 8 * len(data) + _PADDING < length:
            raise ValueError("fewer bits than its schema says")
        return format(int.from_bytes(data, "little"), "b").rjust(length, "0")

    return Column("other", text)


def _point(value: Mapping[str, Any]) -> str:
    return f"({numbers.float_text(value['x'])},{numbers.float_text(value['y'])})"


def _no_duration(_: Schema) -> Column:
    raise NoText("an interval as a number has lost its months; set interval.handling.mode=string")


_NAMED: Mapping[str, Column] = {
    f"{_TIME}Date": Column("date", times.date_of_days),
    f"{_CONNECT}Date": Column("date", times.date_of_days),
    f"{_TIME}IsoDate": Column("date", times.date_of_iso),
    f"{_TIME}Timestamp": Column("timestamp", times.timestamp_of_millis),
    f"{_CONNECT}Timestamp": Column("timestamp", times.timestamp_of_millis),
    f"{_TIME}MicroTimestamp": Column("timestamp", times.timestamp_of_micros),
    f"{_TIME}NanoTimestamp": Column("timestamp", times.timestamp_of_nanos),
    f"{_TIME}IsoTimestamp": Column("timestamp", times.timestamp_of_iso),
    f"{_TIME}ZonedTimestamp": Column("timestamptz", times.zoned_of_iso),
    f"{_TIME}Time": Column("other", times.time_of_millis),
    f"{_CONNECT}Time": Column("other", times.time_of_millis),
    f"{_TIME}MicroTime": Column("other", times.time_of_micros),
    f"{_TIME}NanoTime": Column("other", times.time_of_nanos),
    f"{_TIME}IsoTime": Column("other", times.time_of_iso),
    f"{_TIME}ZonedTime": Column("other", times.zoned_time_of_iso),
    f"{_TIME}Interval": Column("other", times.interval_of_iso),
    f"{_TIME}Year": Column("integer", str),
    f"{_DATA}VariableScaleDecimal": Column("numeric", numbers.variable_scale),
    f"{_DATA}Json": Column("json", None),
    f"{_DATA}Uuid": Column("uuid", None),
    f"{_DATA}Enum": Column("text", None),
    f"{_DATA}EnumSet": Column("text", None),
    f"{_DATA}Xml": Column("other", None),
    f"{_DATA}Ltree": Column("other", None),
    f"{_DATA}TsVector": Column("other", None),
    f"{_DATA}geometry.Point": Column("other", _point),
}
_MADE: Mapping[str, Callable[[Schema], Column]] = {
    f"{_CONNECT}Decimal": _decimal,
    f"{_DATA}Bits": _bits,
    f"{_TIME}MicroDuration": _no_duration,
    f"{_TIME}NanoDuration": _no_duration,
}
