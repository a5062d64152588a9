"""How far an org is ahead of us: whether the record of each object that was changed last has been told of.

Salesforce does not say how many events a topic holds. A deletion is not seen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from fieldwarden.connectors.salesforce.asking import soql
from fieldwarden.connectors.salesforce.asking.session import SalesforceSession
from fieldwarden.connectors.salesforce.decoding import json_values
from fieldwarden.connectors.salesforce.decoding.described import topic_of
from fieldwarden.connectors.salesforce.decoding.places import Progress
from fieldwarden.rules.rulebook import System


class SalesforceLag:
    """`engine.ports.looks.Lag` for an org."""

    def __init__(self, session: SalesforceSession, system: System) -> None:
        self._session = session
        self._objects = sorted({each.table for each in system.read_streams.values()})

    async def end(self) -> dict[str, int]:
        """By topic, when a record was changed last (milliseconds since 1970). Raises TransientError,
        EnvironmentUnfit."""
        found: dict[str, int] = {}
        for name in self._objects:
            (told,) = await self._session.query(soql.newest(name))
            found[topic_of(name)] = 0 if told["newest"] is None else json_values.millis(told["newest"])
        return found

    def reached(self, positions: Mapping[str, str | None], end: Mapping[str, int]) -> bool:
        """What was changed is committed a moment later: so whatever was committed since has been told."""
        return all(_told(positions.get(topic)) >= newest for topic, newest in end.items())

    async def slot(self) -> None:
        """Salesforce keeps nothing for us in particular."""

    async def close(self) -> None:
        """The session is not ours."""


def _told(position: str | None) -> int:
    """Up to when all was told; -1 while rows are being read, or where nothing was."""
    with suppress(ValueError):
        if position is not None and (progress := Progress.parse(position)).after is None:
            return progress.place.told
    return -1
