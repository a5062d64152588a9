"""A look at a source's server from outside its stream: how far its log has grown, and what its slot holds back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.following import Footing, resolved
from fieldwarden.connectors.postgres.reading.position import WalPosition
from fieldwarden.connectors.postgres.reading.server import check_server
from fieldwarden.connectors.postgres.reading.slots import SlotHealth, slot_health
from fieldwarden.connectors.postgres.session import connect
from fieldwarden.engine.errors import FieldwardenError
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.secret import Secretive


class SourceLag:
    """One connection, opened when needed and given up after any failure; one question at a time.

    `footing` tells which slot the source follows at the moment."""

    def __init__(self, system: System, dsn: Secretive, footing: Footing) -> None:
        self._system = system
        self._footing = footing
        self._dsn = dsn
        self._connection: psycopg.AsyncConnection[TupleRow] | None = None
        self._asking = asyncio.Lock()

    async def end(self) -> int:
        """The end of the server's log now, as an LSN. Raises TransientError, EnvironmentUnfit."""
        async with self._open() as connection:
            return (await check_server(self._system, connection)).end

    async def slot(self) -> SlotHealth:
        """Raises TransientError, EnvironmentUnfit."""
        followed = await self._footing.followed(self._system.name)
        if followed is None:
            return SlotHealth("", "missing", reason="nothing has been read from it yet")
        async with self._open() as connection:
            return await slot_health(self._system.name, connection, resolved(self._system, followed).slot)

    def reached(self, positions: Mapping[str, str | None], end: int) -> bool:
        """Whether the stored position of the log is at or past `end`."""
        at = WalPosition.known(positions.get(LOG))  # None: nothing was read, or a new baseline is to replace it
        return at is not None and at.phase == "stream" and at.end >= end

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        async with self._asking:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self._system.name, self._dsn)
            try:
                yield self._connection
            except (FieldwardenError, psycopg.Error):
                await self.close()
                raise
