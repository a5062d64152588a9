"""The consistent baseline: every mapped table as it stood at the very point from which the stream goes on.

Creating the slot exports a snapshot of its consistent point. All tables are copied inside one transaction with that
snapshot, so what was committed before the point is read here, what comes after it is streamed: no gap and no overlap.
A baseline that is interrupted starts again with a new slot, since its snapshot died with it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from connectors.postgres.catalog import Table, table_name
from connectors.postgres.copying import row_values
from connectors.postgres.pgoutput import BPCHAR
from connectors.postgres.position import row_position
from connectors.postgres.session import connect, take_bytes_as_they_are, translated
from engine.change import UNKNOWN, RawChange, Relation, Undecoded
from engine.record import LARGE
from engine.wanted import wanted_columns
from rules.rulebook import Stream, System
from rules.secret import Secretive

Buffer: TypeAlias = bytes | bytearray | memoryview


def copy_order(system: System) -> list[Stream]:
    """Parents and referenced streams before those that name them, as far as there is no circle."""
    streams = system.read_streams
    ordered: dict[str, Stream] = {}
    visiting: set[str] = set()

    def visit(name: str) -> None:
        stream = streams.get(name)
        if stream is None or name in ordered or name in visiting:
            return
        visiting.add(name)
        for needed in (stream.parent, *(mapped.reference for mapped in stream.fields.values())):
            if needed is not None:
                visit(needed)
        ordered[name] = stream

    for name in streams:
        visit(name)
    return list(ordered.values())


class Snapshot:
    """One baseline under way: a transaction that sees the exported snapshot until it is closed."""

    def __init__(
        self,
        system: System,
        tables: Mapping[str, Table],
        connection: psycopg.AsyncConnection[TupleRow],
        point: int,
        epoch: int,
    ) -> None:
        self.point = point
        self._epoch = epoch
        self._system = system
        self._tables = tables
        self._connection = connection

    @classmethod
    async def adopt(
        cls, system: System, dsn: Secretive, tables: Mapping[str, Table], point: int, exported: str, epoch: int
    ) -> Snapshot:
        """Take the exported snapshot up, while the connection that made the slot has done nothing else."""
        connection = await connect(system.name, dsn)
        try:
            with translated(system.name):
                await connection.execute("begin isolation level repeatable read read only")
                await connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(exported)))
            await take_bytes_as_they_are(system.name, connection)
        except BaseException:
            await connection.close()
            raise
        return cls(system, tables, connection, point, epoch)

    async def close(self) -> None:
        await self._connection.close()

    async def chunks(
        self, max_changes: int, max_bytes: int, only: Collection[str] = ()
    ) -> AsyncGenerator[list[RawChange], None]:
        """Every row of every read stream (of those in `only`, if there are any) as an observation, in bounded lists
        (the last may be of any length)."""
        chunk: list[RawChange] = []
        size = 0
        for stream in copy_order(self._system):
            if only and stream.name not in only:
                continue
            async with aclosing(self._rows(stream)) as rows:
                async for change, width in rows:
                    chunk.append(change)
                    size += width
                    if len(chunk) >= max_changes or size >= max_bytes:
                        yield chunk
                        chunk, size = [], 0
        yield chunk

    async def _rows(self, stream: Stream) -> AsyncGenerator[tuple[RawChange, int], None]:
        table = self._tables[table_name(stream.table)]
        wanted = wanted_columns(stream).columns
        columns = [column for column in table.columns.values() if column.name in wanted]
        padded = [place for place, column in enumerate(columns) if column.oid == BPCHAR]
        relation = Relation(
            stream.name, tuple(column.name for column in columns), tuple(column.type for column in columns)
        )
        position = row_position(self._epoch, self.point, 0)
        query = sql.SQL("copy (select {} from {}{}) to stdout").format(
            sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
            sql.SQL("only " if table.kind == "r" else ""),
            sql.Identifier(table.schema, table.name),
        )
        with translated(self._system.name):
            async with self._connection.cursor() as cursor, cursor.copy(query.as_bytes()) as copy:
                while data := await copy.read():
                    try:
                        change, width = _observed(data, relation, padded, position)
                    except UnicodeDecodeError:
                        change, width = _illegible(data, relation, stream, position), len(data)
                    del data  # it may be large, and long until the next one comes
                    yield change, width
                    del change


def _observed(data: Buffer, relation: Relation, padded: Sequence[int], position: str) -> tuple[RawChange, int]:
    """One row, and how much text it has. Raises UnicodeDecodeError."""
    values = row_values(data)
    for place in padded:
        value = values[place]
        if value is not None:
            values[place] = value.rstrip(" ")
    width = sum(map(len, filter(None, values)))
    return RawChange(relation, "observe", tuple(values), position, None, large=width > LARGE), width


def _illegible(data: Buffer, relation: Relation, stream: Stream, position: str) -> RawChange:
    """A row of which some text is not UTF-8, as a database in SQL_ASCII may hold it: by its key, where that can be
    read."""
    row = bytes(data)
    values = row_values(row.decode("utf-8", "replace").encode())
    texts = [values[relation.columns.index(name)] for name in stream.key]
    key = tuple(UNKNOWN if text is None or "\ufffd" in text else text for text in texts)
    kind = ("text",) * len(key)
    place = f"the first reading of {stream.name}"
    reason = f"{place}: a text in it is not valid UTF-8 (the database's encoding does not ask for it)"
    kept = Undecoded(reason, row if UNKNOWN in key else None, row)
    known = Relation(stream.name, stream.key, kind)
    return RawChange(known, "update", key, position, None, place=place, undecoded=kept)
