"""How far a vendor is ahead of us: in time, since it numbers nothing."""

from __future__ import annotations

from collections.abc import Mapping

from fieldwarden.connectors.rest.asking.session import RestSession
from fieldwarden.connectors.rest.progress import Progress


class RestLag:
    """As `engine.ports.looks.Lag`. What it compares with is the vendor's time."""

    def __init__(self, session: RestSession, objects: frozenset[str]) -> None:
        self._session = session
        self._objects = objects

    async def end(self) -> int:
        return await self._session.now()

    def reached(self, positions: Mapping[str, str | None], end: int) -> bool:
        known = [Progress.decode(position) for name in self._objects if (position := positions.get(name)) is not None]
        return len(known) == len(self._objects) and all(each.told and each.asked >= end for each in known)

    async def slot(self) -> None:
        """A vendor keeps nothing for us in particular."""

    async def close(self) -> None:
        """The session is not ours."""
