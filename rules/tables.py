"""Streams that read one table: whether a row can be in two of them, as far as their `where` alone can tell.

A `where` is taken apart into the conditions that all must hold. Of those only plain ones are understood: a column that
is one of some constants, that is null, or that is true. Whatever else stands there may hold together with anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Literal

from sqlglot import exp

from fieldwarden.rules.expressions import Expression

Overlap = Literal["never", "always", "perhaps"]
_NULL = ("null", "")
_BOOLEANS = frozenset({"t", "f", "true", "false", "y", "n", "yes", "no", "on", "off"})
Value = tuple[str, str]


def overlap(one: Expression | None, other: Expression | None) -> Overlap:
    """Whether a row can be in both of two streams of one table, by their `where`.

    "never": some column would have to hold two values at once. "always": every row of one is in the other. "perhaps":
    only a row can tell."""
    first, second = _conditions(one), _conditions(other)
    known, also = _constants(first), _constants(second)
    if any(_apart(known[name], also[name]) for name in known.keys() & also.keys()):
        return "never"
    texts, more = _texts(first), _texts(second)
    return "always" if texts <= more or more <= texts else "perhaps"


def constants(where: Expression | None) -> dict[str, frozenset[Value]]:
    """By column, the values (see `constant`) that it must hold one of where the condition is true."""
    return _constants(_conditions(where))


def constant(text: str) -> Value | None:
    """A constant, so that two are equal here if any type of column might take them for equal; None where that cannot be
    told of its text alone (a boolean, a date)."""
    try:
        return "number", str(Decimal(text).normalize())
    except InvalidOperation:
        folded = text.strip().casefold()
        return None if folded in _BOOLEANS or not folded[:1].isalpha() else ("text", folded)


def _apart(some: frozenset[Value], others: frozenset[Value]) -> bool:
    """Whether no value of one can be one of the other: a number and a text may be the same."""
    return all(one != other and (one[0] == other[0] or _NULL in (one, other)) for one in some for other in others)


def _conditions(where: Expression | None) -> list[exp.Expr]:
    return [] if where is None else list(_split(where.tree))


def _split(tree: exp.Expr) -> Iterator[exp.Expr]:
    tree = tree.unnest()
    if isinstance(tree, exp.And):
        yield from _split(tree.this)
        yield from _split(tree.expression)
    else:
        yield tree


def _texts(conditions: list[exp.Expr]) -> set[str]:
    return {condition.sql("postgres", comments=False) for condition in conditions}


def _constants(conditions: list[exp.Expr]) -> dict[str, frozenset[Value]]:
    found: dict[str, frozenset[Value]] = {}
    for condition in conditions:
        told = _told(condition)
        if told is not None:
            name, values = told
            found[name] = found[name] & values if name in found else values
    return found


def _told(condition: exp.Expr) -> tuple[str, frozenset[Value]] | None:
    """The column that a plain condition speaks of, and the values that fulfil it."""
    match condition:
        case exp.Column():
            return condition.name, frozenset([("boolean", "true")])
        case exp.Not():
            inner = condition.this.unnest()
            return (inner.name, frozenset([("boolean", "false")])) if isinstance(inner, exp.Column) else None
        case exp.Is():
            name = _column(condition.this)
            return (name, frozenset([_NULL])) if name and isinstance(condition.expression, exp.Null) else None
        case exp.EQ():
            return _equal(condition.this, condition.expression) or _equal(condition.expression, condition.this)
        case exp.In():
            name, values = _column(condition.this), [_value(each) for each in condition.expressions]
            if not name or not values or None in values:
                return None
            return name, frozenset(value for value in values if value is not None)
    return None


def _equal(side: exp.Expr, other: exp.Expr) -> tuple[str, frozenset[Value]] | None:
    name, value = _column(side), _value(other)
    return (name, frozenset([value])) if name and value else None


def _column(node: exp.Expr) -> str:
    node = node.unnest()
    return node.name if isinstance(node, exp.Column) else ""


def _value(node: exp.Expr) -> Value | None:
    node = node.unnest()
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return constant(f"-{node.this.name}")
    if isinstance(node, exp.Literal):
        return constant(node.name)
    if isinstance(node, exp.Boolean):
        return "boolean", "true" if node.this else "false"
    return None
