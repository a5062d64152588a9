"""The consistent baseline: every mapped table as it stood at the very point from which the stream goes on.

Creating the slot exports a snapshot of its consistent point. All tables are copied inside one transaction with that
snapshot, so what was committed before the point is read here, what comes after it is streamed: no gap and no overlap.
A baseline that is interrupted starts again with a new slot, since its snapshot died with it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, table_name
from fieldwarden.connectors.postgres.reading.observing import Observing, relation_of
from fieldwarden.connectors.postgres.reading.position import row_position
from fieldwarden.connectors.postgres.session import connect, take_bytes_as_they_are, translated
from fieldwarden.engine.change import RawChange
from fieldwarden.rules.rulebook import Stream, System
from fieldwarden.rules.secret import Secretive


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
        baseline: int,
    ) -> None:
        self.point = point
        self._baseline = baseline
        self._system = system
        self._tables = tables
        self._connection = connection

    @classmethod
    async def adopt(
        cls, system: System, dsn: Secretive, tables: Mapping[str, Table], point: int, exported: str, baseline: int
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
        return cls(system, tables, connection, point, baseline)

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

    def _rows(self, stream: Stream) -> AsyncGenerator[tuple[RawChange, int], None]:
        table = self._tables[table_name(stream.table)]
        position = row_position(self._baseline, self.point, 0)
        place = f"the first reading of {stream.name}"
        observing = Observing(stream, table, relation_of(stream, table), position, place)
        return observing.rows(self._connection)
