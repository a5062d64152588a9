"""Text that cannot be stored. PostgreSQL, and so the hub and every target, holds every character but NUL (U+0000);
JSON, Avro and MySQL hold that, too.

It is looked for where a record says something of a row, not in all of its bytes: a column that nobody mapped may hold
what it likes. Facts: PostgreSQL's documentation, "Character Types"; error 22P05 for `\\u0000` in JSON.
"""

from __future__ import annotations

from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.change import RawChange

_NUL = "\0"
_SHOWN = "\N{SYMBOL FOR NULL}"
_SPELLED = rb"\u0000"


def spells_nul(data: bytes) -> bool:
    """Whether a record's half may hold a NUL: JSON spells it in one way only, and Avro is full of such bytes."""
    return (b"\\" in data and _SPELLED in data) or data[:1] != b"{"


def shown(text: str) -> str:
    """Text for people, with a NUL that can be seen."""
    return text.replace(_NUL, _SHOWN)


def check_key(texts: tuple[str, ...]) -> None:
    """Raises Unreadable."""
    if any(_NUL in text for text in texts):
        raise Unreadable("a column of its key holds a NUL character, which cannot be stored")


def check_change(change: RawChange) -> None:
    """All that is stored of a change that was read. Raises Unreadable."""
    for values in (change.values, change.old_values or ()):
        for place, value in enumerate(values):
            if isinstance(value, str) and _NUL in value:
                column = change.relation.columns[place]
                raise Unreadable(f"column {column} holds a NUL character, which cannot be stored")
    if _NUL in change.transaction:
        raise Unreadable("the name of its transaction holds a NUL character, which cannot be stored")
