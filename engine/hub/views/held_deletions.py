"""Deletions that the brake holds, as people ask for them, and their answer.

An answer is an act in the ledger, in the transaction that does what it says. Nothing is decided here: what is approved
is released to whoever reads the system.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.hub.acts import append
from fieldwarden.engine.hub.migrate import SCHEMA
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Connection, Session
from fieldwarden.engine.ledger.entries import Act
from fieldwarden.rules.secret import Secretive

_ALL = 1_000_000_000
_NAMED = 100
"""So many ids at most are named in the ledger."""


@dataclass(frozen=True, slots=True)
class HeldCount:
    system: str
    stream: str
    entity: str
    number: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class HeldDeletion:
    id: int
    row: RowRef
    entity: str
    since: datetime


class HeldDeletions:
    """On a connection of its own. Every method raises TransientError."""

    def __init__(self, dsn: Secretive, schema: str = SCHEMA) -> None:
        self._session = Session(dsn, schema, "deletes")

    async def counts(self) -> list[HeldCount]:
        """Those that nobody has answered yet, by stream."""
        async with self._session.transaction() as connection:
            rows = await (await connection.execute(QUERIES["held_deletions"])).fetchall()
        return [HeldCount(*row) for row in rows]

    async def of(
        self, system: str | None, stream: str | None, ids: Sequence[int] | None, limit: int = _ALL
    ) -> list[HeldDeletion]:
        """Those of a system, of a stream or by their ids, oldest first."""
        async with self._session.transaction() as connection:
            rows = await self._chosen(connection, system, stream, ids, limit)
        return [HeldDeletion(id, RowRef(*row), entity, since) for id, *row, entity, since in rows]

    async def answer(
        self,
        act: Act,
        rulebook: str,
        *,
        approve: bool,
        system: str | None,
        stream: str | None,
        ids: Sequence[int] | None,
    ) -> int:
        """Let them be decided as if they were told now, or drop them: their rows are taken to be there. How many.

        `act` is noted with their number and the first of their ids, under the hash of the rules in force; nothing is
        where there are none. A row that came back meanwhile is not among them."""
        async with self._writing() as connection:
            chosen = [row[0] for row in await self._chosen(connection, system, stream, ids, _ALL)]
            statement = QUERIES["approve_deletions" if approve else "discard_deletions"]
            told = (await connection.execute(statement, [chosen])).rowcount if chosen else 0
            if told:
                where = {"system": system, "stream": stream} if ids is None else {}
                named = ", ".join(map(str, chosen[:_NAMED]))
                act.details = {"number": str(told), "letters": named} | {k: v for k, v in where.items() if v}
                await append(connection, act, rulebook)
        return told

    async def close(self) -> None:
        await self._session.close()

    async def _chosen(
        self, connection: Connection, system: str | None, stream: str | None, ids: Sequence[int] | None, limit: int
    ) -> list[tuple[Any, ...]]:
        asked = {"system": system, "stream": stream, "ids": None if ids is None else list(ids), "limit": limit}
        return await (await connection.execute(QUERIES["held_deletions_of"], asked)).fetchall()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        async with self._session.transaction() as connection:
            yield connection
            await connection.commit()
