"""The kind `rest`: a vendor's API, as a file describes it. It is read; nothing is written there yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fieldwarden.connectors.rest.asking.session import RestSession
    from fieldwarden.connectors.rest.looking.lag import RestLag
    from fieldwarden.connectors.rest.looking.rows import RestLooking
    from fieldwarden.connectors.rest.reading.source import RestSource
    from fieldwarden.engine.ports.finding import Finding
    from fieldwarden.engine.ports.kinds import Reach, Reading, Writing
    from fieldwarden.engine.ports.looks import Footing
    from fieldwarden.engine.ports.target import Target
    from fieldwarden.engine.wanted import Wanted
    from fieldwarden.rules.files import Files
    from fieldwarden.rules.findings import CheckResults
    from fieldwarden.rules.rulebook import System
    from fieldwarden.rules.settings import Settings

_EAGER_SECONDS = 0.2


class RestKind:
    @property
    def settings(self) -> type[Settings]:
        from fieldwarden.connectors.rest.settings import RestSettings

        return RestSettings

    def check(self, files: Files, systems: Sequence[str], findings: CheckResults) -> None:
        from fieldwarden.connectors.rest.systems import check_systems

        check_systems(files, systems, findings)

    def session(self, system: System, reach: Reach) -> RestSession:
        from fieldwarden.connectors.rest.asking.opening import open_session

        return open_session(system, reach)

    def source(self, session: RestSession, reading: Reading) -> RestSource:
        from fieldwarden.connectors.rest.reading.source import RestSource
        from fieldwarden.connectors.rest.settings import RestSettings

        settings = reading.system.settings
        assert isinstance(settings, RestSettings)
        every = settings.every.total_seconds()
        return RestSource(session, _objects(reading.system), min(every, _EAGER_SECONDS) if reading.eager else every)

    def reread(self, position: str, streams: Collection[str]) -> str:
        from fieldwarden.connectors.rest.reading.source import reread

        return reread(position, streams)

    def target(self, session: RestSession, writing: Writing) -> Target:  # noqa: ARG002 - the port's
        """Files that would write there are refused (`check`); whoever asks all the same is told so."""
        from fieldwarden.engine.errors import EnvironmentUnfit

        name = writing.system.name
        raise EnvironmentUnfit(
            f"{name} is only read: nothing is written to a vendor yet", suggestion="add mode: source"
        )

    def lag(self, session: RestSession, system: System, footing: Footing) -> RestLag:  # noqa: ARG002 - the port's
        from fieldwarden.connectors.rest.looking.lag import RestLag

        return RestLag(session, frozenset(_objects(system)))

    def looking(
        self,
        session: RestSession,
        system: System,  # noqa: ARG002 - the port's
    ) -> AbstractAsyncContextManager[RestLooking]:
        from fieldwarden.connectors.rest.looking.rows import RestLooking

        @asynccontextmanager
        async def looking() -> AsyncIterator[RestLooking]:
            yield RestLooking(session)

        return looking()

    async def findings(
        self,
        session: RestSession,
        system: System,
        footing: Footing | None,  # noqa: ARG002 - the port's
    ) -> Sequence[Finding]:
        from fieldwarden.connectors.rest.looking.probe import probe

        return await probe(session, _objects(system))


def _objects(system: System) -> dict[str, Wanted]:
    """By object, what all streams that read it need of it."""
    from fieldwarden.engine.wanted import wanted_tables

    return wanted_tables(system.read_streams.values(), str)
