"""The small shapes that the models of every file are made of: names, texts, columns, lengths of time."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
)

from rules.values import FieldType, parse_type

_DURATION = re.compile(r"(\d{1,6})\s*(ms|s|m|h|d)$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ONE_OR_LIST = WithJsonSchema(
    {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
)


def _one_or_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if not match:
        raise ValueError("a length of time is a number and its unit: 500ms, 30s, 5m, 2h or 1d")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _type(value: object) -> FieldType:
    if isinstance(value, FieldType):
        return value
    if not isinstance(value, str):
        raise ValueError("a type is text, as text, integer, decimal(14,2), date or ref(customer)")
    return parse_type(value)


def _constant(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int):
        raise ValueError("a constant is text, a number, true or false")
    return str(value)


def _no_nul(value: str) -> str:
    if "\0" in value or len(value.encode()) > 63:
        raise ValueError("a column's name has at most 63 bytes")
    return value


def _given(value: object) -> object:
    if value is None:
        raise ValueError("has no value")
    return value


GIVEN = BeforeValidator(_given)
"""A key may be left out, but not left empty: `owner:` with nothing after it is a slip, not a choice."""

Name = Annotated[StrictStr, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Text = Annotated[StrictStr, StringConstraints(min_length=1, max_length=4000)]
Column = Annotated[StrictStr, StringConstraints(min_length=1), AfterValidator(_no_nul)]
Columns = Annotated[
    tuple[Column, ...],
    BeforeValidator(_one_or_list),
    Field(min_length=1),
    _ONE_OR_LIST,
]
Names = Annotated[tuple[Name, ...], Field(min_length=1)]
Duration = Annotated[
    timedelta, PlainValidator(_duration), WithJsonSchema({"type": "string", "pattern": _DURATION.pattern})
]
Type = Annotated[
    FieldType,
    PlainValidator(_type),
    WithJsonSchema({"type": "string", "examples": ["text", "decimal(14,2)", "code(payment_terms)", "ref(customer)"]}),
]
Constant = Annotated[
    str, PlainValidator(_constant), WithJsonSchema({"type": ["string", "integer", "boolean", "number"]})
]
FieldNames = Annotated[
    tuple[Name, ...],
    BeforeValidator(_one_or_list),
    Field(min_length=1),
    _ONE_OR_LIST,
]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
