"""Small questions about the hub: cheap enough to be asked many times a second, or for one line of `status`."""

from __future__ import annotations

from collections.abc import Sequence

from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Session
from fieldwarden.engine.hub.waiting import releasable
from fieldwarden.engine.ports.hub import PAGE
from fieldwarden.rules.secret import Secretive

_DUE = """
select (exists (select from dirty where status = 'due') or exists (select from marked))
    and not exists (select from live_rulebook where onboarded is null)
"""


class Pulse:
    """Asks on a connection of its own. Every method raises TransientError."""

    def __init__(self, dsn: Secretive, schema: str) -> None:
        self._session = Session(dsn, schema, "pulse")

    async def parts(self) -> dict[str, dict[str, str | None]]:
        """Source -> part -> the position up to which it is durable."""
        async with self._session.transaction() as connection:
            rows = await (await connection.execute("select source, name, position from partition")).fetchall()
        found: dict[str, dict[str, str | None]] = {}
        for source, name, position in rows:
            found.setdefault(source, {})[name] = position
        return found

    async def heard(self) -> int:
        """How many changes the hub has taken in, of all sources, our own writes among them."""
        async with self._session.transaction() as connection:
            row = await (await connection.execute("select coalesce(sum(changes), 0)::bigint from source")).fetchone()
        return row[0] if row else 0

    async def busy(self, sources: Sequence[str]) -> bool:
        """Whether something is due now or soon: a delivery (unless all wait for the onboarding), a change set aside
        that may go on, a source's rows that have not all been read (yet, or again), or records that may be one."""
        async with self._session.transaction() as connection:
            cursor = await connection.execute(_DUE)
            if (await cursor.fetchone() or (False,))[0]:
                return True
            cursor = await connection.execute(QUERIES["unread"], [list(sources)])
            if await cursor.fetchone():
                return True
            cursor = await connection.execute(QUERIES["to_reunite"])
            if (await cursor.fetchone() or (False,))[0]:
                return True
        for source in sources:
            if await self._may_go_on(source):
                return True
        return False

    async def _may_go_on(self, source: str) -> bool:
        """Whether anything that this source has set aside may be tried again; a transaction for each page of it."""
        after: int | None = 0
        while after is not None:
            async with self._session.transaction() as connection:
                found, after = await releasable(connection, source, PAGE, after, at_once=1)
            if found:
                return True
        return False

    async def refused(self, hours: int) -> int:
        """Refusals of the last hours."""
        return await self._number("refused", hours)

    async def held(self, hours: int) -> int:
        """Edits of the last hours that were held for an approval."""
        return await self._number("held", hours)

    async def _number(self, query: str, *values: object) -> int:
        async with self._session.transaction() as connection:
            row = await (await connection.execute(QUERIES[query], values)).fetchone()
        return row[0] if row else 0

    async def close(self) -> None:
        await self._session.close()
