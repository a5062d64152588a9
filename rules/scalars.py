"""PostgreSQL's scalar values in Python: how they are read from text, written to text, cast and computed with.

    boolean bool | int4, int8 int | numeric Decimal, whose exponent is minus PostgreSQL's display scale
    date date | timestamp datetime without zone | timestamptz datetime in UTC | text, uuid, float, json, other str

Each function is exact or refuses: dates outside 0001-9999, infinities and NaN raise ValueRefused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fieldwarden.rules.errors import ValueRefused
from fieldwarden.rules.numerics import MAX_DIGITS, fitting, rounded
from fieldwarden.rules.numerics import read as read_number

_WHOLE = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?\s*", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?))?", re.ASCII)
_ZONED = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?) ?(Z|[+-]\d\d(?::?\d\d(?::\d\d)?)?)", re.ASCII
)
_SPACE = " \t\n\r\f\v"


# --- from text -----------------------------------------------------------------------------------------------


def _integer(kind: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text) or len(text) > 100:
            raise ValueRefused("an expression reads a text as an integer that is none")
        return fitting(kind, int(text))

    return read


def _numeric(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text) or len(text) > MAX_DIGITS:
        raise ValueRefused("an expression reads a text as a number that is none (or not a finite one)")
    return read_number(text.strip(_SPACE))


def _boolean(text: str) -> bool:
    word = text.strip(_SPACE).lower()
    if word:
        for value, full, least in _BOOLEANS:
            if len(word) >= least and full.startswith(word):
                return value
    raise ValueRefused("an expression reads a text as a boolean that is none")


_BOOLEANS = (
    (True, "true", 1),
    (False, "false", 1),
    (True, "yes", 1),
    (False, "no", 1),
    (True, "on", 2),
    (False, "off", 2),
    (True, "1", 1),
    (False, "0", 1),
)


def _date(text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueRefused("an expression reads a text as a date that is not a valid YYYY-MM-DD")


def _timestamp(text: str) -> datetime:
    match = _TIMESTAMP.fullmatch(text)
    try:
        if match:
            return datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00'}")
    except ValueError:
        pass
    raise ValueRefused("an expression reads a text as a timestamp that is not a valid YYYY-MM-DD HH:MM:SS")


def _timestamptz(text: str) -> datetime:
    match = _ZONED.fullmatch(text)
    try:
        if match:
            return datetime.fromisoformat(f"{match[1]}T{match[2]}{match[3]}").astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueRefused("an expression reads a text as a timestamp with time zone that is not valid or has no zone")


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueRefused("an expression reads a text as a UUID that is none") from None


READ: Mapping[str, Callable[[str], Any]] = {
    "int4": _integer("int4"),
    "int8": _integer("int8"),
    "numeric": _numeric,
    "boolean": _boolean,
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "uuid": _uuid,
}
"""How each type's text is read; types that are not here are their text."""


# --- to text -------------------------------------------------------------------------------------------------


def _timestamp_text(moment: datetime) -> str:
    text = moment.isoformat(" ")
    return text.rstrip("0") if moment.microsecond else text


WRITE: Mapping[str, Callable[[Any], str]] = {
    "int4": str,
    "int8": str,
    "numeric": lambda number: format(number, "f"),
    "boolean": lambda truth: "true" if truth else "false",
    "date": date.isoformat,
    "timestamp": _timestamp_text,
    "timestamptz": lambda moment: _timestamp_text(moment.replace(tzinfo=None)) + "+00",
}
"""How a value is written, as PostgreSQL's cast to text does (timestamptz: in UTC)."""


# --- casts ---------------------------------------------------------------------------------------------------


def _to_integer(kind: str) -> Callable[[Decimal], int]:
    return lambda number: fitting(kind, int(rounded(number, 0)))


def _widened(moment: date) -> datetime:
    return datetime(moment.year, moment.month, moment.day)


IMPLICIT: Mapping[tuple[str, str], Callable[[Any], Any]] = {
    ("int4", "int8"): int,
    ("int4", "numeric"): Decimal,
    ("int8", "numeric"): Decimal,
    ("date", "timestamp"): _widened,
}
EXPLICIT: Mapping[tuple[str, str], Callable[[Any], Any]] = {
    **IMPLICIT,
    **{("text", kind): read for kind, read in READ.items() if kind != "uuid"},
    **{(kind, "text"): write for kind, write in WRITE.items() if kind != "timestamptz"},
    ("uuid", "text"): str,
    ("float", "text"): str,
    ("int8", "int4"): lambda number: fitting("int4", number),
    ("numeric", "int4"): _to_integer("int4"),
    ("numeric", "int8"): _to_integer("int8"),
    ("boolean", "int4"): int,
    ("timestamp", "date"): datetime.date,
}
