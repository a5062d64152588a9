"""The kind `desk`, as a package of somebody else's would bring it: a vendor's objects over HTTP, polled and written to.

It is found by its entry point alone (fieldwarden_desk-1.0.dist-info); nothing in the product names it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fieldwarden.connectors.rest.receiving import Receiver
from fieldwarden.connectors.rest.signatures import BodySigned, Unsigned, secrets_of
from fieldwarden.engine.ports.finding import Finding, bad, good
from fieldwarden.engine.ports.kinds import Reach, Reading, Writing
from fieldwarden.engine.ports.looks import Footing
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.files import Files
from fieldwarden.rules.findings import CheckResults, Page
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.settings import Settings, Webhooks
from fieldwarden.rules.shapes import GIVEN, Duration, Text

from .reading import DeskLag, DeskLooking, DeskSource, reread
from .session import DeskSession
from .telling import SIGNATURE, decode
from .writing import DeskTarget


class DeskSettings(Settings):
    """What stands under `connector:`."""

    connections: ClassVar[tuple[str, ...]] = ("url",)
    secrets: ClassVar[tuple[str, ...]] = ("token",)
    polled: ClassVar[bool] = True

    kind: Literal["desk"] = Field(description="A help desk's objects, over HTTP.")
    url: Text = Field(description="The desk's address.")
    token: Text = Field(description="As ${env:NAME} or ${file:path}.")
    per_second: int = Field(default=100, ge=1, description="Requests that the desk takes in a second.")
    poll: Annotated[Duration, GIVEN] = Field(
        default=timedelta(milliseconds=200), description="How long it is not asked for what is new, unless it tells us."
    )
    webhooks: Annotated[Webhooks | None, GIVEN] = Field(
        default=None, description="Of a desk that tells us; without a secret it gives hints only."
    )


class DeskKind:
    settings = DeskSettings

    def check(self, files: Files, systems: Sequence[str], findings: CheckResults) -> None:
        """Its objects lie side by side: none is below another."""
        for name in systems:
            page = Page(files.systems[name].document, findings)
            for stream, model in files.systems[name].model.streams.items():
                if model.parent is not None:
                    page.error(("streams", stream, "parent"), "a desk's objects have no parents", "remove it")

    def session(self, system: System, reach: Reach) -> DeskSession:
        settings, where = system.settings, reach.where(system.name)
        assert isinstance(settings, DeskSettings)
        url, token = reach.shown(settings.url, where), reach.secret(settings.token, where)
        return DeskSession(system.name, url, token, 1 / settings.per_second)

    def source(self, session: DeskSession, reading: Reading) -> DeskSource:
        return DeskSource(session, reading)

    def receiving(self, system: System, reach: Reach) -> Receiver | None:
        webhooks = system.settings.hooks
        if webhooks is None:
            return None
        secrets = secrets_of(webhooks, reach, reach.where(system.name))
        return Receiver(BodySigned(secrets, SIGNATURE) if secrets else Unsigned(), decode, taken=202, nothing=b"[]")

    def reread(self, position: str, streams: Collection[str]) -> str:
        return reread(position)

    def target(self, session: DeskSession, writing: Writing) -> DeskTarget:
        return DeskTarget(session, writing.system)

    def lag(self, session: DeskSession, system: System, footing: Footing) -> DeskLag:
        return DeskLag(session)

    def looking(self, session: DeskSession, system: System) -> AbstractAsyncContextManager[DeskLooking]:
        @asynccontextmanager
        async def looking() -> AsyncIterator[DeskLooking]:
            yield DeskLooking(session)

        return looking()

    async def findings(self, session: DeskSession, system: System, footing: Footing | None) -> list[Finding]:
        try:
            answer = await session.ask("GET", "/desk")
        except FieldwardenError as error:
            return [bad("connection", error.message, error.suggestion)]
        there = set(answer.json()["types"])
        lacking = [stream for stream in system.streams.values() if stream.table not in there]
        found = [good("connection", f"{system.name} answers")]
        return found + [
            bad("table", f"the desk has no objects {each.table}", f"it has {', '.join(sorted(there))}", each.name)
            for each in lacking
        ]
