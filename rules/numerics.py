"""PostgreSQL's integers and numeric: ranges, scales, and how a division or a rounding comes out.

A numeric is a Decimal whose exponent is minus PostgreSQL's display scale, so that "1.50" stays "1.50".
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

from rules.errors import ValueRefused

MAX_DIGITS = 2_000

_EXACT: Final = Context(prec=2 * MAX_DIGITS, traps=[InvalidOperation, Inexact, Overflow])
_ROUNDED: Final = Context(prec=2 * MAX_DIGITS, rounding=ROUND_HALF_UP, traps=[InvalidOperation])
_BOUNDS = {"int4": 2**31, "int8": 2**63}

_NAMES = {"int4": "integer", "int8": "bigint"}


def fitting(kind: str, number: int) -> int:
    bound = _BOUNDS[kind]
    if not -bound <= number < bound:
        raise ValueRefused(f"an expression gives a number out of the range of {_NAMES[kind]}")
    return number


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
