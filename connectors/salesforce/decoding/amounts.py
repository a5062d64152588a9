"""Numbers that Salesforce hands out as binary floating point, as exact decimals; or not at all.

Change events, and Salesforce's API altogether, carry currencies, percents and numbers as doubles, though a field may
have 18 digits. A double stands for a decimal number exactly where it is the only one of the field's digits after the
point that is rounded to it. That is so for every number of 15 digits, and for most of 16. Where another amount would
have come as the same double, nobody can know which of them stands in Salesforce: such a value is marked, so that no
field of a decimal type takes it, and a person is shown which field it is.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from typing import Final

ABOUT: Final = "~"
"""Stands before a number that is not exact. No decimal has such a text."""

_SURE = 15
"""Digits of a decimal that every double keeps."""
_WIDE = Context(prec=1_100)


def text(value: float, scale: int) -> str:
    """The decimal that a double of a field with `scale` digits after the point stands for, without zeros at its end.

    >>> text(1234.5, 2), text(0.1 + 0.2, 17), text(10000000000000.25, 2), text(1e22, 0)
    ('1234.5', '~0.30000000000000004', '10000000000000.25', '~10000000000000000000000')
    """
    if not math.isfinite(value):
        return f"{ABOUT}{value}"
    shortest = Decimal(repr(value))
    plain = _plain(shortest)
    return plain if _exact(value, shortest, plain, scale) else f"{ABOUT}{plain}"


def _exact(value: float, shortest: Decimal, plain: str, scale: int) -> bool:
    whole, _, fraction = plain.lstrip("-").partition(".")
    if len(fraction) > scale:
        # More digits than the field shows: Salesforce keeps what its API was given. 15 of them are sure to be those.
        return len((whole + fraction).lstrip("0")) <= _SURE
    if len(whole.lstrip("0")) + scale <= _SURE:
        return True
    step = Decimal(1).scaleb(-scale)
    return all(float(_WIDE.add(shortest, each)) != value for each in (step, -step))


def _plain(number: Decimal) -> str:
    """Without an exponent, and without a sign before zero."""
    if not number:
        return "0"
    written = format(number, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written
