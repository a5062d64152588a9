"""What the hub knows of a source's place on its server, for whoever looks from outside: the slot that it follows, how
far it was read, and which processes work. Answers for a hub of any version, and where none was made yet."""

from __future__ import annotations

from typing import Any

from fieldwarden.engine.hub.duties import lock_class
from fieldwarden.engine.hub.migrate import SCHEMA
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Session, has_column, has_table
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.engine.process import session_mark
from fieldwarden.rules.secret import Secretive


class HubFooting:
    """Reads only, on a connection of its own. Every method raises TransientError."""

    def __init__(self, dsn: Secretive, schema: str = SCHEMA) -> None:
        self._session = Session(dsn, schema, "footing")
        self._schema = schema

    async def project(self) -> str | None:
        """None: the project has no id yet, the first run makes it."""
        found = await self._ask("project", QUERIES["project"])
        return str(found[0][0]) if found else None

    async def followed(self, source: str) -> Followed | None:
        async with self._session.transaction() as connection:
            noted = await has_table(connection, "followed")
        if noted:
            found = await self._ask("followed", QUERIES["followed"], source)
            return Followed(*found[0]) if found else None
        # A hub of before there were ids: what it reads, it reads by the names of then.
        return Followed() if await self.position(source) is not None else None

    async def position(self, source: str) -> str | None:
        async with self._session.transaction() as connection:
            former = await has_column(connection, "source", "position")
        if former:  # a hub of before every source had parts
            found = await self._ask("source", b"select position from source where name = %s", source)
        else:
            found = await self._ask("partition", QUERIES["position"], source, LOG)
        return found[0][0] if found else None

    async def processes(self) -> set[str]:
        """How the sessions of this project's living processes are marked."""
        found = await self._ask("worker", QUERIES["workers"], lock_class(self._schema))
        return {session_mark(token) for _, token, *_ in found}

    async def close(self) -> None:
        await self._session.close()

    async def _ask(self, table: str, query: bytes, *values: object) -> list[tuple[Any, ...]]:
        async with self._session.transaction() as connection:
            if not await has_table(connection, table):
                return []
            return await (await connection.execute(query, values)).fetchall()
