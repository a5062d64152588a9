"""Stripe's form encoding: `items[0][price]=price_1&metadata[tier]=gold` is a nested object, and every value is text
until the field that it is for says what it is.

A reader takes a value and the parameter's name, and gives what the object holds; None where the value unsets it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.stripe.errors import invalid

Reader = Callable[[Any, str], Any]
_PIECE = re.compile(r"\[([^\]]*)\]")
_MOST_ITEMS = 1000


def decoded(text: str) -> Json:
    """`decoded("a[b]=1&c[]=2&c[]=3")` -> {"a": {"b": "1"}, "c": ["2", "3"]}."""
    root: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        head, _, rest = name.partition("[")
        path = [head, *_PIECE.findall(f"[{rest}" if rest else "")]
        _put(root, path, value)
    return {name: _lists(value) for name, value in root.items()}


def _put(root: Json, path: list[str], value: str) -> None:
    place = root
    for piece in path[:-1]:
        inner = place.setdefault(piece, {})
        if not isinstance(inner, dict):
            raise invalid("Invalid hash", path[0], "parameter_invalid_hash")
        place = inner
    last = path[-1]
    place[last or str(len(place))] = value


def _lists(value: Any) -> Any:
    """Objects whose names are 0, 1, 2 ... are lists."""
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(each) for name, each in value.items()}
    if inner and all(name.isdecimal() for name in inner) and len(inner) <= _MOST_ITEMS:
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def text(value: Any, param: str) -> str | None:
    if isinstance(value, dict | list):
        raise invalid(f"Invalid string: {value}", param)
    return None if value in ("", None) else str(value)


def whole(value: Any, param: str) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,15}", str(value)):
        raise invalid(f"Invalid integer: {value}", param, "parameter_invalid_integer")
    return int(value)


def yes(value: Any, param: str) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", param)
    return str(value).lower() == "true"


def one_of(*words: str) -> Reader:
    def read(value: Any, param: str) -> str:
        if value not in words:
            wanted = ", ".join(words[:-1])
            raise invalid(f"Invalid {param}: must be one of {wanted}, or {words[-1]}", param)
        return str(value)

    return read


def words(value: Any, param: str) -> Json | None:
    """Metadata: text by names. Unset as a whole by an empty text, a name by an empty value."""
    if value in ("", None):
        return None
    if not isinstance(value, dict):
        raise invalid("Invalid hash", param)
    return {name: text(each, f"{param}[{name}]") for name, each in value.items()}


def part(fields: Mapping[str, Reader]) -> Reader:
    def read(value: Any, param: str) -> Json | None:
        if value in ("", None):
            return None
        if not isinstance(value, dict):
            raise invalid("Invalid object", param)
        return taken(value, fields, param)

    return read


def several(fields: Mapping[str, Reader]) -> Reader:
    one = part(fields)

    def read(value: Any, param: str) -> list[Any]:
        if not isinstance(value, list):
            raise invalid("Invalid array", param)
        return [one(each, f"{param}[{place}]") for place, each in enumerate(value)]

    return read


def taken(given: Json, fields: Mapping[str, Reader], inside: str = "") -> Json:
    """What was given, read by its fields. Raises Refused where a parameter is none of them."""
    result: Json = {}
    for name, value in given.items():
        param = f"{inside}[{name}]" if inside else name
        if name == "expand" and not inside:
            continue
        if name not in fields:
            raise invalid(f"Received unknown parameter: {param}", param, "parameter_unknown")
        result[name] = fields[name](value, param)
    return result


def required(given: Json, *names: str) -> None:
    for name in names:
        if given.get(name) is None:
            raise invalid(f"Missing required param: {name}.", name, "parameter_missing")


def merged(before: Json, changes: Json) -> Json:
    """The object with the changes. Metadata are merged name by name, and names that are unset go."""
    after = {**before, **changes}
    if "metadata" in changes:
        kept = {} if changes["metadata"] is None else {**(before.get("metadata") or {}), **changes["metadata"]}
        after["metadata"] = {name: value for name, value in kept.items() if value is not None}
    return after
