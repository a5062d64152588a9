"""The validators that a field may name (`check:`): what an application that is written to would refuse.

    email            one @ between a name and a host with a dot
    iban             country, length and check digits
    {tax_id: DE}     that country's tax identifier, with its check digits where it has any
    {length: 40}     characters at most
    {pattern: '..'}  a regular expression that the whole value fits

A reason says what is wrong and never the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from fieldwarden.rules.normalising import countries_with_tax_ids, tax_module

INVALID = "not valid: "
"""With what the reason begins why a value is never accepted (`on_invalid: refuse`)."""
FORMS = "email, iban, {tax_id: COUNTRY}, {length: NUMBER}, {pattern: EXPRESSION}"
_EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\".]+(?:\.[^@\s,;<>\".]+)+")
_LONGEST_PATTERN = 500


class Check(NamedTuple):
    """One validator with its argument, which is empty where it takes none."""

    kind: str
    argument: str = ""


def checks_of(value: object) -> tuple[Check, ...]:
    """One validator, or a list of them. Raises ValueError, saying what there is."""
    if isinstance(value, tuple):
        return value
    items = value if isinstance(value, list) else [value]
    found = tuple(check for item in items for check in _of_item(item))
    if not found:
        raise ValueError(f"no validator; there are {FORMS}")
    for check in found:
        _validator(check)
    return found


def _of_item(item: object) -> Sequence[Check]:
    if isinstance(item, str):
        return [Check(item)]
    if isinstance(item, Mapping):
        return [Check(str(kind), str(argument)) for kind, argument in item.items()]
    raise ValueError(f"{item!r} is no validator; there are {FORMS}")


def wrong(checks: Sequence[Check], text: str) -> str:
    """Why a value is not valid, in words; empty where it is."""
    return next((reason for check in checks if (reason := _validator(check)(text))), "")


@cache
def _validator(check: Check) -> Callable[[str], str]:
    """Empty for a value that is valid. Raises ValueError."""
    make = _MAKERS.get(check.kind)
    if make is None or bool(check.argument) != (check.kind not in ("email", "iban")):
        raise ValueError(f"{check.kind!r} is no validator; there are {FORMS}")
    return make(check.argument)


def _email(_: str) -> Callable[[str], str]:
    return lambda text: "" if _EMAIL.fullmatch(text) else "it is no e-mail address"


def _iban(_: str) -> Callable[[str], str]:
    from stdnum import iban

    return lambda text: "" if iban.is_valid(text) else "it is no IBAN"


def _tax_id(country: str) -> Callable[[str], str]:
    module = tax_module(country) if re.fullmatch(r"[A-Za-z]{2}", country) else None
    if module is None:
        known = ", ".join(countries_with_tax_ids())
        raise ValueError(f"there is no validator of tax identifiers for {country}; there is one for {known}")
    valid = module.is_valid
    return lambda text: "" if valid(text) else f"it is no tax identifier of {country.upper()}"


def _length(most: str) -> Callable[[str], str]:
    if not re.fullmatch(r"[1-9]\d{0,6}", most):
        raise ValueError("length is a number of characters, as {length: 40}")
    return lambda text: "" if len(text) <= int(most) else f"it is longer than {most} characters"


def _pattern(expression: str) -> Callable[[str], str]:
    try:
        if len(expression) > _LONGEST_PATTERN:
            raise re.error("too long")
        fits = re.compile(expression).fullmatch
    except re.error as error:
        raise ValueError(f"the pattern is no regular expression: {error}") from None
    return lambda text: "" if fits(text) else f"it does not fit the pattern {expression}"


_MAKERS: dict[str, Callable[[str], Callable[[str], str]]] = {
    "email": _email,
    "iban": _iban,
    "tax_id": _tax_id,
    "length": _length,
    "pattern": _pattern,
}
