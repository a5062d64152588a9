"""One process at a time: the right to drive a project's targets, held as advisory locks in the hub.

Sources are fenced by their epoch; targets have no such row to lock, and two processes that deliver to one target
would only trip over each other's compare-and-set. So a second `run` stands by until the first one is gone. The
locks belong to a connection: they end with the process, however it ends, and no clock is involved.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence

import psycopg

from engine.errors import Fenced, TransientError

_POLL_SECONDS = 1.0


class Turn:
    """Take the turn with `taken`; while it is held, `hold` must run, which notices when it is lost."""

    def __init__(self, dsn: str, schema: str, targets: Sequence[str]) -> None:
        self._dsn = dsn
        self._keys = [_key(schema, target) for target in sorted(targets)]
        self._connection: psycopg.AsyncConnection | None = None

    @contextlib.asynccontextmanager
    async def taken(self, standing_by: Callable[[], None]) -> AsyncIterator[None]:
        """Wait for the turn; `standing_by` is called once if another process has it.

        Raises TransientError if the hub cannot be reached at the start; a process that stands by waits it out."""
        try:
            if not await self._try():
                standing_by()
                await self._await()
            yield
        finally:
            if self._connection is not None:
                await self._connection.close()

    async def hold(self) -> None:
        """Runs until cancelled. Takes the turn again after a lost connection; raises Fenced if another has it."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                if await self._try():
                    continue
            except TransientError:
                continue  # the hub is away: nobody else can take the turn either, and the loops wait for it too
            raise Fenced(
                "another process took over while the hub could not be reached",
                suggestion="nothing to mend: that process replicates now",
            )

    async def _await(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            with contextlib.suppress(TransientError):
                if await self._try():
                    return

    async def _try(self) -> bool:
        """Whether all locks are held, taking them on a new connection where there is none."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True, connect_timeout=10, application_name="fieldwarden turn"
                )
                return await self._take(self._connection)
            await self._connection.execute("select 1")
        except psycopg.OperationalError as error:
            self._connection = None
            raise TransientError("the hub's database cannot be reached") from error
        return True

    async def _take(self, connection: psycopg.AsyncConnection) -> bool:
        for key in self._keys:
            cursor = await connection.execute("select pg_try_advisory_lock(%s)", [key])
            if not (await cursor.fetchone() or (False,))[0]:
                await connection.close()
                return False
        return True


async def taken_by_somebody(dsn: str, schema: str, targets: Sequence[str]) -> bool:
    """Whether a process has the turn now; takes nothing. Raises TransientError."""
    wanted = {_key(schema, target) for target in targets}
    try:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            cursor = await connection.execute(
                "select (classid::bigint << 32) | objid::bigint from pg_locks"
                " where locktype = 'advisory' and objsubid = 1 and granted"
                " and database = (select oid from pg_database where datname = current_database())"
            )
            return not wanted.isdisjoint(row[0] for row in await cursor.fetchall())
    except psycopg.OperationalError as error:
        raise TransientError("the hub's database cannot be reached") from error


def _key(schema: str, target: str) -> int:
    """A lock's number, of 64 bits: the same for every process of a project."""
    digest = hashlib.sha256(f"fieldwarden turn\0{schema}\0{target}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
