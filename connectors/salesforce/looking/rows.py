"""Rows of an org as they are now, read by its REST API: pages of all of them, or some by their ids."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from fieldwarden.connectors.salesforce.asking import soql
from fieldwarden.connectors.salesforce.asking.session import MOST_RETRIEVED, SalesforceSession
from fieldwarden.connectors.salesforce.decoding import json_values
from fieldwarden.connectors.salesforce.decoding.described import ObjectOf
from fieldwarden.connectors.salesforce.decoding.rows import KEY, typed
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.change import UNKNOWN, RawChange, RawValue, Relation, Undecoded
from fieldwarden.engine.errors import DecodeError
from fieldwarden.engine.wanted import Wanted

PAGE = 2_000


class RowShape:
    """How the rows of one object are read by queries: the same columns, types and texts as its change events have.

    Raises SchemaDrift where a wanted field is missing or has no text."""

    def __init__(self, wanted: Wanted, object: ObjectOf) -> None:
        self.wanted = wanted
        self.object = object.name
        self.columns = tuple(sorted(wanted.columns))
        types = tuple(typed(wanted, name, object.reads) for name in self.columns)
        self.relation = wanted.relation(self.columns, types)
        self._key = self.columns.index(KEY)
        self._texts: list[Callable[[Any], str | None]] = [
            str if name == KEY else json_values.text(object.reads[name]) for name in self.columns
        ]

    def row(self, told: Mapping[str, Any], relation: Relation, position: str) -> RawChange:
        """What a record says now: an observation. One with a value that cannot be read is kept undecoded."""
        try:
            values: tuple[RawValue, ...] = tuple(
                text(told.get(name)) for name, text in zip(self.columns, self._texts, strict=True)
            )
        except Unreadable as error:
            known = tuple(str(told[KEY]) if name == KEY else UNKNOWN for name in self.columns)
            undecoded = Undecoded(f"{self.object}: {error}", str(told[KEY]).encode(), None)
            return RawChange(relation, "observe", known, position, None, undecoded=undecoded)
        return RawChange(relation, "observe", values, position, None)


async def all_rows(
    session: SalesforceSession, shape: RowShape, relation: Relation, position: str = "", after: str = ""
) -> AsyncGenerator[list[RawChange], None]:
    """Every row of an object in pages, in the order of their ids, behind one of them ("": from the first).

    Raises TransientError, EnvironmentUnfit; DecodeError if Salesforce does not keep to that order, in which rows that
    are there could be passed over."""
    while True:
        told = await session.query(soql.page(shape.object, shape.columns, after, PAGE))
        if not told:
            return
        for each in told:
            id = str(each[KEY])
            if id <= after:
                raise DecodeError(f"{session.system}: {shape.object} does not come in the order of its ids")
            after = id
        yield [shape.row(each, relation, position) for each in told]
        if len(told) < PAGE:
            return


async def some_rows(
    session: SalesforceSession, shape: RowShape, relation: Relation, keys: Sequence[str], position: str = ""
) -> list[RawChange]:
    """Those of these rows that are there now. Raises TransientError, EnvironmentUnfit."""
    found: list[RawChange] = []
    for begin in range(0, len(keys), MOST_RETRIEVED):
        told = await session.retrieved(shape.object, keys[begin : begin + MOST_RETRIEVED], shape.columns)
        found += [shape.row(each, relation, position) for each in told if each is not None]
    return found
