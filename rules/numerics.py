"""PostgreSQL's integers and numeric: ranges, scales, and how a division or a rounding comes out.

A numeric is a Decimal whose exponent is minus PostgreSQL's display scale, so that "1.50" stays "1.50".
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import (
    ROUND_HALF_UP,
    Clamped,
    Context,
    Decimal,
    DecimalException,
    Inexact,
    InvalidOperation,
    Overflow,
    Rounded,
    Subnormal,
)
from typing import Any, Final

from fieldwarden.rules.errors import ValueRefused

MAX_DIGITS = 2_000
"""More digits than this, before and after the point together, are refused: no business number has them, and
expressions must not be a way to exhaust memory."""

_EXACT: Final = Context(
    prec=MAX_DIGITS, Emin=-MAX_DIGITS, traps=[InvalidOperation, Overflow, Inexact, Rounded, Subnormal, Clamped]
)
_HALF_UP: Final = Context(prec=2 * MAX_DIGITS, rounding=ROUND_HALF_UP, traps=[InvalidOperation])
_BOUNDS = {"int4": 2**31, "int8": 2**63}

_ONE = Decimal(1)
_NAMES = {"int4": "integer", "int8": "bigint"}


def fitting(kind: str, number: int) -> int:
    bound = _BOUNDS[kind]
    if not -bound <= number < bound:
        raise ValueRefused(f"an expression gives a number out of the range of {_NAMES[kind]}")
    return number


def _exactly(operation: Callable[..., Decimal], *operands: Any) -> Decimal:
    try:
        result = operation(*operands)
    except DecimalException:
        raise ValueRefused("an expression gives a number of too many digits") from None
    return result if result else result.copy_abs()  # PostgreSQL has no negative zero


def read(text: str) -> Decimal:
    """A decimal number's text, with or without an exponent, as PostgreSQL's numeric."""
    number = _exactly(_EXACT.create_decimal, text)
    if "e" in text or "E" in text:
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and exponent > 0:
            return _exactly(number.quantize, _ONE, None, _EXACT)
    return number


def negate(number: Decimal) -> Decimal:
    return number.copy_negate() if number else number


def add(left: Decimal, right: Decimal) -> Decimal:
    return _exactly(_EXACT.add, left, right)


def subtract(left: Decimal, right: Decimal) -> Decimal:
    return _exactly(_EXACT.subtract, left, right)


def multiply(left: Decimal, right: Decimal) -> Decimal:
    return _exactly(_EXACT.multiply, left, right)


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
    top, bottom = int(left.scaleb(left_scale, _HALF_UP)), int(right.scaleb(right_scale, _HALF_UP))
    shift = scale - left_scale + right_scale
    top, bottom = (top * 10**shift, bottom) if shift >= 0 else (top, bottom * 10**-shift)
    quotient, rest = divmod(abs(top), abs(bottom))
    quotient += 2 * rest >= abs(bottom)
    return _exactly(_EXACT.scaleb, Decimal(-quotient if (top < 0) != (bottom < 0) else quotient), -scale)


def scale_of(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent


def _leading_group(number: Decimal) -> tuple[int, int]:
    """(weight, value) of the first group of four digits that is not zero; (0, 0) for zero."""
    if not number:
        return 0, 0
    weight = number.adjusted() // 4
    return weight, int(number.copy_abs().scaleb(-4 * weight, _HALF_UP))


def divide_integers(kind: str, left: int, right: int) -> int:
    if right == 0:
        raise ValueRefused("an expression divides by zero")
    quotient = abs(left) // abs(right)
    return fitting(kind, -quotient if (left < 0) != (right < 0) else quotient)


def rounded(number: Decimal, places: int) -> Decimal:
    """Half away from zero, to `places` decimals (negative: to tens, hundreds ...)."""
    result = _exactly(number.quantize, _ONE.scaleb(-places), None, _HALF_UP)
    return result if places >= 0 else _exactly(result.quantize, _ONE, None, _EXACT)


def limited(precision: int, scale: int) -> Callable[[Decimal], Decimal]:
    """The cast to numeric(precision, scale)."""

    def cast(number: Decimal) -> Decimal:
        result = rounded(number, scale)
        if result and result.adjusted() >= precision - scale:
            raise ValueRefused(f"an expression gives a number too large for numeric({precision},{scale})")
        return result

    return cast
