"""Why a row may not be written, in the words that a statement answers with. None holds a row's value."""

from __future__ import annotations

from collections.abc import Sequence

KEPT = "the target kept the row although it accepted the delete: a trigger or rule of its own prevents deleting"


def misfit(field: str, column: str, kind: str) -> str:
    """It begins with the field, by which `writing` finds it again."""
    return f"{field}: the column {column} is {kind} and cannot hold the value exactly"


def outside(stream: str) -> str:
    return f"the row would not be one of {stream}: `where` does not hold for what it would be created with"


def stranger(stream: str, unique: Sequence[str], *, child: bool) -> str:
    other = " or that is another parent's" if child else ""
    return f"a row with this {', '.join(unique)} is there, which `where` of {stream} leaves out{other}"
