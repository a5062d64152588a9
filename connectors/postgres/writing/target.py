"""PostgreSQL as a target: the port's promises, kept over connections that come and go.

The work is in `groups` (what goes together), `statements` (the SQL), `writing` (one session's transactions) and
`faults` (what refusals mean). Here a session is opened when needed and dropped after any failure, since a write that
was not confirmed is simply made again: every write is guarded and idempotent. One that brought a large value is dropped
too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import psycopg

from fieldwarden.connectors.postgres import session
from fieldwarden.connectors.postgres.marks import Mark
from fieldwarden.connectors.postgres.writing import faults
from fieldwarden.connectors.postgres.writing.groups import Group, arrange, depths
from fieldwarden.connectors.postgres.writing.own import Announce, Own
from fieldwarden.connectors.postgres.writing.protecting import LOOK_SECONDS, ColumnCheck, Owners
from fieldwarden.connectors.postgres.writing.session import ShapeChanged, Writing
from fieldwarden.connectors.postgres.writing.wide import Parted, wide_streams
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.ports.target import Capabilities, Found, Intent, Write, WriteResult
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.secret import Secretive

_DEADLINE = 300.0
"""Seconds a whole call may take before its session is given up; the server's own timeouts come much earlier."""


class PostgresTarget:
    """`engine.ports.Target` for a PostgreSQL system: guarded upserts, one transaction per call.

    `dsn` is a libpq connection string. Connects on first use, and again by itself after a failure. `mark` stands
    before our rows in the log. `announce` is told of each transaction before it is committed, and no mark is put there:
    for systems whose change stream does not carry it. `owners`: nothing is written without the check that no column is
    which one of their protected fields is read from; every `look_seconds` it is seen whether that still holds."""

    capabilities = Capabilities(at_once=True)

    def __init__(
        self,
        system: System,
        dsn: Secretive,
        mark: Mark,
        announce: Announce | None = None,
        owners: Owners | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.system = system.name
        self._own = Own(system.name, mark, announce)
        self._check = None if owners is None else ColumnCheck(system, owners, look_seconds)
        self._rules = system
        self._dsn = dsn
        self._depths = depths(system)
        self._wide = wide_streams(system.streams)
        self._writing: Writing | None = None
        self._lock = asyncio.Lock()

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        """One transaction, whose results come once it is committed.

        See `engine.ports.Target.write`. Raises TransientError, EnvironmentUnfit (a table, column, index or
        privilege is missing), ProtectedColumn (nothing is written until the rules are mended) and GuardViolation (a
        write outside the rulebook's write sets; nothing was sent)."""
        if self._wide:
            parted = Parted(writes, self._wide)
            results = parted.joined(await self._written(parted.writes))
        else:
            results = await self._written(writes)
        for result in results:
            yield result

    async def look_up(self, _intents: Sequence[Intent]) -> Sequence[Found]:
        return []  # a transaction that was not committed has no effect: it leaves no doubt

    async def _written(self, writes: Sequence[Write]) -> list[WriteResult]:
        groups, answered = arrange(self._rules, self._depths, writes)
        if not groups:
            return answered
        async with self._lock:
            return answered + await self._write(groups)

    async def close(self) -> None:
        async with self._lock:
            await self._drop()

    async def _write(self, groups: Sequence[Group]) -> list[WriteResult]:
        kept = False
        try:
            async with asyncio.timeout(_DEADLINE):
                try:
                    results = await (await self._session()).apply(groups)
                except ShapeChanged:
                    await self._drop()
                    results = await (await self._session()).apply(groups)
            kept = all(_size(result) < session.LARGE_MESSAGE for result in results if result.differing)
            return results
        except psycopg.Error as error:
            raise faults.translated(self.system, self._writing.stream if self._writing else "", error) from error
        except (TimeoutError, ShapeChanged) as error:
            raise TransientError(
                f"{self.system}: the write was given up: "
                + ("no answer" if isinstance(error, TimeoutError) else "its tables keep changing"),
                suggestion="it is tried again",
                path=self.system,
            ) from error
        finally:
            if not kept:
                await self._drop()

    async def _session(self) -> Writing:
        if self._writing is None or self._writing.connection.closed:
            connection = await session.connect(self.system, self._dsn)
            self._writing = Writing(connection, self._own)
            await self._writing.start()
            if self._check is not None:
                await self._check.begin(connection)
        elif self._check is not None:
            await self._check.again(self._writing.connection)
        return self._writing

    async def _drop(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing.connection.close()


def _size(result: WriteResult) -> int:
    """How large the answer was, as far as what it told of a row's values makes it so (in characters)."""
    return sum(len(value) for value in result.differing.values() if value)
