"""PostgreSQL's scalar values in Python: how they are read from text, written to text, cast and computed with.

    boolean bool | int4, int8 int | numeric Decimal, whose exponent is minus PostgreSQL's display scale
    date date | timestamp datetime without zone | timestamptz datetime in UTC | text, uuid, float, json, other str

Each function is exact or refuses: dates outside 0001-9999, infinities and NaN raise ValueRefused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Any, Final
from uuid import UUID

from rules.errors import ValueRefused

MAX_DIGITS = 2_000
MAX_TEXT = 16_000_000

_EXACT: Final = Context(prec=2 * MAX_DIGITS, traps=[InvalidOperation, Inexact, Overflow])
_ROUNDED: Final = Context(prec=2 * MAX_DIGITS, rounding=ROUND_HALF_UP, traps=[InvalidOperation])
_BOUNDS = {"int4": 2**31, "int8": 2**63}

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


def fitting(kind: str, number: int) -> int:
    bound = _BOUNDS[kind]
    if not -bound <= number < bound:
        raise ValueRefused(f"an expression gives a number out of the range of {_NAMES[kind]}")
    return number


def _numeric(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text) or len(text) > MAX_DIGITS:
        raise ValueRefused("an expression reads a text as a number that is none (or not a finite one)")
    number = Decimal(text.strip(_SPACE))
    return checked(plain(number))


def plain(number: Decimal) -> Decimal:
    """The same number with no exponent above zero and no negative zero."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent > 0:
        if exponent + len(number.as_tuple().digits) > MAX_DIGITS:
            raise ValueRefused("an expression gives a number of too many digits")
        number = number.quantize(Decimal(1), context=_EXACT)
    return number if number else number.copy_abs()


def checked(number: Decimal) -> Decimal:
    parts = number.as_tuple()
    assert isinstance(parts.exponent, int)
    if len(parts.digits) > MAX_DIGITS or -parts.exponent > MAX_DIGITS:
        raise ValueRefused("an expression gives a number of too many digits")
    return number


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
    "timestamptz": lambda moment: moment.isoformat(" "),
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


# --- arithmetic ----------------------------------------------------------------------------------------------


def add(left: Decimal, right: Decimal) -> Decimal:
    return checked(plain(_EXACT.add(left, right)))


def subtract(left: Decimal, right: Decimal) -> Decimal:
    return checked(plain(_EXACT.subtract(left, right)))


def multiply(left: Decimal, right: Decimal) -> Decimal:
    return checked(plain(_EXACT.multiply(left, right)))


def divide(left: Decimal, right: Decimal) -> Decimal:
    """PostgreSQL's numeric division: at least 16 significant digits, and no fewer decimals than either side has
    (select_div_scale in its numeric.c, which counts in groups of four digits)."""
    if not right:
        raise ValueRefused("an expression divides by zero")
    left_scale, right_scale = scale_of(left), scale_of(right)
    left_weight, left_first = _leading_group(left)
    right_weight, right_first = _leading_group(right)
    weight = left_weight - right_weight - (left_first <= right_first)
    scale = min(max(16 - 4 * weight, left_scale, right_scale, 0), 1000)
    top, bottom = int(left.scaleb(left_scale, _EXACT)), int(right.scaleb(right_scale, _EXACT))
    shift = scale - left_scale + right_scale
    top, bottom = (top * 10**shift, bottom) if shift >= 0 else (top, bottom * 10**-shift)
    quotient, rest = divmod(abs(top), abs(bottom))
    quotient += 2 * rest >= abs(bottom)
    negative = (top < 0) != (bottom < 0) and quotient != 0
    return checked(Decimal((int(negative), tuple(map(int, str(quotient))), -scale)))


def scale_of(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent


def _leading_group(number: Decimal) -> tuple[int, int]:
    """(weight, value) of the first group of four digits that is not zero; (0, 0) for zero."""
    if not number:
        return 0, 0
    weight = number.adjusted() // 4
    return weight, int(number.copy_abs().scaleb(-4 * weight, _ROUNDED))


def divide_integers(kind: str, left: int, right: int) -> int:
    if right == 0:
        raise ValueRefused("an expression divides by zero")
    quotient = abs(left) // abs(right)
    return fitting(kind, -quotient if (left < 0) != (right < 0) else quotient)


def rounded(number: Decimal, places: int) -> Decimal:
    """Half away from zero, to `places` decimals (negative: to tens, hundreds ...)."""
    result = number.quantize(Decimal(1).scaleb(-places), context=_ROUNDED)
    return plain(result)


def limited(precision: int, scale: int) -> Callable[[Decimal], Decimal]:
    """The cast to numeric(precision, scale)."""

    def cast(number: Decimal) -> Decimal:
        result = rounded(number, scale)
        if result and result.adjusted() >= precision - scale:
            raise ValueRefused(f"an expression gives a number too large for numeric({precision},{scale})")
        return result

    return cast


# --- text ----------------------------------------------------------------------------------------------------


def upper(text: str) -> str:
    """Unicode simple upper case, letter by letter, as PostgreSQL has it in a UTF-8 locale ("ß" stays)."""
    return text.upper() if text.isascii() else "".join(map(_upper_letter, text))


def lower(text: str) -> str:
    return text.lower() if text.isascii() else "".join(map(_lower_letter, text))


def _upper_letter(letter: str) -> str:
    full = letter.upper()
    if len(full) == 1:
        return full
    title = letter.title()
    return title if len(title) == 1 else letter


def _lower_letter(letter: str) -> str:
    full = letter.lower()
    return full if len(full) == 1 else full[0]


def substring(text: str, start: int, length: int | None = None) -> str:
    if length is None:
        return text[max(start - 1, 0) :]
    if length < 0:
        raise ValueRefused("an expression takes a substring of negative length")
    return text[max(start - 1, 0) : max(start - 1 + length, 0)]


def right(text: str, count: int) -> str:
    return text[max(len(text) - count, 0) :] if count >= 0 else text[-count:]


def replace(text: str, old: str, new: str) -> str:
    if not old:
        return text
    if len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
        raise ValueRefused("an expression gives a text that is too long")
    return text.replace(old, new)


def join(*parts: str) -> str:
    if sum(map(len, parts)) > MAX_TEXT:
        raise ValueRefused("an expression gives a text that is too long")
    return "".join(parts)


def split_part(text: str, separator: str, index: int) -> str:
    if index == 0:
        raise ValueRefused("an expression asks split_part for part zero")
    if not text:
        return ""
    parts = text.split(separator) if separator else [text]
    place = index - 1 if index > 0 else len(parts) + index
    return parts[place] if 0 <= place < len(parts) else ""


def like(pattern: str, *, ignore_case: bool) -> Callable[[str], bool]:
    """The matcher of a LIKE pattern. Raises ValueError for a pattern that ends in its escape character."""
    segments = [""]
    letters = iter(lower(pattern) if ignore_case else pattern)
    for letter in letters:
        if letter == "%":
            segments.append("")
        elif letter == "\\":
            escaped = next(letters, None)
            if escaped is None:
                raise ValueError("a LIKE pattern must not end with \\")
            segments[-1] += re.escape(escaped)
        else:
            segments[-1] += "." if letter == "_" else re.escape(letter)
    match = re.compile(_segmented(segments), re.DOTALL).fullmatch
    if ignore_case:
        return lambda text: match(lower(text)) is not None
    return lambda text: match(text) is not None


def _segmented(segments: list[str]) -> str:
    """Each inner segment is taken where it first fits, for good (atomic), so that matching stays linear."""
    if len(segments) == 1:
        return segments[0]
    first, *inner, last = segments
    return first + "".join(f"(?>.*?{segment})" for segment in inner if segment) + ".*" + last


_NAMES = {"int4": "integer", "int8": "bigint"}
