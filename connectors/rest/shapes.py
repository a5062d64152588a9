"""The small shapes that a vendor's file is made of: paths, places, conditions, rates, parts of requests."""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StrictInt,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
)

from fieldwarden.connectors.rest.paths import Condition, Path, Place, condition, path, place


class Rate(NamedTuple):
    """So many requests in so many seconds."""

    requests: int
    seconds: float


_RATE = re.compile(r"(\d{1,6})\s*/\s*(\d{1,5})?\s*(s|m|h|d)").fullmatch
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _rate(value: object) -> Rate:
    if isinstance(value, Rate):
        return value
    match = _RATE(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0 or match[2] == "0":
        raise ValueError("a rate is a number of requests and a time, as 25/s, 500/60s or 10000/d")
    return Rate(int(match[1]), int(match[2] or 1) * _SECONDS[match[3]])


def _path(value: object) -> Path:
    return value if isinstance(value, Path) else path(_words(value))


def _place(value: object) -> Place:
    return value if isinstance(value, Place) else place(_words(value))


def _condition(value: object) -> Condition:
    return value if isinstance(value, Condition) else condition(_words(value))


def _words(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be text")
    return value


def one_or_list(value: object) -> object:
    """A list may be left out around one thing."""
    return value if isinstance(value, list | tuple) else (value,)


def _below(value: str) -> str:
    if not value.startswith("/") or value.startswith("//"):
        raise ValueError("a path begins with one /, and is below the vendor's address")
    return value


def _token_path(value: str) -> str:
    if not value.startswith(("/", "https://")) or value.startswith("//"):
        raise ValueError("tokens are given at a path that begins with /, or at an https address")
    return value


def _pattern(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if groups == 0:
        raise ValueError("must have a group for each part of the key, as \\('(.+)'\\)")
    return value


_TEXT: dict[str, Any] = {"type": "string"}
JsonPath = Annotated[Path, PlainValidator(_path), WithJsonSchema({**_TEXT, "examples": ["$.data[*]"]})]
RecordPlace = Annotated[Place, PlainValidator(_place), WithJsonSchema({**_TEXT, "examples": ["MetaData.CreateTime"]})]
Holds = Annotated[
    Condition, PlainValidator(_condition), WithJsonSchema({**_TEXT, "examples": ["@.status == 'Deleted'"]})
]
Pace = Annotated[Rate, PlainValidator(_rate), WithJsonSchema({**_TEXT, "pattern": _RATE.__self__.pattern})]
Statuses = Annotated[tuple[StrictInt, ...], BeforeValidator(one_or_list), Field(min_length=1)]
Template = Annotated[StrictStr, StringConstraints(max_length=4000)]
Whole = Annotated[StrictInt, Field(ge=1)]
Below = Annotated[StrictStr, StringConstraints(max_length=2000), AfterValidator(_below)]
KeyPattern = Annotated[StrictStr, AfterValidator(_pattern)]
TokenPath = Annotated[StrictStr, StringConstraints(max_length=2000), AfterValidator(_token_path)]
