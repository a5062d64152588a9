"""Canonical values: every value in the engine is text in one exact form per type, or None for null.

Text end to end keeps money exact (no binary float ever touches an amount), makes comparison, hashing and storage
string operations, and means that two systems agree on a value exactly when their canonical texts are equal.

    text, code(list), ref(entity)   as it is
    integer                         "-12"
    decimal(p,s)                    "1234.50": s digits after the point; decimal alone: no trailing zeros
    boolean                         "true" / "false"
    date                            "2026-01-31"
    timestamp                       "2026-01-31T10:00:00.000000Z": UTC, microseconds; no zone is read as UTC
    uuid                            lower case with hyphens

A null is None; UNKNOWN is a value that a change did not carry, and never changes anything.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from fieldwarden.rules.errors import ValueRefused
from fieldwarden.rules.zones import from_local

Value: TypeAlias = str | None


class Unknown(enum.Enum):
    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN
RawValue: TypeAlias = str | Literal[Unknown.UNKNOWN] | None

Kind = Literal["text", "integer", "decimal", "boolean", "date", "timestamp", "uuid", "code", "ref"]

MAX_PRECISION = 1_000
"""PostgreSQL's numeric(p,s) has no more."""

_TYPE = re.compile(r"(?P<kind>[a-z]+)\s*(?:\(\s*(?P<arguments>[^()]*?)\s*\))?$")
_INTEGER = re.compile(r"[+-]?\d+$")
_PLAIN_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}").fullmatch
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?$")
_SHORT_ZONE = re.compile(r"[+-]\d\d$")
_UTC = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,6})?(?:\+00(?::00)?|Z)?"
).fullmatch
_BOOLEAN = {"t": "true", "true": "true", "1": "true", "f": "false", "false": "false", "0": "false"}


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field's type. `canonical` turns a source's text into the canonical one, or raises ValueRefused."""

    kind: Kind
    precision: int | None = None
    scale: int | None = None
    target: str | None = None
    """The code list of a code, the entity of a ref."""

    def __str__(self) -> str:
        if self.precision is not None:
            return f"{self.kind}({self.precision},{self.scale})"
        return f"{self.kind}({self.target})" if self.target else self.kind

    def canonical(self, where: ZoneInfo | None = None) -> Callable[[str], str] | None:
        """The function from a source's text to canonical text; None where every text is canonical already. `where`: the
        zone of a moment that names none (default UTC)."""
        if where is not None and self.kind == "timestamp":
            return lambda text: _timestamp_text(_utc(_moment_of(text), where))
        if self.kind == "decimal":
            return _decimal(self.precision, self.scale)
        return _CANONICAL.get(self.kind)


def parse_type(text: str) -> FieldType:
    """`decimal(14,2)`, `code(payment_terms)`, `ref(customer)`, `date` ... Raises ValueError in words."""
    match = _TYPE.match(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a type; write text, integer, decimal(14,2), date, ref(customer) ...")
    kind, arguments = match["kind"], match["arguments"]
    if kind == "decimal":
        return _decimal_type(arguments)
    if kind in ("code", "ref"):
        if not arguments:
            raise ValueError(f"{kind} names what it refers to: {kind}(NAME)")
        return FieldType("code" if kind == "code" else "ref", target=arguments)
    if kind not in ("text", *_CANONICAL) or arguments:
        raise ValueError(f"{text!r} is not a type; the types are {', '.join(TYPE_NAMES)}")
    return FieldType(kind)  # type: ignore[arg-type]


def _decimal_type(arguments: str | None) -> FieldType:
    if not arguments:
        return FieldType("decimal")
    parts = [part.strip() for part in arguments.split(",")]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts) or int(parts[0]) < max(1, int(parts[1])):
        raise ValueError("a decimal is decimal(PRECISION,SCALE) , precision >= scale, as decimal(14,2)")
    if int(parts[0]) > MAX_PRECISION:
        raise ValueError(f"no decimal has more than {MAX_PRECISION:,} digits")
    return FieldType("decimal", int(parts[0]), int(parts[1]))


def _integer(text: str) -> str:
    if _PLAIN_INTEGER(text):
        return text
    if not _INTEGER.match(text.strip()):
        raise ValueRefused("not an integer")
    try:
        return str(int(text))
    except ValueError:  # Python reads no more than 4,300 digits, since that takes the square of their number
        raise ValueRefused("an integer of too many digits") from None


def _decimal(precision: int | None, scale: int | None) -> Callable[[str], str]:
    simple = (
        re.compile(rf"-?(?:0|[1-9]\d{{0,{precision - scale - 1}}})\.\d{{{scale}}}$").match
        if (precision is not None and scale and precision > scale)
        else None
    )
    zero = "0" if not scale else "0." + "0" * scale

    def canonical(text: str) -> str:
        if simple is not None and simple(text) and text[1:] != zero:
            return text
        if not _DECIMAL.match(text.strip()):
            raise ValueRefused("not a decimal number")
        try:
            number = Decimal(text.strip())
        except InvalidOperation as error:
            raise ValueRefused("not a decimal number") from error
        return _fixed(number, precision, scale)

    return canonical


def _fixed(number: Decimal, precision: int | None, scale: int | None) -> str:
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    plain = format(Decimal((0, digits, exponent)), "f")
    whole, _, fraction = plain.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    if scale is not None and precision is not None:
        if len(fraction) > scale:
            raise ValueRefused(f"more than {scale} digits after the point: it would have to be rounded")
        if len(whole.lstrip("0")) > precision - scale:
            raise ValueRefused(f"too large for decimal({precision},{scale})")
        fraction = fraction.ljust(scale, "0")
    text = f"{whole}.{fraction}" if fraction else whole
    return f"-{text}" if sign and any(digits) else text


def _boolean(text: str) -> str:
    try:
        return _BOOLEAN[text.strip().lower()]
    except KeyError:
        raise ValueRefused("not a boolean") from None


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text.strip()[:10]).isoformat() if len(text.strip()) == 10 else _date_of(text)
    except ValueError as error:
        raise ValueRefused("not a valid date (YYYY-MM-DD)") from error


def _date_of(text: str) -> str:
    moment = _moment(text)
    if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
        raise ValueRefused("a time of day would be lost: the field is a date")
    return moment.date().isoformat()


def _moment(text: str) -> datetime:
    text = text.strip().replace(" ", "T", 1)
    if _SHORT_ZONE.search(text[10:]):
        text += ":00"
    return datetime.fromisoformat(text)


def moment_micros(text: str, where: ZoneInfo | None = None) -> int:
    """Microseconds since 1970 UTC of a timestamp's text; one that names no zone is of `where`, or of UTC.

    Raises ValueRefused."""
    moment = _moment_of(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC) if where is None else from_local(moment, where)
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _moment_of(text: str) -> datetime:
    try:
        return _moment(text)
    except ValueError as error:
        raise ValueRefused("not a valid timestamp (ISO 8601)") from error


def _utc(moment: datetime, where: ZoneInfo) -> datetime:
    if moment.tzinfo is None:
        return from_local(moment, where)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueRefused("not a valid timestamp (ISO 8601)") from error


def _timestamp_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f").zfill(26) + "Z"


def _timestamp(text: str) -> str:
    utc = _UTC(text)
    try:
        if utc is not None:
            datetime.fromisoformat(text)  # as it is written in nearly every change; only its spelling is ours
            day, clock, fraction = utc.groups()
            return f"{day}T{clock}{fraction or '.':0<7}Z"
        moment = _moment(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueRefused("not a valid timestamp (ISO 8601)") from error
    return _timestamp_text(moment)


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise ValueRefused("not a UUID") from error


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CANONICAL: dict[str, Callable[[str], str]] = {
    "integer": _integer,
    "boolean": _boolean,
    "date": _date,
    "timestamp": _timestamp,
    "uuid": _uuid,
}
TYPE_NAMES = (
    "text",
    "integer",
    "decimal(P,S)",
    "boolean",
    "date",
    "timestamp",
    "uuid",
    "code(LIST)",
    "ref(ENTITY)",
)
