"""A look at an org's rows beside its topics (`engine.ports.looks.Looking`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fieldwarden.connectors.salesforce.asking.session import SalesforceSession
from fieldwarden.connectors.salesforce.looking.rows import RowShape, all_rows, some_rows
from fieldwarden.engine.change import RawChange, Relation
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.rulebook import Stream, System


class OrgLooking:
    """The rows of a system's streams, in the objects as they are described now."""

    def __init__(self, session: SalesforceSession, shapes: dict[str, RowShape]) -> None:
        self._session = session
        self._shapes = shapes

    @classmethod
    @asynccontextmanager
    async def at(cls, session: SalesforceSession, system: System) -> AsyncIterator[OrgLooking]:
        """Raises TransientError, EnvironmentUnfit, SchemaDrift."""
        described = {name: await session.described(name) for name in {each.table for each in system.streams.values()}}
        shapes = {name: RowShape(wanted_columns(each), described[each.table]) for name, each in system.streams.items()}
        yield cls(session, shapes)

    def relation(self, stream: Stream) -> Relation:
        return self._shapes[stream.name].relation

    def rows(self, stream: Stream, relation: Relation) -> AsyncGenerator[list[RawChange], None]:
        return all_rows(self._session, self._shapes[stream.name], relation)

    async def again(self, stream: Stream, relation: Relation, keys: Sequence[str]) -> list[RawChange]:
        return await some_rows(self._session, self._shapes[stream.name], relation, keys)

    async def untold(self, followed: Followed, position: str | None) -> bool | None:
        """Salesforce does not say how far its topics are."""
        del followed, position
        return None
