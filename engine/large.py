"""Large texts in JSON, piece by piece: they are left out of it, and put where they belong while it is read.

A text of many megabytes that is encoded whole is in memory twice, and an entry of the ledger holds several.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping

import msgspec

from fieldwarden.engine.change import Value
from fieldwarden.engine.record import LARGE

PIECE = 1 << 20
MARK = f"\0{secrets.token_hex(8)}:"
"""Begins what stands for a large text: nobody else can know it."""
_ENCODED_MARK = re.compile(rb'"\\u0000' + MARK[1:].encode() + rb'(\d+)"')

_encode = msgspec.json.Encoder().encode


class Apart:
    """Large texts that are left out of what is encoded."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def without(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The values with what stands for large ones."""
        return {name: self.small(value) for name, value in values.items()}

    def small(self, text: Value) -> Value:
        """The text, or what stands for it if it is large."""
        if text is None or len(text) <= LARGE:
            return text
        self.texts.append(text)
        return f"{MARK}{len(self.texts) - 1}"

    def pieces(self, encoded: bytes) -> Iterator[bytes]:
        """What was encoded, with the large texts in their places."""
        at = 0
        for found in _ENCODED_MARK.finditer(encoded):
            yield from _cut(encoded, at, found.start() + 1)
            text = self.texts[int(found[1])]
            for start in range(0, len(text), PIECE):
                yield _encode(text[start : start + PIECE])[1:-1]
            at = found.end() - 1
        yield from _cut(encoded, at, len(encoded))


class Pieces:
    """Bytes that are made as they are read, however often."""

    def __init__(self, apart: Apart, encoded: bytes) -> None:
        self._apart = apart
        self._encoded = encoded

    def __iter__(self) -> Iterator[bytes]:
        return self._apart.pieces(self._encoded)

    def __bytes__(self) -> bytes:
        return b"".join(self)


def _cut(data: bytes, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, PIECE):
        yield data[at : min(at + PIECE, end)]
