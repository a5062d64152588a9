"""A look at a database's rows as they are now, beside the stream: `check`'s side of a PostgreSQL system.

The mapped columns of a table come in the order of the key's bytes (as `engine.change` writes keys, in UTF-8), in pages,
out of one snapshot: so they can be compared with the hub's rows in one pass and in bounded memory. The server sorts.
Values come by COPY, in the very text in which the stream brings them. Nothing is written.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, describe, table_name
from fieldwarden.connectors.postgres.following import resolved
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.reading.at_rows import readable_relation, rows_at, table_of
from fieldwarden.connectors.postgres.reading.observing import Observing
from fieldwarden.connectors.postgres.reading.position import WalPosition, lsn_text
from fieldwarden.connectors.postgres.session import connect, take_bytes_as_they_are, translated
from fieldwarden.engine.change import RawChange, Relation
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.rules.rulebook import Stream, System
from fieldwarden.rules.secret import Secretive

PAGE = 1000
_BYTES = 8 << 20
_FIRST_PEEK = 1000


class Looking:
    """One session with the system. Everything raises TransientError, EnvironmentUnfit or SchemaDrift."""

    def __init__(
        self, system: System, connection: psycopg.AsyncConnection[TupleRow], tables: Mapping[str, Table]
    ) -> None:
        self._system = system
        self._connection = connection
        self._tables = tables

    @classmethod
    @asynccontextmanager
    async def at(cls, system: System, dsn: Secretive) -> AsyncIterator[Looking]:
        async with await connect(system.name, dsn) as connection:
            with translated(system.name):
                tables = await describe(connection, {table_name(each.table) for each in system.read_streams.values()})
            await take_bytes_as_they_are(system.name, connection)  # only now: it would leave no names as texts
            yield cls(system, connection, tables)

    def relation(self, stream: Stream) -> Relation:
        """The shape in which the stream's rows come."""
        return readable_relation(self._system.name, stream, self._table(stream))

    async def rows(self, stream: Stream, relation: Relation) -> AsyncGenerator[list[RawChange], None]:
        """Every row of the stream's table by key, in pages, as of one moment."""
        with translated(self._system.name):
            await self._connection.execute("begin isolation level repeatable read read only")
        try:
            order = sql.SQL(" order by {}").format(self._ordered(stream))
            async with aclosing(self._copied(stream, relation, order)) as pages:
                async for page in pages:
                    yield page
        finally:
            if not self._connection.broken:
                await self._connection.rollback()

    async def again(self, stream: Stream, relation: Relation, keys: Sequence[str]) -> list[RawChange]:
        """Those of these rows that are there now, in any order."""
        return await rows_at(self._connection, stream, self._table(stream), relation, keys)

    async def untold(self, followed: Followed, position: str | None) -> bool | None:
        """Whether the slot that is followed holds changes of the mapped tables that stand after a stored position; None
        where that cannot be seen, since somebody is reading it."""
        read = WalPosition.known(position)
        if read is None:
            return True
        limit, names = _FIRST_PEEK, resolved(self._system, followed)
        with translated(self._system.name):
            try:
                while True:
                    number, found = await self._peek(names, read.end, limit)
                    if found or number < limit:
                        return found
                    limit *= 10
            except psycopg.errors.ObjectInUse:
                return None
            except (psycopg.errors.UndefinedObject, psycopg.errors.ObjectNotInPrerequisiteState):
                return False  # there is no slot any more: nobody will ever be told

    async def _peek(self, followed: Followed, read: int, limit: int) -> tuple[int, bool]:
        names = {"slot": followed.slot, "publication": followed.publication}
        cursor = await self._connection.execute(QUERIES["peek"], {**names, "read": lsn_text(read), "limit": limit})
        row = await cursor.fetchone()
        return (row[0], row[1]) if row else (0, False)

    async def _copied(self, stream: Stream, relation: Relation, rest: sql.Composed) -> AsyncGenerator[list[RawChange]]:
        page: list[RawChange] = []
        size = 0
        observing = Observing(stream, self._table(stream), relation)
        async with aclosing(observing.rows(self._connection, rest)) as rows:
            async for raw, width in rows:
                page.append(raw)
                size += width
                if len(page) == PAGE or size >= _BYTES:
                    yield page
                    page, size = [], 0
        if page:
            yield page

    def _ordered(self, stream: Stream) -> sql.Composed:
        """The key as one text, by its bytes: the server's own collation and encoding must not matter. (SQL_ASCII is
        none, and its texts are what they are: to ask for UTF-8 there would be refused for a key that is not.)"""
        parts = [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in stream.key]
        text = parts[0] if len(parts) == 1 else sql.SQL("json_build_array({})::text").format(sql.SQL(", ").join(parts))
        ascii = self._connection.info.parameter_status("server_encoding") == "SQL_ASCII"
        return sql.SQL("convert_to({}, {})").format(text, sql.Literal("SQL_ASCII" if ascii else "UTF8"))

    def _table(self, stream: Stream) -> Table:
        return table_of(self._system.name, stream, self._tables)
