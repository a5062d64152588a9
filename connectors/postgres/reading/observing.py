"""A table's rows by COPY, as observations: what the first reading and a later look at a database have in common.

A row comes in the very text in which the stream would bring it. One with a text that is not UTF-8, which a database in
SQL_ASCII may hold, comes by its key, where that can be read: so it is that row's trouble, and no other waits for it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table
from fieldwarden.connectors.postgres.reading.copying import row_values
from fieldwarden.connectors.postgres.reading.pgoutput import BPCHAR
from fieldwarden.connectors.postgres.session import translated
from fieldwarden.engine.change import UNKNOWN, RawChange, RawValue, Relation, Undecoded
from fieldwarden.engine.record import LARGE
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.rulebook import Stream

Buffer: TypeAlias = bytes | bytearray | memoryview
_NOTHING = sql.SQL("")


def relation_of(stream: Stream, table: Table) -> Relation:
    """The shape in which the stream's rows come: the mapped columns that the table has, in its order."""
    wanted = wanted_columns(stream).columns
    columns = [column for column in table.columns.values() if column.name in wanted]
    return Relation(stream.name, tuple(column.name for column in columns), tuple(column.type for column in columns))


class Observing:
    """Reads rows of a stream's table in one shape. All of them stand at `position`; `place` says where, for people."""

    def __init__(self, stream: Stream, table: Table, relation: Relation, position: str = "", place: str = "") -> None:
        self._stream = stream
        self._table = table
        self._relation = relation
        self._position = position
        self._place = place
        self._padded = [place for place, name in enumerate(relation.columns) if table.columns[name].oid == BPCHAR]

    async def rows(
        self, connection: psycopg.AsyncConnection[TupleRow], rest: sql.Composable = _NOTHING
    ) -> AsyncGenerator[tuple[RawChange, int], None]:
        """Each row and how much text it has, in any order. `rest` follows the table, which it calls t. The session has
        to `take_bytes_as_they_are`. Raises TransientError, EnvironmentUnfit."""
        query = sql.SQL("copy (select {} from {}{} t{}) to stdout").format(
            sql.SQL(", ").join(sql.Identifier("t", name) for name in self._relation.columns),
            sql.SQL("only " if self._table.kind == "r" else ""),
            sql.Identifier(self._table.schema, self._table.name),
            rest,
        )
        with translated(self._stream.system):
            # As bytes, since a session that takes bytes as they are has no encoding for the names.
            async with connection.cursor() as cursor, cursor.copy(query.as_bytes()) as copy:
                while data := await copy.read():
                    try:
                        change, width = self._observed(data)
                    except UnicodeDecodeError:
                        change, width = self._illegible(bytes(data)), len(data)
                    del data  # it may be large, and long until the next one comes
                    yield change, width
                    del change

    def _observed(self, data: Buffer) -> tuple[RawChange, int]:
        """Raises UnicodeDecodeError."""
        values = row_values(data)
        width = sum(map(len, filter(None, values)))
        told = self._values(values)
        return RawChange(self._relation, "observe", told, self._position, None, large=width > LARGE), width

    def _values(self, texts: Sequence[RawValue]) -> tuple[RawValue, ...]:
        """What a row's texts, as they came, are as values: without the blanks that fill up a char(n)."""
        if not self._padded:
            return tuple(texts)
        values = list(texts)
        for place in self._padded:
            text = values[place]
            if isinstance(text, str):
                values[place] = text.rstrip(" ")
        return tuple(values)

    def _illegible(self, row: bytes) -> RawChange:
        columns = self._relation.columns
        values = dict(zip(columns, self._values([_legible(text) for text in row[:-1].split(b"\t")]), strict=True))
        key = tuple(UNKNOWN if values[name] is None else values[name] for name in self._stream.key)
        where = f"{self._place}: " if self._place else ""
        reason = f"{where}a text in it is not valid UTF-8 (the database's encoding does not ask for it)"
        kept = Undecoded(reason, row if UNKNOWN in key else None, row)
        known = Relation(self._stream.name, self._stream.key, ("text",) * len(key))
        return RawChange(known, "update", key, self._position, None, place=self._place, undecoded=kept)


def _legible(text: bytes) -> RawValue:
    """One column by itself: COPY leaves no tab in a text as it is."""
    try:
        (value,) = row_values(text + b"\n")
    except UnicodeDecodeError:
        return UNKNOWN
    return value
