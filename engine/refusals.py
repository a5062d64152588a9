"""Fields that a target refuses: told apart from the others of their record, and remembered with the value refused.

A refused value is not tried again until the golden value is another or a person asks for it; the other fields of the
record go on meanwhile. What is remembered stands beside what the last attempt met, in the delivery's own row, and
holds no value: only a hash of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from engine.change import Value

Place = tuple[str, str]
"""A stream and a field."""


class Refusal(NamedTuple):
    value: str
    """A hash of the value that was refused."""
    reason: str


Refusals = Mapping[Place, Refusal]
_MARK = "|"
_Lines = list[tuple[str, str, str, str]]


def refusal(value: Value, reason: str) -> Refusal:
    return Refusal(_hash(value), reason)


def remembered(result: str) -> tuple[str, dict[Place, Refusal]]:
    """What an attempt left behind (`joined`): what it met, and the refusals."""
    met, mark, text = result.partition(_MARK)
    if not mark:
        return met, {}
    return met, {(stream, name): Refusal(*rest) for stream, name, *rest in msgspec.json.decode(text, type=_Lines)}


def joined(met: str, refusals: Refusals) -> str:
    if not refusals:
        return met
    lines = sorted((*place, *refusal) for place, refusal in refusals.items())
    return f"{met}{_MARK}{msgspec.json.encode(lines).decode()}"


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
