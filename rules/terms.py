"""The typed pieces that expressions are compiled from: PostgreSQL's rules for types, nulls and logic.

String literals and NULL have no type of their own ("literal") until their surroundings give them one. UNKNOWN goes
through every operation like a null that may yet turn out to be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from fieldwarden.rules import scalars
from fieldwarden.rules.errors import ValueRefused
from fieldwarden.rules.values import UNKNOWN, RawValue

Row: TypeAlias = Sequence[RawValue]
Run: TypeAlias = Callable[[Row], Any]

INTEGERS = ("int4", "int8")
NUMBERS = ("int4", "int8", "numeric")
ORDERED = (*NUMBERS, "boolean", "date", "timestamp", "timestamptz", "uuid")


@dataclass(frozen=True, slots=True)
class Term:
    """One compiled node. `literal` is the text of a string literal (None: NULL) of type "literal"."""

    type: str
    run: Run
    literal: str | None = None


def constant(value: Any) -> Run:
    return lambda _: value


def strict(function: Callable[..., Any], runs: Sequence[Run]) -> Run:
    """Null where any argument is null, else UNKNOWN where any is UNKNOWN, else the function's value."""
    if len(runs) == 1:
        (only,) = runs

        def one(row: Row) -> Any:
            value = only(row)
            return value if value is None or value is UNKNOWN else function(value)

        return one

    def several(row: Row) -> Any:
        values = [run(row) for run in runs]
        if None in values:
            return None
        if UNKNOWN in values:
            return UNKNOWN
        return function(*values)

    return several


def common_type(terms: Sequence[Term]) -> str:
    """The one type of coalesce, case, greatest and in."""
    kinds = list(dict.fromkeys(term.type for term in terms if term.type != "literal"))
    if not kinds:
        return "text"
    for family in (NUMBERS, ("date", "timestamp")):
        if all(kind in family for kind in kinds):
            return max(kinds, key=family.index)
    if len(kinds) > 1:
        raise ValueError(f"{spoken(kinds[0])} and {spoken(kinds[1])} do not go together: cast one of them")
    return kinds[0]


def comparable(left: Term, right: Term, *, ordered: bool) -> str:
    """The type in which two terms are compared."""
    kind = common_type([left, right])
    if ordered and kind == "text":
        raise ValueError("text can be compared with = and <> only: its order depends on the database's collation")
    if kind not in (*ORDERED, "text"):
        raise ValueError(f"{spoken(kind)} cannot be compared")
    return kind


def coerced(term: Term, kind: str) -> Term:
    """The term as PostgreSQL's implicit casts make it. Raises ValueError where there is none."""
    if term.type == kind:
        return term
    if term.type == "literal":
        return _typed_literal(term, kind)
    if term.type == "int8" and kind == "int4":  # a column's width is not known; positions fit in any
        return term
    cast = scalars.IMPLICIT.get((term.type, kind))
    if cast is None:
        raise ValueError(f"{spoken(kind)} is needed where {spoken(term.type)} stands: cast it")
    return Term(kind, strict(cast, [term.run]))


def _typed_literal(term: Term, kind: str) -> Term:
    if term.literal is None:
        return Term(kind, term.run)
    if kind in ("json", "float", "other"):
        raise ValueError(f"a literal cannot be read as {kind}")
    try:
        value = scalars.READ[kind](term.literal) if kind in scalars.READ else term.literal
    except ValueRefused:
        raise ValueError(f"{term.literal!r} is not a valid {spoken(kind)}") from None
    return Term(kind, constant(value))


def logical(runs: Sequence[Run], decisive: bool) -> Run:
    """AND (decisive False) or OR (decisive True) in three-valued logic, with UNKNOWN as a fourth."""

    def run(row: Row) -> Any:
        null = unknown = False
        for each in runs:
            value = each(row)
            if value is decisive:
                return decisive
            null = null or value is None
            unknown = unknown or value is UNKNOWN
        return UNKNOWN if unknown else None if null else not decisive

    return run


def spoken(kind: str) -> str:
    return _NAMES.get(kind, kind)


_NAMES = {"int4": "integer", "int8": "integer", "literal": "a literal"}
