"""Texts of a vendor's file with `{name}` in them, filled in for one request.

There is nothing in them but names: no expressions, no conditions. What a name stands for is put in as one piece of a
path (percent-encoded), as one value of a query, or inside a quoted text of the vendor's query language (its quotes
escaped as that language does), so that no row's key and no token can become more than a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

Quoting = Literal["none", "doubled", "backslash"]
Filled: TypeAlias = str | int | Sequence[str]
"""What a name stands for: a text, a number that we count, or the list of a record's fields."""

_NAME = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPES: Mapping[Quoting, Callable[[str], str]] = {
    "none": lambda text: text,
    "doubled": lambda text: text.replace("'", "''"),
    "backslash": lambda text: text.replace("\\", "\\\\").replace("'", "\\'"),
}


def names(template: Any) -> Iterator[str]:
    """All names in a text, or in all texts of a body.

    >>> list(names({"limit": "{size}", "filters": ["{since}"]}))
    ['size', 'since']
    """
    if isinstance(template, str):
        yield from _NAME.findall(template)
    elif isinstance(template, Mapping):
        for each in template.values():
            yield from names(each)
    elif isinstance(template, Sequence):
        for each in template:
            yield from names(each)


def in_path(template: str, values: Mapping[str, Filled]) -> str:
    """
    Raises ValueError where a name stands for no piece of a path: nothing at all, `.` or `..`.

    >>> in_path("/customers/{key}", {"key": "../a b"})
    '/customers/..%2Fa%20b'
    """
    return _NAME.sub(lambda match: _piece(_text(values[match[1]])), template)


def in_text(template: str, values: Mapping[str, Filled], quoting: Quoting = "none") -> str:
    """
    >>> in_text("select * from Customer where Id = '{key}'", {"key": "x' or '1"}, "doubled")
    "select * from Customer where Id = 'x'' or ''1'"
    """
    return _NAME.sub(lambda match: _escaped(values[match[1]], quoting), template)


def in_header(template: str, values: Mapping[str, Filled]) -> str:
    """Without what would end the header."""
    return _CONTROL.sub("", in_text(template, values))


def in_body(template: Any, values: Mapping[str, Filled], quoting: Quoting = "none") -> Any:
    """A text that is nothing but one name becomes what that stands for, a number or a list as well.

    >>> in_body({"limit": "{size}", "q": "id > {token}", "properties": "{fields}"}, {
    ...     "size": 100, "token": "7", "fields": ["email", "phone"]})
    {'limit': 100, 'q': 'id > 7', 'properties': ['email', 'phone']}
    """
    if isinstance(template, str):
        whole = _NAME.fullmatch(template)
        if whole is None:
            return in_text(template, values, quoting)
        value = values[whole[1]]
        return value if isinstance(value, str | int) else list(value)
    if isinstance(template, Mapping):
        return {name: in_body(each, values, quoting) for name, each in template.items()}
    if isinstance(template, Sequence):
        return [in_body(each, values, quoting) for each in template]
    return template


def _text(value: Filled) -> str:
    return str(value) if isinstance(value, str | int) else ",".join(value)


def _piece(text: str) -> str:
    if not text.strip("."):
        raise ValueError("no piece of a path")
    return quote(text, safe="")


def _escaped(value: Filled, quoting: Quoting) -> str:
    return _ESCAPES[quoting](value) if isinstance(value, str) else _text(value)
