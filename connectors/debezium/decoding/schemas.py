"""Kafka Connect's schemas in one form, whichever way a record carries them.

`from_connect` reads the schema that JsonConverter writes beside a payload; `from_avro` reads what the Avro converters
(Confluent's and Apicurio's alike) keep of it in `connect.*` properties. Facts: Kafka's `JsonConverter.asConnectSchema`,
Confluent's `AvroData`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldwarden.connectors.wire.unreadable import MOST_DEEP, Unreadable

SOURCE_TYPE = "__debezium.source.column.type"
"""The parameter that says a column's own type, if the connector has `column.propagate.source.type`."""

_JSON_TYPES = {"float": "float32", "double": "float64"}
_AVRO_TYPES = {
    "int": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "boolean": "boolean",
    "string": "string",
    "bytes": "bytes",
    "fixed": "bytes",
    "enum": "string",
    "array": "array",
    "map": "map",
    "record": "struct",
}


class NeedsSchema(ValueError):
    """A value cannot be understood without its schema; the message says what to set."""


@dataclass(frozen=True, slots=True)
class Schema:
    """`type` is int8 ... int64, float32, float64, boolean, string, bytes, array, map or struct; `name` the logical
    type, or empty."""

    type: str
    name: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    default: Any = None
    fields: Mapping[str, Schema] = field(default_factory=dict)
    items: Schema | None = None

    @property
    def source_type(self) -> str:
        return str(self.parameters.get(SOURCE_TYPE, "")).upper()


def from_connect(schema: Any, room: int = MOST_DEEP) -> Schema:
    """`room`: how much deeper it may go. Raises Unreadable."""
    if not room:
        raise Unreadable("its schema is nested too deeply")
    try:
        kind = str(schema["type"])
        return Schema(
            _JSON_TYPES.get(kind, kind),
            str(schema.get("name") or ""),
            dict(schema.get("parameters") or {}),
            schema.get("default"),
            {str(each["field"]): from_connect(each, room - 1) for each in schema.get("fields") or ()},
            from_connect(schema["items"], room - 1) if kind == "array" else None,
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Unreadable("its schema is not one that Kafka Connect's JsonConverter writes") from None


def from_avro(schema: Any) -> Schema:
    """Of a parsed Avro schema (JSON) that `avro_bounds` has let pass. Raises Unreadable."""
    try:
        return _of_avro(schema, {}, "")
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Unreadable("its Avro schema is not one that a Kafka Connect converter writes") from None


def _of_avro(schema: Any, named: dict[str, Schema], space: str) -> Schema:
    if isinstance(schema, list):
        (branch,) = (each for each in schema if each != "null")
        return _of_avro(branch, named, space)
    if isinstance(schema, str):
        known = named.get(schema) or named.get(f"{space}.{schema}")
        return known or Schema(_AVRO_TYPES[schema])
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return _of_avro(kind, named, space)
    space = schema.get("namespace", space)
    made = Schema(
        schema.get("connect.type") or _AVRO_TYPES[kind],
        str(schema.get("connect.name") or ""),
        _parameters(schema),
        schema.get("connect.default"),
        {str(each["name"]): _of_avro(each["type"], named, space) for each in schema.get("fields", ())},
        _of_avro(schema["items"], named, space) if kind == "array" else None,
    )
    if "name" in schema:
        named[f"{space}.{schema['name']}" if space else schema["name"]] = made
    return made


def _parameters(schema: Mapping[str, Any]) -> dict[str, str]:
    """A decimal's scale is a property of Avro's own logical type, whoever wrote it."""
    found = {name: str(value) for name, value in (schema.get("connect.parameters") or {}).items()}
    if "scale" in schema:
        found.setdefault("scale", str(schema["scale"]))
    return found
