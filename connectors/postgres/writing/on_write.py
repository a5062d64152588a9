"""What a write sets beside the fields: the application's own columns (`on_write:` of a stream).

They are part of statements that write something anyway, and never a reason for one: no statement asks whether they
differ. An expression sees the row as the write leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlglot import exp

from fieldwarden.connectors.postgres.writing.shapes import TargetTable, cast, column
from fieldwarden.rules.expressions import Expression
from fieldwarden.rules.rulebook import Stream

_LOCAL = ("timestamp without time zone", "time without time zone", "date")


def updated(stream: Stream, shape: TargetTable, assigned: Mapping[str, exp.Expr]) -> dict[str, exp.Expr]:
    """Column -> what an update sets it to; `assigned` are the columns that it writes, with their new values."""
    return _values(stream, shape, lambda name: assigned[name].copy() if name in assigned else column(name))


def created(stream: Stream, shape: TargetTable, values: Mapping[str, exp.Expr]) -> dict[str, exp.Expr]:
    """Column -> what a created row gets; a column that nothing sets is null to an expression, whatever its default."""

    def value(name: str) -> exp.Expr:
        return values[name].copy() if name in values else cast(exp.null(), shape.columns[name].plain)

    return _values(stream, shape, value)


def _values(stream: Stream, shape: TargetTable, value: Callable[[str], exp.Expr]) -> dict[str, exp.Expr]:
    return {name: _value(stream, shape, name, each, value) for name, each in stream.on_write.items()}


def _value(
    stream: Stream, shape: TargetTable, name: str, expression: Expression, value: Callable[[str], exp.Expr]
) -> exp.Expr:
    kind = shape.columns[name].plain
    tree = expression.over(value)
    if isinstance(tree, exp.CurrentTimestamp) and kind in _LOCAL:  # else it would be the session's local time
        zone = "UTC" if stream.zone is None else stream.zone.key
        tree = exp.AtTimeZone(this=tree, zone=exp.Literal.string(zone))
    return cast(exp.Paren(this=tree), kind)
