"""Which fields a change event speaks of: bitmaps over the fields of its Avro schema.

Facts: Salesforce's "Event Deserialization Considerations". `0x..` is a number whose bit i stands for field i; `p-0x..`
is one whose bits stand for the fields of the record that field p holds (a name, an address).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from fieldwarden.connectors.wire.unreadable import Unreadable

_BITMAP = re.compile(r"(?:([0-9]{1,4})-)?0[xX]([0-9a-fA-F]{1,1024})").fullmatch


@dataclass(frozen=True, slots=True)
class Bits:
    """`top` has a bit for each field, `nested` by field a number with a bit for each field of its record."""

    top: int = 0
    nested: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))

    def has(self, place: int, child: int | None = None) -> bool:
        """Whether a field is meant. A child is also meant where the whole of its parent is.

        >>> Bits(0b100, {4: 0b10}).has(2), Bits(0b100, {4: 0b10}).has(4, 1), Bits(0b100, {4: 0b10}).has(4, 0)
        (True, True, False)
        """
        if self.top >> place & 1:
            return True
        return child is not None and bool(self.nested.get(place, 0) >> child & 1)


NO_BITS = Bits()


def bits(texts: Sequence[str]) -> Bits:
    """What a list of bitmaps says, in whatever order they stand.

    Raises Unreadable for a text that is none.

    >>> bits(["0x104", "1-0x6"])
    Bits(top=260, nested=mappingproxy({1: 6}))
    """
    return _bits(tuple(texts)) if texts else NO_BITS


@lru_cache(maxsize=4096)
def _bits(texts: tuple[str, ...]) -> Bits:
    top, nested = 0, dict[int, int]()
    for text in texts:
        match = _BITMAP(text)
        if match is None:
            raise Unreadable("its header has a bitmap of fields that is none")
        parent, number = match[1], int(match[2], 16)
        if parent is None:
            top |= number
        else:
            nested[int(parent)] = nested.get(int(parent), 0) | number
    return Bits(top, MappingProxyType(nested))
