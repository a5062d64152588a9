"""What an expression may be made of, before anything is known of the columns' types: its allow-list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from fieldwarden.rules import numerics, scalars, texts
from fieldwarden.rules.errors import ValueRefused
from fieldwarden.rules.zones import zone

FUNCTIONS = (
    "coalesce, nullif, upper, lower, trim, btrim, ltrim, rtrim, concat, substring, left, right, replace, split_part, "
    "length, abs, round, greatest, least, cast"
)
OPERATORS = (
    "|| + - * / = <> < <= > >= and or not, is [not] null|true|false, [not] in, between, [i]like, case, at time zone"
)
CAST_NAMES = "text, integer, bigint, numeric, numeric(p,s), boolean, date, timestamp, timestamptz"

ARGUMENTS: Mapping[type[exp.Expr], frozenset[str]] = {
    kind: frozenset(arguments.split())
    for kind, arguments in {
        exp.Column: "this",
        exp.Identifier: "this quoted",
        exp.Literal: "this is_string",
        exp.Null: "",
        exp.Boolean: "this",
        exp.Paren: "this",
        exp.Coalesce: "this expressions",
        exp.Nullif: "this expression",
        exp.Upper: "this",
        exp.Lower: "this",
        exp.Trim: "this expression position",
        exp.Concat: "expressions safe coalesce",
        exp.DPipe: "this expression safe",
        exp.Substring: "this start length",
        exp.Left: "this expression",
        exp.Right: "this expression",
        exp.Replace: "this expression replacement",
        exp.SplitPart: "this delimiter part_index",
        exp.Length: "this",
        exp.Abs: "this",
        exp.Round: "this decimals",
        exp.Greatest: "this expressions ignore_nulls",
        exp.Least: "this expressions ignore_nulls",
        exp.Cast: "this to",
        exp.DataType: "this expressions nested",
        exp.DataTypeParam: "this",
        exp.Case: "this ifs default",
        exp.If: "this true",
        exp.AtTimeZone: "this zone",
        exp.Not: "this",
        exp.Neg: "this",
        exp.And: "this expression",
        exp.Or: "this expression",
        exp.Is: "this expression negate",
        exp.In: "this expressions",
        exp.Between: "this low high",
        exp.Like: "this expression negate",
        exp.ILike: "this expression negate",
        exp.Add: "this expression",
        exp.Sub: "this expression",
        exp.Mul: "this expression",
        exp.Div: "this expression typed safe",
        exp.EQ: "this expression",
        exp.NEQ: "this expression",
        exp.LT: "this expression",
        exp.LTE: "this expression",
        exp.GT: "this expression",
        exp.GTE: "this expression",
    }.items()
}
"""What an expression is made of: the kind of a node, and what may hang at it."""
_PARTS: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.DataType: exp.Cast,
    exp.DataTypeParam: exp.DataType,
    exp.If: exp.Case,
    exp.Identifier: exp.Column,
}
"""What is a part of something else, and no value by itself."""
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def check_node(node: exp.Expr) -> None:
    arguments = ARGUMENTS.get(type(node))
    if isinstance(node, exp.Column) and node.table:
        raise ValueError(f"column {node.name!r} is qualified; an expression sees the columns of its own row only")
    whole = _PARTS.get(type(node))
    misplaced = whole is not None and not isinstance(node.parent, whole)
    if arguments is None or misplaced or any(value and name not in arguments for name, value in node.args.items()):
        raise ValueError(
            f"{_spoken(node)} is not allowed in an expression; allowed are the functions {FUNCTIONS}, "
            f"the operators {OPERATORS}, and casts to {CAST_NAMES}"
        )
    _check_form(node)
    if isinstance(node, _COMPARISONS) and any(isinstance(side, _COMPARISONS) for side in node.iter_expressions()):
        raise ValueError("a comparison of a comparison needs parentheses")


def _spoken(node: exp.Expr) -> str:
    if type(node).__name__.startswith("Current"):
        return "the clock (now(), current_date ...)"
    if isinstance(node, exp.Anonymous):
        return f"{node.name.lower()}()"
    if isinstance(node, exp.Func):
        return f"{node.sql_name().lower()}()"
    try:
        return repr(node.sql("postgres", comments=False))
    except SqlglotError:
        return type(node).__name__.lower()


def _check_form(node: exp.Expr) -> None:
    """What an operation asks of its operands' form, whatever the columns' types. Raises ValueError."""
    if isinstance(node, exp.Cast):
        cast_target(node.args["to"])
    elif isinstance(node, exp.Is) and not isinstance(node.expression, exp.Null | exp.Boolean):
        raise ValueError("IS goes with NULL, TRUE or FALSE")
    elif isinstance(node, exp.Like | exp.ILike):
        if not is_string(node.expression):
            raise ValueError("the pattern of LIKE must be a string in quotes")
        texts.like(node.expression.name, ignore_case=False)
    elif isinstance(node, exp.Substring) and (node.args.get("start") is None or is_string(node.args["start"])):
        raise ValueError("substring goes with a start (and a length), both numbers")
    elif isinstance(node, exp.Replace) and node.args.get("replacement") is None:
        raise ValueError("replace goes with what to replace and what to put there")
    elif isinstance(node, exp.Round) and node.args.get("decimals"):
        whole_literal(node.args["decimals"])
    elif isinstance(node, exp.AtTimeZone):
        if not is_string(node.args["zone"]):
            raise ValueError("the zone of AT TIME ZONE must be a string in quotes")
        zone(node.args["zone"].name)
    elif isinstance(node, exp.Literal) and not node.args["is_string"]:
        number_literal(node.name)


def is_string(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and bool(node.args["is_string"])


def number_literal(text: str) -> Decimal:
    try:
        number: Decimal = scalars.READ["numeric"](text)
    except ValueRefused:
        raise ValueError("a number in the expression has too many digits") from None
    return number


def cast_target(target: exp.Expr) -> tuple[str, Callable[[Any], Any] | None]:
    """(type, what limits it) of a cast's target. Raises ValueError for a type that is not on the list."""
    kind = _CASTS.get(target.this.value if hasattr(target.this, "value") else str(target.this))
    sizes = [whole_literal(parameter.this) for parameter in target.expressions]
    if kind is None or (sizes and kind != "numeric"):
        raise ValueError(f"a cast to {target.sql('postgres').lower()} is not allowed; allowed are {CAST_NAMES}")
    if not sizes:
        return kind, None
    precision, scale = sizes[0], sizes[1] if len(sizes) > 1 else 0
    if len(sizes) > 2 or not 1 <= precision <= 1000 or not 0 <= scale <= precision:
        raise ValueError("a cast to numeric(p,s) needs 1 <= p <= 1000 and 0 <= s <= p")
    return kind, numerics.limited(precision, scale)


def whole_literal(node: exp.Expr) -> int:
    negative = isinstance(node, exp.Neg)
    literal = node.this if negative else node
    if not isinstance(literal, exp.Literal) or not literal.name.isdecimal() or len(literal.name) > 3:
        raise ValueError("a number of digits must be written as a whole number")
    return -int(literal.name) if negative else int(literal.name)


_CASTS = {
    "TEXT": "text",
    "VARCHAR": "text",
    "INT": "int4",
    "BIGINT": "int8",
    "DECIMAL": "numeric",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMPTZ": "timestamptz",
}
