"""The kind `salesforce`: an org, read by its event bus and queries, written to by its REST API."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from fieldwarden.rules.kinds import SALESFORCE
from fieldwarden.rules.salesforce import salesforce_settings

if TYPE_CHECKING:
    from fieldwarden.connectors.salesforce.reading.subscription import Bus, Channel
    from fieldwarden.engine.ports.duties import Half
    from fieldwarden.engine.ports.finding import Finding
    from fieldwarden.engine.ports.kinds import Reach, Reading, Writing
    from fieldwarden.engine.ports.looks import Footing, Lag, Looking
    from fieldwarden.engine.ports.source import Source
    from fieldwarden.engine.ports.target import Target
    from fieldwarden.rules.rulebook import System

_SECONDS, _ANSWER_BYTES = 120.0, 1 << 26


class OrgSession:
    """One org in one process: the REST API and the event bus, by one login."""

    def __init__(self, system: System, reach: Reach) -> None:
        """Raises ReferenceUnresolved, EnvironmentUnfit."""
        from fieldwarden.connectors.rest.asking.logins import Client
        from fieldwarden.connectors.rest.asking.transport import Wire
        from fieldwarden.connectors.salesforce.asking.login import OAuth
        from fieldwarden.connectors.salesforce.asking.session import SalesforceSession

        settings, where = salesforce_settings(system), reach.where(system.name)
        self.settings = settings
        self.entities = reach.rulebook.entities
        wire = Wire(system.name, reach.shown(settings.url, where), seconds=_SECONDS, answer_bytes=_ANSWER_BYTES)
        secret = reach.secret(settings.client_secret, where)
        client = Client(wire, "/services/oauth2/token", settings.client_id, secret, in_body=True)
        login = OAuth(system.name, client, lambda: {"grant_type": "client_credentials"}, time.monotonic)
        self.rest = SalesforceSession(wire, login, micros=lambda: time.time_ns() // 1_000)
        self._channel: Channel | None = None

    def bus(self) -> Bus:
        """The event bus. Its connection is made when it is first needed."""
        from fieldwarden.connectors.salesforce.reading.subscription import Bus, channel

        if self._channel is None:
            self._channel = channel(self.settings.pubsub, plain=self.settings.plain)
        return Bus(self.rest.system, self._channel, self.rest.login)

    async def can_subscribe(self, topic: str) -> bool:
        """Raises TransientError, EnvironmentUnfit."""
        return (await self.bus().topic(topic)).can_subscribe

    async def cut_off(self, process: str, half: Half) -> None:
        """An org holds nothing for anybody."""

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
        await self.rest.close()


class SalesforceKind:
    settings, check = SALESFORCE.settings, staticmethod(SALESFORCE.check)

    def session(self, system: System, reach: Reach) -> OrgSession:
        return OrgSession(system, reach)

    def source(self, session: OrgSession, reading: Reading) -> Source:
        from fieldwarden.connectors.salesforce.reading.source import SalesforceSource

        session.rest.works_for(reading.project)
        return SalesforceSource(session.rest, session.bus(), reading.system)

    def reread(self, position: str, streams: Collection[str]) -> str:
        from fieldwarden.connectors.salesforce.decoding.places import Progress

        del streams  # a position does not say of which object it is: all are read again, which does no harm
        try:
            return Progress.parse(position).reread().text
        except ValueError:
            return position

    def target(self, session: OrgSession, writing: Writing) -> Target:
        from fieldwarden.connectors.salesforce.writing.target import SalesforceTarget

        session.rest.works_for(writing.project)
        return SalesforceTarget(session.rest, writing.system, session.entities)

    def lag(self, session: OrgSession, system: System, footing: Footing) -> Lag:
        from fieldwarden.connectors.salesforce.reading.lag import SalesforceLag

        del footing
        return SalesforceLag(session.rest, system)

    def looking(self, session: OrgSession, system: System) -> AbstractAsyncContextManager[Looking]:
        from fieldwarden.connectors.salesforce.looking.org import OrgLooking

        return OrgLooking.at(session.rest, system)

    async def findings(self, session: OrgSession, system: System, footing: Footing | None) -> Sequence[Finding]:
        from fieldwarden.connectors.salesforce.looking.findings import findings

        del footing
        return await findings(session.rest, system, session.can_subscribe)
