"""Creating a child row that nothing unique tells again: it is looked for by its parent, and by the stream's `where`.

The parent's row is locked first, in the same transaction. Whoever inserts a child row holds a lock on its parent (the
foreign key's) that this one waits for: what is looked for afterwards is there, or will not come before we commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from fieldwarden.connectors.postgres.writing import reasons
from fieldwarden.connectors.postgres.writing.shapes import INPUT, ROW, column, named_table, parsed, table
from fieldwarden.rules.rulebook import Stream

_OTHER, _PARENT = "o", "parent"


def locking(stream: Stream, source: exp.Table, among: Sequence[exp.Expr]) -> str:
    """The statement that locks the parents of the rows `among` those of `source`, in the order of their keys."""
    assert stream.parent_row is not None, "a row that is looked for has a parent"
    name, key = stream.parent_row
    held_by = [exp.EQ(this=column(part, _PARENT), expression=column(f"p{n}", INPUT)) for n, part in enumerate(key)]
    query = exp.select("1").from_(named_table(name, _PARENT)).join(source, on=exp.and_(*held_by)).where(*among)
    query = query.order_by(*(column(part, _PARENT) for part in key))
    return f'{query.sql(dialect="postgres")} FOR UPDATE OF "{_PARENT}"'


class Lookup:
    """`values` are those that a row is created with, by column."""

    def __init__(self, stream: Stream, values: Mapping[str, exp.Expr]) -> None:
        self._stream = stream
        self._values = values

    @property
    def belongs(self) -> exp.Expr:
        """Whether the row would be one of the stream's: or it would be created again and again."""
        if self._stream.where is None:
            return exp.true()
        return exp.Paren(this=self._stream.where.over(lambda name: exp.Paren(this=self._values[name].copy())))

    @property
    def stranger(self) -> tuple[exp.Expr, str] | None:
        """When, and why, neither a row is there nor one can be created."""
        stream = self._stream
        if stream.where is None:
            return None
        absent = exp.Is(this=column(stream.key[0]), expression=exp.null())
        return exp.and_(
            absent, exp.not_(exp.Paren(this=exp.Is(this=self.belongs, expression=exp.true())))
        ), reasons.outside(stream.name)

    @property
    def first(self) -> exp.Expr:
        """Of several rows that are there the first by its key answers."""
        stream = self._stream
        before: list[exp.Expr] = [
            exp.EQ(this=column(name, _OTHER), expression=self._values[name].copy()) for name in stream.parent_columns
        ]
        if stream.where is not None:
            before.append(parsed(stream.where.sql(_OTHER)))
        mine, theirs = (exp.Tuple(expressions=[column(name, each) for name in stream.key]) for each in (ROW, _OTHER))
        before.append(exp.LT(this=theirs, expression=mine))
        return exp.not_(exp.Exists(this=exp.select("1").from_(table(stream, alias=_OTHER)).where(*before)))
