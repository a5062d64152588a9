"""PostgreSQL's text functions, letter for letter."""

from __future__ import annotations

import re
from collections.abc import Callable

from fieldwarden.rules.errors import ValueRefused

MAX_TEXT = 16_000_000


def upper(text: str) -> str:
    """Unicode simple upper case, letter by letter, as PostgreSQL has it in a UTF-8 locale ("ß" stays)."""
    return text.upper() if text.isascii() else "".join(map(_upper_letter, text))


def lower(text: str) -> str:
    return text.lower() if text.isascii() else "".join(map(_lower_letter, text))


def _upper_letter(letter: str) -> str:
    full = letter.upper()
    if len(full) == 1:
        return full
    title = letter.title()
    return title if len(title) == 1 else letter


def _lower_letter(letter: str) -> str:
    full = letter.lower()
    return full if len(full) == 1 else full[0]


def substring(text: str, start: int, length: int | None = None) -> str:
    if length is None:
        return text[max(start - 1, 0) :]
    if length < 0:
        raise ValueRefused("an expression takes a substring of negative length")
    return text[max(start - 1, 0) : max(start - 1 + length, 0)]


def right(text: str, count: int) -> str:
    return text[max(len(text) - count, 0) :] if count >= 0 else text[-count:]


def replace(text: str, old: str, new: str) -> str:
    if not old:
        return text
    if len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
        raise ValueRefused("an expression gives a text that is too long")
    return text.replace(old, new)


def join(*parts: str) -> str:
    if sum(map(len, parts)) > MAX_TEXT:
        raise ValueRefused("an expression gives a text that is too long")
    return "".join(parts)


def split_part(text: str, separator: str, index: int) -> str:
    if index == 0:
        raise ValueRefused("an expression asks split_part for part zero")
    if not text:
        return ""
    parts = text.split(separator) if separator else [text]
    place = index - 1 if index > 0 else len(parts) + index
    return parts[place] if 0 <= place < len(parts) else ""


def like(pattern: str, *, ignore_case: bool) -> Callable[[str], bool]:
    """The matcher of a LIKE pattern. Raises ValueError for a pattern that ends in its escape character."""
    segments = [""]
    letters = iter(lower(pattern) if ignore_case else pattern)
    for letter in letters:
        if letter == "%":
            segments.append("")
        elif letter == "\\":
            escaped = next(letters, None)
            if escaped is None:
                raise ValueError("a LIKE pattern must not end with \\")
            segments[-1] += re.escape(escaped)
        else:
            segments[-1] += "." if letter == "_" else re.escape(letter)
    match = re.compile(_segmented(segments), re.DOTALL).fullmatch
    if ignore_case:
        return lambda text: match(lower(text)) is not None
    return lambda text: match(text) is not None


def _segmented(segments: list[str]) -> str:
    """Each inner segment is taken where it first fits, for good (atomic), so that matching stays linear."""
    if len(segments) == 1:
        return segments[0]
    first, *inner, last = segments
    return first + "".join(f"(?>.*?{segment})" for segment in inner if segment) + ".*" + last
