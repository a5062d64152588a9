"""The SQL scalar expressions of system files: parsed by sqlglot, allow-listed, compiled to closures.

An expression means what PostgreSQL makes of it. What cannot be computed outside PostgreSQL exactly as inside
(ordering of text, which depends on the database's collation; time zones of the session; the clock) is not on the
list, so that the stream (closures) and bulk work (`Expression.sql`) can never disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from rules.errors import ValueRefused
from rules.values import RawValue

COLUMN_TYPES = (
    "text",
    "integer",
    "numeric",
    "boolean",
    "date",
    "timestamp",
    "timestamptz",
    "uuid",
    "json",
    "float",
    "other",
)

FUNCTIONS = (
    "coalesce, nullif, upper, lower, trim, btrim, ltrim, rtrim, concat, substring, left, right, replace, split_part, "
    "length, abs, round, greatest, least, cast"
)
OPERATORS = "|| + - * / = <> < <= > >= and or not, is [not] null|true|false, [not] in, between, [i]like, case"
CASTS = "text, integer, bigint, numeric, numeric(p,s), boolean, date, timestamp, timestamptz"

MAX_LENGTH = 2_000
MAX_DEPTH = 40
MAX_NODES = 400

_ALLOWED: dict[type[exp.Expression], frozenset[str]] = {
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
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_OPERATORS = (exp.Binary, exp.Not, exp.Neg, exp.Is, exp.In, exp.Between)


@dataclass(frozen=True)
class Expression:
    """A checked expression. `columns` are the columns it reads; equal text means equal expression."""

    text: str
    columns: frozenset[str]
    tree: exp.Expression = field(compare=False, repr=False)

    @property
    def bare_column(self) -> str | None:
        """The column's name, where the expression is nothing but one column."""
        return self.tree.name if isinstance(self.tree, exp.Column) else None

    def bind(self, columns: Sequence[str], types: Sequence[str]) -> Callable[[Sequence[RawValue]], RawValue]:
        """Compile for rows of this shape. The closure gives the result as text, None for null, UNKNOWN where the
        answer depends on a value that the row does not carry; raises ValueRefused on bad data.

        `types` are COLUMN_TYPES, aligned with `columns`. Integers are computed as bigint. Raises ValueError
        where a column is missing or a type does not fit."""
        places = {name: index for index, name in enumerate(columns)}
        missing = sorted(self.columns - places.keys())
        if missing:
            raise ValueError(f"column {missing[0]!r} does not exist")
        if self.bare_column is not None:
            return itemgetter(places[self.bare_column])
        from rules.compiling import compile_text

        return compile_text(self.tree, {name: (places[name], types[places[name]]) for name in self.columns})

    def sql(self, alias: str) -> str:
        """The same expression as PostgreSQL text, columns qualified by `alias`."""
        return _qualified(self.tree, alias).sql("postgres", comments=False)


def column(name: str) -> Expression:
    """The bare column of this name, spelled exactly as in the table."""
    return Expression(name, frozenset({name}), exp.column(exp.to_identifier(name, quoted=True)))


def parse(text: str) -> Expression:
    """Raises ValueError saying what is not allowed and what is."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the expression is longer than {MAX_LENGTH:,} characters")
    try:
        tree = sqlglot.parse_one(text, dialect="postgres", into=exp.Condition)
        _check(tree)
    except SqlglotError:
        raise ValueError(f"{text!r} is not a PostgreSQL scalar expression") from None
    except RecursionError:
        raise ValueError("the expression is nested too deeply") from None
    for node in tree.find_all(exp.Identifier):
        if not node.args.get("quoted"):
            node.set("this", node.name.lower())
    return Expression(text.strip(), frozenset(node.name for node in tree.find_all(exp.Column)), tree)


def _check(tree: exp.Expression) -> None:
    pending = [(tree, 1)]
    count = 0
    while pending:
        node, depth = pending.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise ValueError("the expression is nested too deeply or has too many parts")
        _check_node(node)
        pending.extend((child, depth + 1) for child in node.iter_expressions())


def _check_node(node: exp.Expression) -> None:
    arguments = _ALLOWED.get(type(node))
    if isinstance(node, exp.Column) and node.table:
        raise ValueError(f"column {node.name!r} is qualified; an expression sees the columns of its own row only")
    if arguments is None or any(value and name not in arguments for name, value in node.args.items()):
        raise ValueError(
            f"{_spoken(node)} is not allowed in an expression; allowed are the functions {FUNCTIONS}, "
            f"the operators {OPERATORS}, and casts to {CASTS}"
        )
    if isinstance(node, _COMPARISONS) and any(isinstance(side, _COMPARISONS) for side in node.iter_expressions()):
        raise ValueError("a comparison of a comparison needs parentheses")


def _spoken(node: exp.Expression) -> str:
    if isinstance(node, exp.Anonymous):
        return f"{node.name.lower()}()"
    if isinstance(node, exp.Func):
        return f"{node.sql_name().lower()}()"
    try:
        return repr(node.sql("postgres", comments=False))
    except SqlglotError:
        return type(node).__name__.lower()


def _qualified(tree: exp.Expression, alias: str) -> exp.Expression:
    """A copy with columns qualified and every inner operation in parentheses, so that no precedence is assumed."""

    def step(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column):
            return exp.column(exp.to_identifier(node.name, quoted=True), table=exp.to_identifier(alias, quoted=True))
        return node

    copy = tree.copy().transform(step)
    for node in list(copy.find_all(*_OPERATORS)):
        if node.parent is not None and isinstance(node.parent, _OPERATORS):
            node.replace(exp.Paren(this=node.copy()))
    return copy


__all__ = ["COLUMN_TYPES", "Expression", "ValueRefused", "column", "parse"]
