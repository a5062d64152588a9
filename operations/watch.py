"""What `run` looks at from outside its loops: how much waits, and when nothing is left to do.

The loops report what they do; a loop that hangs reports nothing. So the watch asks the hub and the sources' servers
itself, every few seconds, and readiness is judged by that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from engine.errors import FieldwardenError
from engine.hub.overview import Overview, SetAsideCount, TargetState
from engine.hub.pulse import Pulse
from engine.telemetry import Connector, Telemetry
from operations.project import Opened

if TYPE_CHECKING:
    from connectors.postgres.lookout import Lookout

log = structlog.get_logger("fieldwarden.watch")
PERIOD = 3.0
PATIENCE = 60.0
"""Seconds that a connector may keep retrying before a bounded run gives up waiting for it."""
_POLL = 0.05
_LOOK_SECONDS = 3.0


class Watch:
    """Looks at one project while `run` works. Troubles of its own are logged and tried again: it must never be the
    reason for which replication stops."""

    def __init__(self, project: Opened, telemetry: Telemetry, *, patience: float = PATIENCE) -> None:
        self._project = project
        self._telemetry = telemetry
        self._patience = patience
        self._pulse = Pulse(project.hub_dsn, project.hub_schema)
        self._overview = Overview(project.hub_dsn, project.hub_schema)
        self._lookouts: dict[str, Lookout] = {name: project.lookout(name) for name in project.sources}
        self._positions: dict[str, str | None] = {}
        self._retrying: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                for look in (self._look_at_hub, *(self._looking_at(name) for name in self._lookouts)):
                    await self._try(look)
                await asyncio.sleep(PERIOD)
        finally:
            await self._pulse.close()
            await self._overview.close()
            for lookout in self._lookouts.values():
                await lookout.close()

    async def _try(self, look: Callable[[], Awaitable[None]]) -> None:
        """A server that does not answer holds up no other look: then what it would tell simply does not move."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await look()
        except (FieldwardenError, TimeoutError) as error:
            log.debug("watch.failed", message=str(error))

    async def idle(self) -> list[str]:
        """Wait until every change committed by now, and what follows from it, is decided on and delivered.

        Returns what keeps it from that, in words, if a person is needed first; empty when all is done."""
        while True:
            delivered = self._delivered()
            if stuck := await self._await(self._caught_up(await self._ends())) or await self._await(self._quiet):
                return stuck
            await asyncio.sleep(_POLL)  # a settled delivery is counted a moment after it can be seen
            if delivered == self._delivered():
                return []

    # --- what waits ------------------------------------------------------------------------------------------

    async def _look_at_hub(self) -> None:
        pending = {target.name: target for target in await self._overview.targets()}
        for name in self._project.targets:
            self._telemetry.waiting("target", name, pending[name].due if name in pending else 0)
        for source in await self._overview.sources():
            if source.name in self._lookouts and source.position != self._positions.get(source.name):
                self._positions[source.name] = source.position
                self._telemetry.progressed("source", source.name)
        self._tell_dead_letters(await self._overview.set_aside(), pending.values())

    def _tell_dead_letters(self, aside: Iterable[SetAsideCount], targets: Iterable[TargetState]) -> None:
        now = datetime.now(UTC)
        counts = [(each.system, each.kind, each.number) for each in aside]
        counts += [(target.name, "delivery", target.parked) for target in targets if target.parked]
        oldest: dict[str, float] = {}
        for each in aside:
            age = (now - each.oldest).total_seconds()
            oldest[each.system] = max(age, oldest.get(each.system, 0.0))
        self._telemetry.dead_letters(counts, oldest.items())

    def _looking_at(self, name: str) -> Callable[[], Awaitable[None]]:
        async def look() -> None:
            slot = await self._lookouts[name].slot()
            self._telemetry.slot(slot.slot, slot.retained_bytes)
            self._telemetry.waiting("source", name, slot.behind_bytes)

        return look

    # --- when nothing is left --------------------------------------------------------------------------------

    async def _await(self, reached: Callable[[], Awaitable[bool]]) -> list[str]:
        """Poll until it is so; what is in the way, if that will not pass by itself."""
        while True:
            if stuck := self._stuck():
                return stuck
            try:
                if await reached():
                    return []
            except FieldwardenError as error:
                log.debug("watch.failed", message=error.message)
            await asyncio.sleep(_POLL)

    async def _ends(self) -> dict[str, int]:
        """Where each source's log ends now; without those that cannot be asked, which `_stuck` tells about."""
        ends: dict[str, int] = {}
        for name, lookout in self._lookouts.items():
            while name not in ends and not self._stuck():
                try:
                    ends[name] = await lookout.end()
                except FieldwardenError as error:
                    log.debug("watch.failed", message=error.message)
                    await asyncio.sleep(_POLL)
        return ends

    def _caught_up(self, ends: dict[str, int]) -> Callable[[], Awaitable[bool]]:
        async def caught_up() -> bool:
            positions = await self._pulse.positions()
            return all(self._lookouts[name].reached(positions.get(name), end) for name, end in ends.items())

        return caught_up

    async def _quiet(self) -> bool:
        return not await self._pulse.busy(self._project.sources)

    def _delivered(self) -> int:
        return sum(c.steps for c in self._telemetry.connectors() if c.half == "target")

    def _stuck(self) -> list[str]:
        connectors = self._telemetry.connectors()
        return [f"{c.half} {c.name} is {c.state}: {c.message}" for c in connectors if self._is_stuck(c)]

    def _is_stuck(self, connector: Connector) -> bool:
        if connector.state != "retrying":
            self._retrying.pop(connector.label, None)
            return connector.state == "halted"
        since = self._retrying.setdefault(connector.label, time.monotonic())
        return time.monotonic() - since > self._patience
