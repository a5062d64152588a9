"""Large values on the hub's wire, piece by piece: what a record costs in memory is its values and little more.

A record's JSON holds the same value several times over: golden, the row that said it, the row it was written into.
Written, large texts are left out of the JSON and then put where they belong while it is sent. Read, they are taken out
of it while it comes, and those that are equal are one text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from fieldwarden.engine.change import Value
from fieldwarden.engine.large import MARK, PIECE, Apart
from fieldwarden.engine.record import LARGE, Contribution

Line = bytes | Iterator[bytes]
"""A row for COPY; one with a large text in pieces, which are made as they are sent."""

_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode
_decode_golden = msgspec.json.Decoder(dict[str, Value]).decode
_decode_rows = msgspec.json.Decoder(list[Contribution]).decode


# --- written -------------------------------------------------------------------------------------------------------


def copied(data: Iterable[bytes]) -> Iterator[bytes]:
    """JSON in pieces as a column of a COPY row."""
    for piece in data:
        yield piece.replace(b"\\", b"\\\\")


def copied_bytes(data: bytes) -> Iterator[bytes]:
    """The same of JSON that is in memory already."""
    return copied(data[start : start + PIECE] for start in range(0, len(data), PIECE))


def copied_values(values: Mapping[str, Value]) -> Iterator[bytes]:
    """The same of values by name, encoded on the way."""
    apart = Apart()
    return copied(apart.pieces(_encode(apart.without(values))))


def copied_rows(rows: Sequence[Contribution]) -> Iterator[bytes]:
    """The same of contributions."""
    apart = Apart()
    small = [
        msgspec.structs.replace(
            row,
            order=tuple(map(apart.small, row.order)),
            **{name: apart.without(getattr(row, name)) for name in _HOLD},
        )
        for row in rows
    ]
    return copied(apart.pieces(_encode(small)))


_HOLD = ("fields", "carried", "void", "restore", "sent", "still")


# --- read ----------------------------------------------------------------------------------------------------------


class Texts:
    """Large texts that are at hand already, so that no second one is made. `at_hand` is asked for only if needed."""

    def __init__(self, at_hand: Iterable[str] = ()) -> None:
        self._at_hand: Iterable[str] = at_hand
        self._known: list[str] = []

    def beginning(self, start: str) -> list[str]:
        """Those that begin so."""
        self._known += self._at_hand
        self._at_hand = ()
        return [text for text in self._known if text.startswith(start)]

    def add(self, text: str) -> None:
        self._known.append(text)


class _Coming:
    """A text of which there is a part so far. As long as it reads like one at hand, it takes no memory of its own."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._own = ""
        self._size = 0
        self._like: list[str] = []
        """Texts at hand that begin with all of it; then `_own` is empty."""

    def add(self, run: str) -> None:
        size, self._size = self._size, self._size + len(run)
        if self._like:
            like = [text for text in self._like if text.startswith(run, size)]
            if not like:
                self._own = self._like[0][:size]
            self._like = like
            if like:
                return
        own, self._own = self._own, ""
        own += run  # nobody else holds it, so that it grows where it is
        self._own = own
        if size <= LARGE < self._size:
            self._like = self._texts.beginning(own)
            if self._like:
                self._own = ""

    def whole(self) -> str:
        for text in self._like:
            if len(text) == self._size:
                return text
        text = self._like[0][: self._size] if self._like else self._own
        if len(text) > LARGE:
            self._texts.add(text)
        return text


class Arriving:
    """JSON that arrives in pieces: small texts as they are, large ones apart."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._found: list[str] = []
        self._json = bytearray()
        self._rest = b""
        self._text: _Coming | None = None
        """None: between texts."""

    def take(self, piece: bytes) -> None:
        data, self._rest, at = self._rest + piece, b"", 0
        while at < len(data):
            if self._text is None:
                quote = data.find(b'"', at)
                end = len(data) if quote < 0 else quote
                self._json += data[at:end]
                at = end + 1
                self._text = None if quote < 0 else _Coming(self._texts)
                continue
            quote = ending(data, at)
            end = quote if quote >= 0 else _whole(data, at)
            self._text.add(_decoded(data[at:end]))
            if quote < 0:
                self._rest = data[end:]
                return
            self._ended(self._text.whole())
            self._text, at = None, quote + 1

    def _ended(self, text: str) -> None:
        if len(text) > LARGE:
            self._found.append(text)
            text = f"{MARK}{len(self._found) - 1}"
        self._json += _encode(text)

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
        return self._found[int(text[len(MARK) :])] if text.startswith(MARK) else text


def ending(data: bytes, start: int) -> int:
    """Where the quote stands that ends a text; -1 if that is yet to come."""
    quote = data.find(b'"', start)
    for _ in range(_FEW):
        if quote < 0 or _backslashes(data, start, quote) % 2 == 0:
            return quote
        quote = data.find(b'"', quote + 1)
    # Ever longer windows, each without half an escape: no more is looked at than the text is long.
    at, size = start, _WINDOW
    while at < len(data):
        end = min(at + size, len(data))
        end += _backslashes(data, at, end) % 2
        plain = data[at:end].replace(b"\\\\", b"..").replace(b'\\"', b"..")
        quote = plain.find(b'"')
        if quote >= 0:
            return at + quote
        at, size = end, 2 * size
    return -1


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


def _decoded(run: bytes) -> str:
    return _decode_text(b'"' + run + b'"') if b"\\" in run else run.decode()


_FEW = 64
"""Escaped quotes in a text from which on all of them are taken out at once to find the one that ends it."""
_WINDOW = 1 << 12
_BACKSLASH, _FOLLOWS, _LEADS = ord("\\"), 0x80, 0xC0
"""The last two: bytes of UTF-8 from these on go on with a character, and begin one."""
