"""Large values on the hub's wire, piece by piece: what a record costs in memory is its values and little more.

A record's JSON holds the same value several times over: golden, the row that said it, the row it was written into.
Written, large texts are left out of the JSON and then put where they belong while it is sent. Read, they are taken out
of it while it comes, and those that are equal are one text.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

import msgspec

from engine.change import Value
from engine.record import LARGE, Contribution

PIECE = 1 << 20

Line = bytes | Iterator[bytes]
"""A row for COPY; one with a large text in pieces, which are made as they are sent."""

_MARK = f"\0{secrets.token_hex(8)}:"
"""Begins what stands for a large text: nobody else can know it."""
_ENCODED_MARK = re.compile(rb'"\\u0000' + _MARK[1:].encode() + rb'(\d+)"')

_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode
_decode_golden = msgspec.json.Decoder(dict[str, Value]).decode
_decode_rows = msgspec.json.Decoder(list[Contribution]).decode


# --- written -------------------------------------------------------------------------------------------------------


def copied(data: bytes) -> Iterator[bytes]:
    """JSON as a column of a COPY row."""
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE].replace(b"\\", b"\\\\")


def copied_values(values: Mapping[str, Value]) -> Iterator[bytes]:
    """The same of values by name, encoded on the way."""
    apart = _Apart()
    return apart.pieces(_encode(apart.without(values)))


def copied_rows(rows: Sequence[Contribution]) -> Iterator[bytes]:
    """The same of contributions."""
    apart = _Apart()
    small = [
        msgspec.structs.replace(
            row,
            order=tuple(None if each is None else apart.small(each) for each in row.order),
            **{name: apart.without(getattr(row, name)) for name in _HOLD},
        )
        for row in rows
    ]
    return apart.pieces(_encode(small))


_HOLD = ("fields", "carried", "void", "restore", "sent")


class _Apart:
    """Large texts on their way out, and what stands for them in what is encoded without them."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def without(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {name: value if value is None else self.small(value) for name, value in values.items()}

    def small(self, text: str) -> str:
        if len(text) <= LARGE:
            return text
        self._texts.append(text)
        return f"{_MARK}{len(self._texts) - 1}"

    def pieces(self, encoded: bytes) -> Iterator[bytes]:
        at = 0
        for found in _ENCODED_MARK.finditer(encoded):
            yield from copied(encoded[at : found.start() + 1])
            text = self._texts[int(found[1])]
            for start in range(0, len(text), PIECE):
                yield from copied(_encode(text[start : start + PIECE])[1:-1])
            at = found.end() - 1
        yield from copied(encoded[at:])


# --- read ----------------------------------------------------------------------------------------------------------


class Texts:
    """Large texts that are at hand already, so that no second one is made. `at_hand` is asked for only if needed."""

    def __init__(self, at_hand: Iterable[str] = ()) -> None:
        self._at_hand: Iterable[str] | None = at_hand
        self._known: dict[bytes, str] = {}

    def one(self, encoded: bytearray) -> str:
        """The text with these bytes of UTF-8."""
        if self._at_hand is not None:
            for each in self._at_hand:
                self._known.setdefault(_digest(each), each)
            self._at_hand = None
        digest = sha256(encoded).digest()
        text = self._known.get(digest)
        if text is None:
            text = self._known[digest] = encoded.decode()
        return text


class Arriving:
    """JSON that arrives in pieces: small texts as they are, large ones apart."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._found: list[str] = []
        self._json = bytearray()
        self._rest = b""
        self._text: bytearray | None = None
        """What there is so far of a text, as it reads; None: between texts."""

    def take(self, piece: bytes) -> None:
        data, self._rest, at = self._rest + piece, b"", 0
        while at < len(data):
            if self._text is None:
                quote = data.find(b'"', at)
                end = len(data) if quote < 0 else quote
                self._json += data[at:end]
                at = end + 1
                self._text = None if quote < 0 else bytearray()
                continue
            quote = _ending(data, at)
            end = quote if quote >= 0 else _whole(data, at)
            self._text += _unescaped(data[at:end])
            if quote < 0:
                self._rest = data[end:]
                return
            self._ended(self._text)
            self._text, at = None, quote + 1

    def _ended(self, text: bytearray) -> None:
        if len(text) <= LARGE:
            self._json += _encode(text.decode())
            return
        self._found.append(self._texts.one(text))
        self._json += _encode(f"{_MARK}{len(self._found) - 1}")

    def values(self) -> dict[str, Value]:
        return self._whole(_decode_golden(bytes(self._json)))

    def rows(self) -> list[Contribution]:
        rows = _decode_rows(bytes(self._json))
        for row in rows:
            for name in _HOLD:
                self._whole(getattr(row, name))
            if row.order:
                row.order = tuple(None if each is None else self._text_of(each) for each in row.order)
        return rows

    def _whole(self, values: dict[str, Value]) -> dict[str, Value]:
        for name, value in values.items():
            if value is not None:
                values[name] = self._text_of(value)
        return values

    def _text_of(self, text: str) -> str:
        return self._found[int(text[len(_MARK) :])] if text.startswith(_MARK) else text


def _ending(data: bytes, start: int) -> int:
    """Where the quote stands that ends a text; -1 if that is yet to come."""
    quote = data.find(b'"', start)
    for _ in range(_FEW):
        if quote < 0 or _backslashes(data, start, quote) % 2 == 0:
            return quote
        quote = data.find(b'"', quote + 1)
    plain = data[start:].replace(b"\\\\", b"..").replace(b'\\"', b"..")
    quote = plain.find(b'"')
    return quote if quote < 0 else start + quote


def _backslashes(data: bytes, start: int, end: int) -> int:
    """How many stand right before `end`."""
    at = end
    while at > start and data[at - 1] == _BACKSLASH:
        at -= 1
    return end - at


def _whole(data: bytes, start: int) -> int:
    """How far a text can be read that goes on in the next piece: no escape and no character is cut in two."""
    end = len(data)
    last = data.rfind(b"\\", max(start, end - 5))
    if (
        last >= 0
        and _backslashes(data, start, last + 1) % 2
        and end - last < (6 if data[last + 1 : last + 2] == b"u" else 2)
    ):
        return last
    for back in range(1, min(3, end - start) + 1):
        byte = data[end - back]
        if byte >= _LEADS:
            return end - back if back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else end
        if byte < _FOLLOWS:
            return end
    return end


def _unescaped(run: bytes) -> bytes:
    return _decode_text(b'"' + run + b'"').encode() if b"\\" in run else run


_FEW = 64
"""Escaped quotes in a text from which on all of them are taken out at once to find the one that ends it."""
_BACKSLASH, _FOLLOWS, _LEADS = ord("\\"), 0x80, 0xC0
"""The last two: bytes of UTF-8 from these on go on with a character, and begin one."""


def _digest(text: str) -> bytes:
    digest = sha256()
    for start in range(0, len(text), PIECE):
        digest.update(text[start : start + PIECE].encode())
    return digest.digest()
