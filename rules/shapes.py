"""The small shapes that the models of every file are made of: names, texts, columns, lengths of time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

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

from fieldwarden.rules.normalising import FORMS
from fieldwarden.rules.validating import Check, checks_of
from fieldwarden.rules.values import FieldType, parse_type
from fieldwarden.rules.zones import zone

_DURATION = re.compile(r"(\d{1,6})\s*(ms|s|m|h|d)$")
_SHARE = re.compile(r"\d(\.\d{1,9})?")
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


def _share(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    plain = isinstance(value, str | int) and not isinstance(value, bool) and _SHARE.fullmatch(str(value))
    if not plain or Decimal(str(value)) > 1:
        raise ValueError("a share is a number from 0 to 1, as 0.2 (a fifth)")
    return Decimal(str(value))


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


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int) or value == "":
        raise ValueError("what is set is now(), a number, true or false, or an expression ('text' in quotes)")
    return str(value)


def _unquoted(name: str) -> str:
    """A column may be named as SQL quotes it, as an expression must: `"Net amount"` is the column Net amount."""
    inner = name[1:-1]
    quoted = len(name) > 2 and name[0] == name[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted else name


def _no_nul(value: str) -> str:
    if "\0" in value or len(value.encode()) > 63:
        raise ValueError("a column's name has at most 63 bytes")
    return value


def _zone(value: str) -> str:
    zone(value)
    return value


def _given(value: object) -> object:
    if value is None:
        raise ValueError("has no value")
    return value


class MatchPart(NamedTuple):
    """One field of a match key, the normaliser that is named for it, and where in the key it stands."""

    field: str
    form: str | None
    path: tuple[str | int, ...]


def _match_parts(value: object) -> tuple[MatchPart, ...]:
    """`email`, `{email: case}`, or a list of such: several fields are one key."""
    if isinstance(value, tuple):
        return value
    items: list[tuple[tuple[str | int, ...], object]] = [((), value)]
    if isinstance(value, list):
        items = [((index,), item) for index, item in enumerate(value)]
    parts = [part for path, item in items for part in _of_match_item(path, item)]
    if not parts or len({part.field for part in parts}) < len(parts):
        raise ValueError(_MATCH_WORDS)
    return tuple(parts)


def _of_match_item(path: tuple[str | int, ...], item: object) -> list[MatchPart]:
    if isinstance(item, str):
        return [MatchPart(item, None, path)]
    if isinstance(item, Mapping) and all(isinstance(form, str) for form in item.values()):
        return [MatchPart(name, form, (*path, name)) for name, form in item.items()]
    raise ValueError(_MATCH_WORDS)


_CHECK: dict[str, Any] = {
    "oneOf": [
        {"enum": ["email", "iban"]},
        {
            "type": "object",
            "properties": {
                "tax_id": {"type": "string", "description": "A country, as DE."},
                "length": {"type": "integer", "description": "Characters at most."},
                "pattern": {"type": "string", "description": "A regular expression that the whole value fits."},
            },
            "additionalProperties": False,
            "minProperties": 1,
        },
    ]
}
_CHECK_SCHEMA: dict[str, Any] = {"oneOf": [*_CHECK["oneOf"], {"type": "array", "items": _CHECK, "minItems": 1}]}
_MATCH_WORDS = "a match key is a field, a field with its normaliser as {tax_id: digits}, or a list of different such"
_MATCH_PART: dict[str, Any] = {
    "oneOf": [
        {"type": "string"},
        {"type": "object", "additionalProperties": {"type": "string", "examples": list(FORMS)}, "minProperties": 1},
    ]
}
_MATCH_SCHEMA: dict[str, Any] = {
    "oneOf": [*_MATCH_PART["oneOf"], {"type": "array", "items": _MATCH_PART, "minItems": 1}]
}

GIVEN = BeforeValidator(_given)
"""A key may be left out, but not left empty: `owner:` with nothing after it is a slip, not a choice."""

Name = Annotated[StrictStr, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Text = Annotated[StrictStr, StringConstraints(min_length=1, max_length=4000)]
Column = Annotated[StrictStr, StringConstraints(min_length=1), AfterValidator(_no_nul), AfterValidator(_unquoted)]
Zone = Annotated[StrictStr, AfterValidator(_zone)]
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
Share = Annotated[Decimal, PlainValidator(_share), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
Type = Annotated[
    FieldType,
    PlainValidator(_type),
    WithJsonSchema({"type": "string", "examples": ["text", "decimal(14,2)", "code(payment_terms)", "ref(customer)"]}),
]
Constant = Annotated[
    str, PlainValidator(_constant), WithJsonSchema({"type": ["string", "integer", "boolean", "number"]})
]
Checks = Annotated[tuple[Check, ...], PlainValidator(checks_of), WithJsonSchema(_CHECK_SCHEMA)]
Setting = Annotated[str, PlainValidator(_setting), WithJsonSchema({"type": ["string", "integer", "boolean", "number"]})]
MatchParts = Annotated[tuple[MatchPart, ...], PlainValidator(_match_parts), WithJsonSchema(_MATCH_SCHEMA)]


class Strict(BaseModel):
    """Whatever a file holds may be a secret that somebody wrote there in the open: no error shows what was given."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)
