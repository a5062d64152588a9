"""Numbers of Debezium's encodings as the text that PostgreSQL writes.

Facts: `org.apache.kafka.connect.data.Decimal` (big-endian two's complement, the scale in the schema),
`io.debezium.data.VariableScaleDecimal`; PostgreSQL's `numeric_out` and its shortest exact `float8out`.
"""

from __future__ import annotations

import math
import re
import struct
from base64 import b64decode
from collections.abc import Mapping
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact
from typing import Any, Final

SPECIAL = {
    **dict.fromkeys(("NaN", "NAN"), "NaN"),
    **dict.fromkeys(("Infinity", "POSITIVE_INFINITY"), "Infinity"),
    **dict.fromkeys(("-Infinity", "NEGATIVE_INFINITY"), "-Infinity"),
}
"""What is no number, as floats and as decimals in text have it (`SpecialValueDecimal`)."""

_PLAIN = re.compile(r"-?\d+(?:\.\d+)?").fullmatch
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,6})?").fullmatch
_float32 = struct.Struct(">f")

_WHOLE_DIGITS: Final = 131_072
MOST_DECIMALS: Final = 16_383
"""PostgreSQL's numeric has no more digits than these before the point and behind it ("Numeric Types")."""

_SHORT: Final = 1_000
_MOST_BYTES: Final = 61_231
"""Of a two's complement of all those digits: 147,455 * log2(10) / 8."""

_exact = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


def as_bytes(value: bytes | str) -> bytes:
    """Bytes as Avro carries them, or as JSON does (base64). Raises ValueError."""
    return value if isinstance(value, bytes) else b64decode(value, validate=True)


def unscaled(data: bytes, scale: int) -> str:
    """A number from its unscaled two's complement and its scale, with exactly `scale` digits after the point.

    Raises ValueError for more of them than PostgreSQL can hold."""
    number = int.from_bytes(data, "big", signed=True)
    digits = str(abs(number)) if len(data) < _SHORT else _many_digits(data, abs(number))
    if scale > 0:
        digits = digits.rjust(scale + 1, "0")
        digits = f"{digits[:-scale]}.{digits[-scale:]}"
    elif scale < 0 and number:
        digits += "0" * -scale
    return f"-{digits}" if number < 0 else digits


def _many_digits(data: bytes, number: int) -> str:
    """Python's own way takes the square of the length: a megabyte would take a minute."""
    if len(data) > _MOST_BYTES:
        raise ValueError("more digits than any PostgreSQL knows")
    return format(_split(number, number.bit_length()), "f")


def _split(number: int, bits: int) -> Decimal:
    """By halves, which libmpdec then multiplies in less than the square of their length."""
    if bits <= 8 * _SHORT:
        return Decimal(number)
    half = bits // 2
    high, low = _split(number >> half, bits - half), _split(number & ((1 << half) - 1), half)
    return _exact.add(_exact.multiply(high, _exact.power(2, half)), low)


def variable_scale(value: Mapping[str, Any]) -> str:
    """`{scale, value}`. Raises KeyError, TypeError or ValueError."""
    scale = value["scale"]
    if type(scale) is not int or abs(scale) > MOST_DECIMALS:
        raise ValueError("not a scale")
    return unscaled(as_bytes(value["value"]), scale)


def plain(text: str) -> str:
    """A decimal written as text, without an exponent. Raises ValueError."""
    if _PLAIN(text) is not None:
        return text
    if text in SPECIAL:
        return SPECIAL[text]
    if _NUMBER(text) is None:
        raise ValueError("not a decimal number")
    number = Decimal(text)
    if number and number.adjusted() >= _WHOLE_DIGITS:  # a few bytes of exponent are a megabyte of zeros
        raise ValueError("more digits than any PostgreSQL knows")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and not -MOST_DECIMALS <= exponent < _WHOLE_DIGITS:
        raise ValueError("more digits than any PostgreSQL knows")
    return format(number, "f")


def decimal_text(text: str) -> str:
    """The same; what is no decimal stays as it is, and is the mapping's to judge."""
    try:
        return plain(text)
    except ValueError:
        return text


def float_text(value: float | str) -> str:
    """A double in the shortest form that reads back as the same number."""
    if isinstance(value, str):
        return _special(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return _as_postgres(repr(float(value)), 15)


def float32_text(value: float | str) -> str:
    """The same of a single-precision number. Raises OverflowError if it is none."""
    if isinstance(value, str):
        return _special(value)
    if not math.isfinite(value):
        return float_text(value)
    packed = _float32.pack(value)
    (exact,) = _float32.unpack(packed)
    shortest = next(text for text in (f"{exact:.{n}g}" for n in range(1, 10)) if _packed(text) == packed)
    return _as_postgres(repr(float(shortest)), 6)


def _packed(text: str) -> bytes | None:
    """None where rounding has led beyond the largest number there is."""
    try:
        return _float32.pack(float(text))
    except OverflowError:
        return None


def _special(text: str) -> str:
    if text not in SPECIAL:
        raise ValueError("not a number")
    return SPECIAL[text]


def _as_postgres(text: str, widest: int) -> str:
    """Python's shortest digits in PostgreSQL's notation: an exponent from 10^`widest` on and below 0.0001."""
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits, point = whole + fraction.rstrip("0"), len(whole) + int(exponent or 0)
    significant = digits.lstrip("0")
    if not significant:
        return f"{sign}0"
    point -= len(digits) - len(significant)
    significant = significant.rstrip("0")
    power = point - 1
    if -4 <= power < widest:
        if power < 0:
            return f"{sign}0.{'0' * -point}{significant}"
        whole, fraction = significant[:point].ljust(point, "0"), significant[point:]
        return f"{sign}{whole}.{fraction}" if fraction else sign + whole
    mantissa = f"{significant[0]}.{significant[1:]}" if len(significant) > 1 else significant
    return f"{sign}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02}"
