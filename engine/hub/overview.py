"""What the hub tells people: how far everything is, what was set aside, and a person's word about that.

A dead letter is a change that was set aside (its id is a number) or a delivery that was parked (its id is
`target:record`). Lists carry no row's values but keys; those a change holds are read only by `values_of`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.change import RawChange, RowRef
from engine.hub.migrate import SCHEMA
from engine.hub.queries import QUERIES
from engine.hub.session import Connection, Session
from engine.setaside import unpack

_ALL = 1_000_000_000
_DELIVERY = re.compile(r"(.+):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass(frozen=True, slots=True)
class SourceState:
    name: str
    state: str
    message: str
    position: str | None
    changes: int
    echoes: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TargetState:
    """Records that may differ in a target, by what they wait for; `oldest` of those not parked."""

    name: str
    due: int
    waiting: int
    parked: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class SetAsideCount:
    system: str
    kind: str
    number: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class RecordCount:
    entity: str
    live: int
    retired: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`kind` is that of `SetAside`, or "delivery" (parked) or "waiting"; a delivery has a `record` and no row key.
    `released`: a person has asked for another try, and it has not been made yet."""

    id: str
    kind: str
    system: str
    stream: str
    key: str
    entity: str
    reason: str
    since: datetime
    released: bool
    awaits: RowRef | None
    candidates: tuple[str, ...]
    record: str | None


class Overview:
    """Reads and a person's few writes, on a connection of its own. Every method raises TransientError."""

    def __init__(self, dsn: str, schema: str = SCHEMA) -> None:
        self._session = Session(dsn, schema, "overview")

    async def sources(self) -> list[SourceState]:
        return [SourceState(*row) for row in await self._rows("sources")]

    async def targets(self) -> list[TargetState]:
        return [TargetState(*row) for row in await self._rows("targets")]

    async def set_aside(self) -> list[SetAsideCount]:
        return [SetAsideCount(*row) for row in await self._rows("set_aside_counts")]

    async def records(self) -> list[RecordCount]:
        return [RecordCount(*row) for row in await self._rows("record_counts")]

    async def dead_letters(
        self,
        *,
        kind: str | None = None,
        system: str | None = None,
        entity: str | None = None,
        ids: Sequence[str] | None = None,
        limit: int = _ALL,
    ) -> list[DeadLetter]:
        """Oldest first. Deliveries that wait for another record are shown only when asked for by `kind="waiting"`."""
        wanted = {"kind": kind, "system": system, "entity": entity, "ids": None if ids is None else list(ids)}
        async with self._session.transaction() as connection:
            cursor = await connection.execute(QUERIES["dead_letters"], {**wanted, "limit": limit})
            rows = await cursor.fetchall()
        return [_dead_letter(*row) for row in rows]

    async def values_of(self, id: str) -> RawChange | None:
        """The change that was set aside, as its source told it, values and all; None for a delivery, or if gone."""
        rows = await self._rows("payload", int(id)) if id.isdecimal() else []
        return unpack(rows[0][0].encode()) if rows else None

    async def retry(self, ids: Sequence[str]) -> int:
        """Let changes be tried again at the next look, and deliveries at once; the number that were there."""
        return await self._tell(ids, "release_changes", "release_delivery")

    async def discard(self, ids: Sequence[str]) -> int:
        """Drop them for good: what stood behind a change goes on; a target keeps what it has until the record
        changes again. The number that were there."""
        return await self._tell(ids, "drop_set_aside", "discard_delivery")

    async def remember_rulebook(self, hash: str, body: str) -> None:
        """Keep the files a rulebook came from, so that old decisions can be explained and made again."""
        async with self._writing() as connection:
            await connection.execute(QUERIES["remember_rulebook"], [hash, body])

    async def close(self) -> None:
        await self._session.close()

    async def _tell(self, ids: Sequence[str], changes: str, delivery: str) -> int:
        numbers = [int(id) for id in ids if id.isdecimal()]
        deliveries = [found.groups() for found in map(_DELIVERY.fullmatch, ids) if found]
        told = 0
        async with self._writing() as connection:
            if numbers:
                told += (await connection.execute(QUERIES[changes], [numbers])).rowcount
            for target, record in deliveries:
                told += (await connection.execute(QUERIES[delivery], [target, record])).rowcount
        return told

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        async with self._session.transaction() as connection:
            yield connection
            await connection.commit()

    async def _rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        async with self._session.transaction() as connection:
            return await (await connection.execute(QUERIES[name], values)).fetchall()


def _dead_letter(*row: Any) -> DeadLetter:
    *plain, await_system, await_stream, await_key, candidates, record = row
    id, kind, system, stream, key, entity, reason, since, released = plain
    awaits = RowRef(await_system, await_stream, await_key) if await_key is not None else None
    return DeadLetter(
        id, kind, system, stream, key, entity, reason, since, released, awaits, tuple(candidates), record
    )  # fmt: skip
