"""Rows of one shape told at once, column by column: a page of a bulk API, a columnar file, the result of a query.

A block stands where a list of changes may stand. It makes each change when that is asked for, so that what a source
holds by columns is not turned into rows before they are needed; and whoever works by columns has them as they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from fieldwarden.engine.change import Operation, RawChange, RawValue, Relation


@dataclass(frozen=True, slots=True)
class Block(Sequence[RawChange]):
    """One change of each row, all of one operation.

    `columns` align with `relation.columns`, and each has one value for each row, as `positions` have. `at` and `places`
    are as in `RawChange`, left out where no row has any.

    Raises ValueError where they do not have the same length.

    >>> accounts = Relation("account", ("id", "name"), ("text", "text"))
    >>> block = Block(accounts, "observe", (("1", "2"), ("Acme", None)), ("p1", "p2"))
    >>> [(change.values, change.position) for change in block]
    [(('1', 'Acme'), 'p1'), (('2', None), 'p2')]
    """

    relation: Relation
    operation: Operation
    columns: tuple[Sequence[RawValue], ...]
    positions: Sequence[str]
    at: Sequence[int | None] = ()
    places: Sequence[str] = ()

    def __post_init__(self) -> None:
        if len(self.columns) != len(self.relation.columns):
            raise ValueError("a block has the columns of its relation")
        given = [len(each) for each in (*self.columns, *filter(None, (self.at, self.places)))]
        if any(length != len(self.positions) for length in given):
            raise ValueError("the columns of a block are of one length")

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> RawChange: ...
    @overload
    def __getitem__(self, index: slice) -> Block: ...
    def __getitem__(self, index: int | slice) -> RawChange | Block:
        if isinstance(index, slice):
            columns = tuple(each[index] for each in self.columns)
            rest = self.positions[index], self.at[index], self.places[index]
            return Block(self.relation, self.operation, columns, *rest)
        at = self.at[index] if self.at else None
        place = self.places[index] if self.places else ""
        values = tuple(each[index] for each in self.columns)
        return RawChange(self.relation, self.operation, values, self.positions[index], at, place=place)

    def __iter__(self) -> Iterator[RawChange]:
        rows = zip(*self.columns, strict=True) if self.columns else iter([()] * len(self))
        for number, values in enumerate(rows):
            at = self.at[number] if self.at else None
            place = self.places[number] if self.places else ""
            yield RawChange(self.relation, self.operation, values, self.positions[number], at, place=place)
