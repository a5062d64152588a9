"""Fields that a target refuses: told apart from the others of their record, and remembered with the value refused.

A refused value is not tried again until the golden value is another or a person asks for it; the other fields of the
record go on meanwhile. What is remembered stands beside what the last attempt met, in the delivery's own row, and
holds no value: only a hash of it. The target's own words about what it refused stand there too; they may quote the row,
and are shown only to whoever asks for values (`said`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from fieldwarden.engine.change import Value

Place = tuple[str, str]
"""A stream and a field."""


class Refusal(NamedTuple):
    value: str
    """A hash of the value that was refused."""
    reason: str


Refusals = Mapping[Place, Refusal]
_MARK = "|"
_Lines = list[tuple[str, str, str, str]]


class _Kept(msgspec.Struct):
    refused: _Lines
    said: str


_decoder = msgspec.json.Decoder(_Lines | _Kept)


def refusal(value: Value, reason: str) -> Refusal:
    return Refusal(_hash(value), reason)


def remembered(result: str) -> tuple[str, dict[Place, Refusal]]:
    """What an attempt left behind (`joined`): what it met, and the refusals."""
    met, mark, text = result.partition(_MARK)
    if not mark:
        return met, {}
    kept = _decoder.decode(text)
    lines = kept.refused if isinstance(kept, _Kept) else kept
    return met, {(stream, name): Refusal(*rest) for stream, name, *rest in lines}


def said(result: str) -> str:
    """The target's own words that an attempt left behind; "" where it said nothing."""
    _, mark, text = result.partition(_MARK)
    kept = _decoder.decode(text) if mark else None
    return kept.said if isinstance(kept, _Kept) else ""


def joined(met: str, refusals: Refusals, said: str = "") -> str:
    if not refusals and not said:
        return met
    lines = sorted((*place, *refusal) for place, refusal in refusals.items())
    return f"{met}{_MARK}{msgspec.json.encode(_Kept(lines, said) if said else lines).decode()}"


def still_refused(
    refusals: Refusals, stream: str, values: Mapping[str, Value], blocks: tuple[tuple[str, ...], ...]
) -> set[str]:
    """Those of a write's fields that were refused with these very values, with the whole of their block."""
    same = {name for name, value in values.items() if _is_same(refusals.get((stream, name)), value)}
    for block in blocks:
        if not same.issuperset(block):
            same.difference_update(block)
    return same


def told(refusals: Refusals) -> str:
    """For people."""
    reasons = [f"{name}: {refusal.reason}" for (_, name), refusal in sorted(refusals.items())]
    return "not delivered, while the other fields are: " + "; ".join(reasons)


def _is_same(refusal: Refusal | None, value: Value) -> bool:
    return refusal is not None and refusal.value == _hash(value)


def _hash(value: Value) -> str:
    return hashlib.sha256(repr(value).encode(errors="backslashreplace")).hexdigest()[:16]
