"""How much memory a few bytes of Avro may become, told by the schema alone before any value is read.

A schema comes from a registry, and so from whoever may write there, or from a vendor. Avro writes a null, and a record
of nothing else, in no bytes at all: an array of a billion of them is eight bytes, and records that each hold the one
before twice double with every level. Values are read by a library that makes them all. So a schema is refused by which
a value may take more than `_PER_BYTE` for each of its bytes, and `_AT_ONCE` beside. That is sound: `_Bounds` computes,
for the worst value of each type, what it takes beyond its bytes' share.

Fact: Apache Avro 1.12, "Specification", "Binary Encoding". Sizes are those of CPython's objects, rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from fieldwarden.connectors.wire.unreadable import MOST_DEEP, Unreadable

_PER_BYTE = 512
_AT_ONCE = 1 << 22
_OBJECT, _SLOT, _ENTRY, _CONTAINER = 64, 16, 128, 96
"""Of a number or a text, a list's place for one, a mapping's, and of a list or mapping that is empty."""

_BASE = {
    "null": 0,
    "boolean": -_PER_BYTE,
    "int": _OBJECT - _PER_BYTE,
    "long": _OBJECT - _PER_BYTE,
    "float": _OBJECT - 4 * _PER_BYTE,
    "double": _OBJECT - 8 * _PER_BYTE,
    "bytes": _OBJECT - _PER_BYTE,
    "string": _OBJECT - _PER_BYTE,
}


class _Worst(NamedTuple):
    """`excess` is the most that a value takes beyond `_PER_BYTE` for each of its bytes; `depth` how deep it goes."""

    excess: float
    depth: int


def check(schema: Any) -> None:
    """Of a parsed Avro schema (JSON). Raises Unreadable."""
    try:
        worst = _Bounds().of(schema, MOST_DEEP)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Unreadable("its Avro schema is none that can be read") from None
    if worst.excess > _AT_ONCE:
        raise Unreadable("its Avro schema lets a few bytes become more than can be held")


class _Bounds:
    """Each named type is looked at once, however often it is used; one that holds itself is refused.

    Names count without their namespaces, and of several the worst: which the library takes need not be known."""

    def __init__(self) -> None:
        self._named: dict[str, _Worst] = {}
        self._under_way: set[str] = set()

    def of(self, schema: Any, room: int) -> _Worst:
        if not room:
            raise Unreadable("its Avro schema is nested too deeply")
        if isinstance(schema, str):
            found = self._known(schema)
        elif isinstance(schema, list):
            branches = [self.of(each, room - 1) for each in schema]
            found = _Worst(max(each.excess for each in branches) - _PER_BYTE, 1 + max(each.depth for each in branches))
        elif "name" in schema:
            found = self._definition(str(schema["name"]).rpartition(".")[2], schema, room)
        else:
            found = self._unnamed(schema, room)
        if found.depth > MOST_DEEP:
            raise Unreadable("its Avro schema is nested too deeply")
        return found

    def _known(self, name: str) -> _Worst:
        if name in _BASE:
            return _Worst(_BASE[name], 1)
        simple = name.rpartition(".")[2]
        if simple in self._under_way:
            raise Unreadable("its Avro schema has a type that holds itself")
        return self._named[simple]

    def _definition(self, simple: str, schema: Mapping[str, Any], room: int) -> _Worst:
        if simple in self._under_way:
            raise Unreadable("its Avro schema has a type that holds itself")
        self._under_way.add(simple)
        found = self._unnamed(schema, room)
        self._under_way.remove(simple)
        before = self._named.get(simple, found)
        self._named[simple] = _Worst(max(before.excess, found.excess), max(before.depth, found.depth))
        return found

    def _unnamed(self, schema: Mapping[str, Any], room: int) -> _Worst:
        match kind := schema["type"]:
            case "record":
                parts = [self.of(field["type"], room - 1) for field in schema["fields"]]
                excess = _CONTAINER + sum(_ENTRY + each.excess for each in parts)
                return _Worst(excess, 1 + max((each.depth for each in parts), default=0))
            case "array":
                return _repeated(self.of(schema["items"], room - 1), _SLOT)
            case "map":
                return _repeated(self.of(schema["values"], room - 1), _ENTRY + _OBJECT - _PER_BYTE)
            case "enum":
                return _Worst(-_PER_BYTE, 1)
            case "fixed":
                return _Worst(_OBJECT + (1 - _PER_BYTE) * int(schema["size"]), 1)
            case _:
                return self.of(kind, room - 1)


def _repeated(item: _Worst, place: float) -> _Worst:
    """As many as there are bytes for, or without end where one takes more than its bytes' share. Its end is a byte."""
    return _Worst(math.inf if item.excess + place > 0 else _CONTAINER - _PER_BYTE, 1 + item.depth)
