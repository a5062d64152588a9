r"""A row of COPY's text format, read: its columns are texts, or None. A large one is read where it lies, in pieces.

Source: PostgreSQL documentation, "COPY", "Text Format" (the server writes no other escapes than \b \f \n \r \t \v \\).
"""

from __future__ import annotations

import re

from fieldwarden.engine.record import LARGE

_PIECE = 1 << 20
_TAB, _BACKSLASH, _ESCAPED = re.compile(rb"\t"), re.compile(rb"\\"), re.compile(r"\\(.)", re.DOTALL)
_MEANING = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def row_values(row: bytes | bytearray | memoryview) -> list[str | None]:
    """The values of one row as it came, its line's end included."""
    if len(row) <= LARGE:
        text = str(row, "utf-8")
        columns = text[:-1].split("\t")
        if "\\" not in text:
            return list[str | None](columns)
        return [None if column == "\\N" else _unescaped(column) for column in columns]
    view = memoryview(row)[:-1]
    start, values = 0, []
    for end in [*(found.start() for found in _TAB.finditer(view)), len(view)]:
        values.append(_large(view[start:end]))
        start = end + 1
    return values


def _large(column: memoryview) -> str | None:
    if _BACKSLASH.search(column) is None:
        return str(column, "utf-8")
    if len(column) == 2 and bytes(column) == b"\\N":
        return None
    text, at = "", 0
    while at < len(column):
        end = _cut(column, at, at + _PIECE)
        text += _unescaped(str(column[at:end], "utf-8"))  # nobody else holds it, so that it grows where it is
        at = end
    return text


def _cut(column: memoryview, at: int, end: int) -> int:
    """Where to cut what begins at `at`, at `end` or soon after, so that no character and no escape is cut in two."""
    if end >= len(column):
        return len(column)
    while end < len(column) and column[end] & 0xC0 == 0x80:
        end += 1
    before = end
    while before > at and column[before - 1] == 0x5C:
        before -= 1
    return end + (end - before) % 2


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(_meant, text) if "\\" in text else text


def _meant(escape: re.Match[str]) -> str:
    return _MEANING.get(escape[1], escape[1])
