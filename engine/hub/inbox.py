"""The inbox in PostgreSQL, behind the port `engine.ports.inbox.Inbox`, on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fieldwarden.engine.hub.migrate import SCHEMA
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Connection, Session, has_table
from fieldwarden.engine.ports.inbox import (
    PAGE,
    PAGE_BYTES,
    REMEMBERED,
    Arrived,
    Event,
    Hint,
    InboxState,
    Item,
    Received,
    Sorted,
)
from fieldwarden.rules.secret import Secretive


class PostgresInbox:
    """Nothing connects before it must. It belongs to the event loop that uses it first."""

    def __init__(self, dsn: Secretive, schema: str = SCHEMA) -> None:
        self._session = Session(dsn, schema, "inbox")

    async def receive(self, system: str, items: Sequence[Item], room: int, now: int) -> Received | None:
        found = Sorted.of(items)
        async with self._session.transaction() as connection:
            last, _, unread = await _opened(connection, system)
            if unread >= room:
                return None
            asked: dict[str, Any] = {"system": system, "last": last, "now": now}
            events = {"events": list(found.events), "payloads": list(found.events.values())}
            new = await _all(connection, "receive_events", asked | events) if found.events else []
            asked["last"] = last + len(found.events)
            hints = {"streams": [each.stream for each in found.hints], "keys": [each.key for each in found.hints]}
            hinted = await _all(connection, "receive_hints", asked | hints) if found.hints else []
            there = len(found.events) + len(found.hints)
            fresh = len(new) + sum(first for (first,) in hinted)
            received = Received(fresh, there - fresh + found.repeated)
            counts = {"system": system, "number": there, "new": fresh, "known": received.known, "now": now}
            await connection.execute(QUERIES["received"], counts)
            await connection.commit()
        return received

    async def after(self, system: str, number: int, limit: int = PAGE) -> list[Arrived]:
        asked = {"system": system, "after": number, "limit": limit, "bytes": PAGE_BYTES}
        async with self._session.transaction() as connection:
            rows = await _all(connection, "inbox_after", asked)
        return [
            Arrived(at, Hint(stream, key) if event is None else Event(event, bytes(payload)))
            for at, event, stream, key, payload in rows
        ]

    async def taken(self, system: str, number: int, now: int) -> None:
        async with self._session.transaction() as connection:
            _, taken, _ = await _opened(connection, system)
            asked = {"system": system, "taken": taken, "number": number, "now": now}
            hints = await connection.execute(QUERIES["take_hints"], asked)
            events = await connection.execute(QUERIES["take_events"], asked)
            gone = hints.rowcount + events.rowcount
            await connection.execute(QUERIES["inbox_taken"], {"system": system, "number": number, "gone": gone})
            old = {"system": system, "limit": gone + PAGE, "before": now - REMEMBERED}
            await connection.execute(QUERIES["forget_events"], old)
            await connection.commit()

    async def refused(self, system: str, number: int) -> None:
        async with self._session.transaction() as connection:
            await connection.execute(QUERIES["hooks_refused"], [system, number])
            await connection.commit()

    async def states(self) -> list[InboxState]:
        """None where the schema is older than inboxes are."""
        async with self._session.transaction() as connection:
            if not await has_table(connection, "hook"):
                return []
            rows = await (await connection.execute(QUERIES["hooks"])).fetchall()
        return [InboxState(*row) for row in rows]

    async def close(self) -> None:
        await self._session.close()


async def _opened(connection: Connection, system: str) -> tuple[int, int, int]:
    """The last number, the last that was taken, and how many are unread; nobody else changes them meanwhile."""
    row = await (await connection.execute(QUERIES["open_inbox"], [system])).fetchone()
    assert row is not None, "it is made where it is not there"
    last, taken, unread = row
    return last, taken, unread


async def _all(connection: Connection, name: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(QUERIES[name], values)).fetchall()
