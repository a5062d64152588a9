"""The SQL scalar expressions of system files: parsed by sqlglot, allow-listed, compiled to closures.

An expression means what PostgreSQL makes of it. What cannot be computed outside PostgreSQL exactly as inside
(ordering of text, which depends on the database's collation; time zones of the session; the clock) is not on the
list, so that the stream (closures) and bulk work (`Expression.sql`) can never disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError
from sqlglot.parsers.postgres import PostgresParser

from fieldwarden.rules.allowed import check_node
from fieldwarden.rules.compiling import compile_text
from fieldwarden.rules.values import RawValue

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

MAX_LENGTH = 2_000
MAX_DEPTH = 40
MAX_NODES = 400

_STEPS = 30
"""From token to token, forwards and back, that the parser may make for each token; ordinary expressions take two."""

_POSTGRES = Postgres()
_OPERATORS = (exp.Binary, exp.Not, exp.Neg, exp.Is, exp.In, exp.Between, exp.AtTimeZone)


@dataclass(frozen=True)
class Expression:
    """A checked expression. `columns` are the columns it reads; equal text means equal expression."""

    text: str
    columns: frozenset[str]
    tree: exp.Expr = field(compare=False, repr=False)

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
        bare = self.bare_column
        if bare is not None and types[places[bare]] != "boolean":  # which must read true or false, not t or f
            return itemgetter(places[bare])
        return compile_text(self.tree, {name: (places[name], types[places[name]]) for name in self.columns})

    def amiss(self) -> str | None:
        """In words, what of it is not on the allow-list; None of all that `parse`, `column` and `now` give. For whoever
        is about to send it and trusts nobody who may have made it."""
        if is_now(self):
            return None
        try:
            _check(self.tree)
        except ValueError as error:
            return str(error)
        return None

    def sql(self, alias: str) -> str:
        """The same expression as PostgreSQL text, columns qualified by `alias`."""
        return self.over(lambda name: _of(alias, name)).sql("postgres", comments=False)

    def condition(self, dialect: Literal["postgres", "mysql"] = "postgres") -> str:
        """The same expression as text that somebody else puts behind WHERE, for a query over one table.

        Raises ValueError where that database cannot say it, or might read a string's backslash as more than that."""
        tree = self.over(lambda name: exp.column(exp.to_identifier(name, quoted=True)))
        if any("\\" in node.name for node in tree.find_all(exp.Literal)):
            raise ValueError("a backslash is not allowed in a condition that another program sends")
        try:
            return tree.sql(dialect, comments=False, unsupported_level=ErrorLevel.RAISE)
        except SqlglotError as error:
            raise ValueError(f"{dialect} cannot be asked that: {error}") from None

    def over(self, value: Callable[[str], exp.Expr]) -> exp.Expr:
        """A copy in which each column is what `value` gives for its name."""
        return _replaced(self.tree, value)


def column(name: str) -> Expression:
    """The bare column of this name, spelled exactly as in the table."""
    return Expression(name, frozenset({name}), exp.column(exp.to_identifier(name, quoted=True)))


def parse(text: str) -> Expression:
    """Raises ValueError saying what is not allowed and what is."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the expression is longer than {MAX_LENGTH:,} characters")
    try:
        tree = _parsed(text)
        _check(tree)
    except SqlglotError:
        raise ValueError(f"{text!r} is not a PostgreSQL scalar expression") from None
    except RecursionError:
        raise ValueError("the expression is nested too deeply") from None
    for node in tree.find_all(exp.Identifier):
        if not node.args.get("quoted"):
            node.set("this", node.name.lower())
    return Expression(text.strip(), frozenset(node.name for node in tree.find_all(exp.Column)), tree)


def now() -> Expression:
    """The time of the write: for what is written only, since a stream cannot compute it again."""
    return Expression("now()", frozenset(), exp.CurrentTimestamp())


class _Parser(PostgresParser):
    """sqlglot's, with an end: it tries several ways at each bracket and at each word that may begin a call or a type,
    so that a dozen of them inside each other would keep it busy for minutes."""

    left = 0

    def _advance(self, times: int = 1) -> None:
        self.left -= 1
        if self.left < 0:
            raise RecursionError("too many ways to read it")
        super()._advance(times)


def _parsed(text: str) -> exp.Expr:
    """Raises SqlglotError, RecursionError."""
    tokens = _POSTGRES.tokenize(text)
    parser = _Parser(dialect=_POSTGRES)
    parser.left = _STEPS * (len(tokens) + 1)
    match parser.parse_into(exp.Condition, tokens, text):
        case [exp.Expr() as tree]:
            return tree
    raise ParseError("it is no single expression")


def is_now(expression: Expression) -> bool:
    """Whether it is the time of the write, and nothing else."""
    return isinstance(expression.tree, exp.CurrentTimestamp) and not any(expression.tree.args.values())


def _check(tree: exp.Expr) -> None:
    pending = [(tree, 1)]
    count = 0
    while pending:
        node, depth = pending.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise ValueError("the expression is nested too deeply or has too many parts")
        check_node(node)
        pending.extend((child, depth + 1) for child in node.iter_expressions())


def _of(alias: str, name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(alias, quoted=True))


def _replaced(tree: exp.Expr, value: Callable[[str], exp.Expr]) -> exp.Expr:
    """A copy with columns replaced and every inner operation in parentheses, so that no precedence is assumed."""

    def step(node: exp.Expr) -> exp.Expr:
        return value(node.name) if isinstance(node, exp.Column) else node

    copy = tree.copy().transform(step)
    for node in list(copy.find_all(*_OPERATORS)):
        if node.parent is not None and isinstance(node.parent, _OPERATORS):
            around = exp.Paren()
            node.replace(around)
            around.set("this", node)
    return copy


__all__ = ["COLUMN_TYPES", "Expression", "column", "is_now", "now", "parse"]
