"""Values of JSON without a schema, read by what is known of the columns from elsewhere.

A number that stands for a date or a time does not say its unit, and base64 does not say its scale. Such a value is
refused, never guessed at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fieldwarden.connectors.debezium.decoding import numbers, times
from fieldwarden.connectors.debezium.decoding.columns import Column
from fieldwarden.connectors.debezium.decoding.schemas import NeedsSchema
from fieldwarden.rules.rulebook import Entity, System

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
_PORTABLE = {"decimal": "numeric", "code": "text", "ref": "text"}


def field_types(system: System, entities: Mapping[str, Entity]) -> dict[str, dict[str, str]]:
    """Stream -> column -> portable type, as far as the mapping itself says it: by the fields that columns carry."""
    found: dict[str, dict[str, str]] = {}
    for stream in system.streams.values():
        fields = entities[stream.entity].fields if stream.entity in entities else {}
        found[stream.name] = {
            mapped.column: _PORTABLE.get(kind := fields[mapped.field].type.kind, kind)
            for mapped in stream.fields.values()
            if mapped.column is not None and mapped.read is None and mapped.field in fields
        }
    return found


def column(portable: str) -> Column:
    """How a column of a portable type (`rules.expressions.COLUMN_TYPES`) is read where there is no schema."""
    return Column(portable, {"date": _date, "numeric": _numeric, "boolean": _boolean, **_TIMES}.get(portable, _text))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal | float):
        return numbers.float_text(float(value))
    if isinstance(value, dict) and value.keys() == {"scale", "value"}:
        return numbers.variable_scale(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=float)


def _numeric(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return numbers.variable_scale(value)
    if isinstance(value, Decimal | float):
        raise NeedsSchema("a decimal came as binary floating point; set decimal.handling.mode=string")
    try:
        return numbers.plain(value)
    except (ValueError, TypeError):
        if isinstance(value, str) and _BASE64(value):
            raise NeedsSchema(
                "a decimal without its scale; set decimal.handling.mode=string, or schemas.enable=true"
            ) from None
        raise


def _boolean(value: Any) -> str:
    if isinstance(value, int) and value in (0, 1):  # True and False among them
        return "t" if value else "f"
    raise ValueError("not a boolean")


def _date(value: Any) -> str:
    return times.date_of_iso(_iso(value, "date"))


def _iso(value: Any, kind: str) -> str:
    if isinstance(value, int):
        raise NeedsSchema(
            f"a {kind} came as a number without its unit; set schemas.enable=true, or time.precision.mode=isostring"
        )
    if not isinstance(value, str):
        raise ValueError(f"not a {kind}")
    return value


_TIMES = {
    "timestamp": lambda value: times.timestamp_of_iso(_iso(value, "timestamp")),
    "timestamptz": lambda value: times.zoned_of_iso(_iso(value, "timestamp")),
}
