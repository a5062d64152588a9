"""How two spellings of one value are told to be the same: the normalisers that a match key may name.

    exact          as it is written, without blanks around it; what a key means that names none
    case           exact, and upper and lower case are one
    digits         its digits only
    alphanumeric   its letters and digits only, case folded
    tax_id(DE)     the compact form of that country's tax identifier, which need not be a valid one
    email          like case
    phone          its digits, with a + or 00 before them read alike

A value of which a normaliser would leave nothing ("-" of `alphanumeric`, "unknown" of `digits`) is compared as it is,
but for blanks and case: else it would be no key at all, and a row known by nothing else could never be found again.
Only a blank value comes to nothing.
"""

from __future__ import annotations

import pkgutil
import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from types import ModuleType

Normalise = Callable[[str], str]

EXACT = "exact"
BEFORE = "alphanumeric"
"""What a key meant that names no normaliser, in rulebooks from before there were any."""
FORMS = ("exact", "case", "digits", "alphanumeric", "tax_id(COUNTRY)", "email", "phone")

_COUNTRY = re.compile(r"tax_id\(\s*([A-Za-z]{2})\s*\)$")
_ASCII = {code: chr(code).lower() if chr(code).isalnum() else None for code in range(128)}
_REMEMBERED = 16_384


def exact(text: str) -> str:
    return text.strip()


def case(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


@lru_cache(maxsize=_REMEMBERED)
def alphanumeric(text: str) -> str:
    """Letters and digits only, case folded, compatibility forms unified."""
    if text.isascii():
        return text.translate(_ASCII) or "".join(text.split())
    unified = unicodedata.normalize("NFKC", text)
    return ("".join(filter(str.isalnum, unified)) or "".join(unified.split())).casefold()


def digits(text: str) -> str:
    unified = unicodedata.normalize("NFKC", text)
    return "".join(filter(str.isdecimal, unified)) or _without_blanks(unified)


def phone(text: str) -> str:
    unified = unicodedata.normalize("NFKC", text).strip()
    found = "".join(filter(str.isdecimal, unified))
    if not found:
        return _without_blanks(unified)
    if unified.lstrip("( ").startswith("+"):
        return f"+{found}"
    return f"+{found[2:]}" if found.startswith("00") and len(found) > 2 else found


def normaliser(form: str) -> Normalise:
    """The function of a form in FORMS; the same one for the same form. Raises ValueError, saying what there is."""
    country = _COUNTRY.match(form)
    if country is not None:
        return _tax_id(country[1].upper())
    if form not in _PLAIN:
        raise ValueError(f"{form!r} is not a normaliser; there are {', '.join(FORMS)}")
    return _PLAIN[form]


@cache
def _tax_id(country: str) -> Normalise:
    module = tax_module(country)
    if module is None:
        known = ", ".join(countries_with_tax_ids())
        raise ValueError(f"there is no tax identifier known for {country}; there is one for {known}")
    compact = module.compact

    @lru_cache(maxsize=_REMEMBERED)
    def tax_id(text: str) -> str:
        if not any(map(str.isalnum, text)):  # some fill up with zeros what they are given
            return _without_blanks(text)
        try:
            number = str(compact(text.strip()))
        except Exception:  # it is made for numbers, and is given whatever stands there
            number = ""
        return number.casefold() or _without_blanks(text)

    return tax_id


def tax_module(country: str) -> ModuleType | None:
    """python-stdnum's module of a country's tax identifier: of value-added tax where it has one."""
    from stdnum import get_cc_module

    for name in ("vat", "tin"):
        module = get_cc_module(country.lower(), name)
        if isinstance(module, ModuleType) and hasattr(module, "compact"):
            return module
    return None


@cache
def countries_with_tax_ids() -> tuple[str, ...]:
    import stdnum

    names = (each.name.strip("_") for each in pkgutil.iter_modules(stdnum.__path__) if each.ispkg)
    return tuple(sorted(name.upper() for name in names if len(name) == 2 and tax_module(name) is not None))


def _without_blanks(text: str) -> str:
    return "".join(text.split()).casefold()


_PLAIN: dict[str, Normalise] = {
    "exact": exact,
    "case": case,
    "digits": digits,
    "alphanumeric": alphanumeric,
    "email": case,
    "phone": phone,
}
