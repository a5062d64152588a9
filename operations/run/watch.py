"""What `run` looks at from outside its loops: how much waits, and when nothing is left to do.

The loops report what they do; a loop that hangs reports nothing. So the watch asks the hub and the sources' servers
itself, every few seconds, and readiness is judged by that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from fieldwarden.engine.errors import FieldwardenError
from fieldwarden.engine.hub.views.footing import HubFooting
from fieldwarden.engine.hub.views.held_deletions import HeldCount, HeldDeletions
from fieldwarden.engine.hub.views.overview import Overview, SetAsideCount, TargetState
from fieldwarden.engine.hub.views.pulse import Pulse
from fieldwarden.engine.ports.duties import Duty, Half
from fieldwarden.engine.running.telemetry import Connector, Telemetry
from fieldwarden.operations.deletes import question
from fieldwarden.operations.project import Opened, is_partitioned
from fieldwarden.operations.systems import lag as lag_of
from fieldwarden.operations.unread import held_up, unread

if TYPE_CHECKING:
    from fieldwarden.engine.ports.looks import Lag, PartitionsLag

log = structlog.get_logger("fieldwarden.watch")
PERIOD = 3.0
PATIENCE = 60.0
"""Seconds that a connector may keep retrying before a bounded run gives up waiting for it."""
SILENCE = 300.0
"""Seconds without news of a system that is not read before a bounded run gives it up: reading it anew may take several
restarts of Debezium's task, and says nothing while it does."""
_POLL = 0.05
_LOOK_SECONDS = 3.0


class Watch:
    """Looks at one project while `run` works. Troubles of its own are logged and tried again: it must never be the
    reason for which replication stops. `does` tells which halves of systems this process works on, `shards` which of
    a target's deliveries; how the others fare, their own processes tell. `asks` is told what a person
    is asked."""

    def __init__(
        self,
        project: Opened,
        telemetry: Telemetry,
        does: Callable[[Half, str], bool],
        shards: Callable[[str], Collection[int]],
        asks: Callable[[list[str]], None] = lambda _: None,
        *,
        patience: float = PATIENCE,
        silence: float = SILENCE,
    ) -> None:
        self._project = project
        self._telemetry = telemetry
        self._does = does
        self._shards = shards
        self._asks = asks
        self._patience = patience
        self._silence = silence
        self._pulse = Pulse(project.hub_dsn, project.hub_schema)
        self._overview = Overview(project.hub_dsn, project.hub_schema)
        self._held = HeldDeletions(project.hub_dsn, project.hub_schema)
        self._footing = HubFooting(project.hub_dsn, project.hub_schema)
        self._lags: dict[str, Lag] = {}
        self._parted: dict[str, PartitionsLag] = {}
        for name in project.sources:
            lag: Any = lag_of(project, name, self._footing)
            self._lags[name] = lag
            if is_partitioned(project, name):
                self._parted[name] = lag
        self._positions: dict[str, dict[str, str | None]] = {}
        self._retrying: dict[str, float] = {}
        self._paused: set[str] = set()
        """Targets of whose pause it was told that it is waited for."""
        self._told: dict[str, str] = {}
        """Unread systems that the log has named, with the reason."""
        self._asked: set[tuple[str, str]] = set()
        """Streams of which the log has said that deletions are held."""
        self._heard = 0
        self._look_again = time.monotonic() + PERIOD

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                looks = [self._looking_at(name) for name in self._lags if self._does("source", name)]
                for look in (self._look_at_hub, *looks):
                    await self._try(look)
                await asyncio.sleep(PERIOD)
        finally:
            await self._pulse.close()
            await self._overview.close()
            await self._held.close()
            await self._footing.close()
            for lag in self._lags.values():
                await lag.close()

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
        stuck = await self._await(self._at_rest)
        while not stuck:
            heard = self._heard
            # What was written last, by whichever process, may itself change something when it is heard of.
            stuck = await self._await(self._caught_up(await self._ends())) or await self._await(self._at_rest)
            if not stuck and heard == self._heard:
                return []
        return stuck

    # --- what waits ------------------------------------------------------------------------------------------

    async def _look_at_hub(self) -> None:
        targets = await self._overview.targets()
        sources = await self._overview.sources()
        parts = await self._pulse.parts()
        for name in self._project.targets:
            if shards := self._shards(name):
                self._telemetry.waiting("target", name, await self._overview.due(name, shards))
        for source in sources:
            if self._does("source", source.name) and parts.get(source.name) != self._positions.get(source.name):
                self._positions[source.name] = parts.get(source.name, {})
                self._telemetry.progressed("source", source.name)
        changes = {source.name: source.changes for source in sources}
        found = await unread(self._project, self._overview, sources)
        self._telemetry.unread({name: (reason, changes.get(name, 0)) for name, reason in found.items()})
        self._tell_unread()
        self._tell_dead_letters(await self._overview.set_aside(), targets)
        self._telemetry.duplicates(await self._overview.duplicate_counts())
        self._ask(await self._held.counts())

    def _unread_for(self, seconds: float) -> dict[str, str]:
        """Systems that are not read, and of which nothing was heard for so long: the reasons."""
        since = time.time() - seconds
        return {each.system: each.reason for each in self._telemetry.unread_systems() if each.idle_since < since}

    def _tell_unread(self) -> None:
        still = self._unread_for(self._patience)
        for system, reason in still.items():
            if self._told.get(system) != reason:
                log.warning("deliveries.held_up", system=system, message=held_up(system, reason))
        self._told = still

    def _ask(self, held: Sequence[HeldCount]) -> None:
        """Whether deletions that are held are meant: in the log once a stream, and in readiness while they are."""
        self._asks([question(each) for each in held])
        for each in held:
            if (each.system, each.stream) not in self._asked:
                log.warning("deletions.held", system=each.system, message=question(each))
        self._asked = {(each.system, each.stream) for each in held}

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
            slot = await self._lags[name].slot()
            if slot is not None:
                self._telemetry.slot(slot.slot, slot.retained_bytes)
            if name in self._parted:
                await self._look_at_partitions(name, self._parted[name])
            elif slot is not None and self._does("source", name):
                self._telemetry.waiting("source", name, slot.behind_bytes)

        return look

    async def _look_at_partitions(self, name: str, lag: PartitionsLag) -> None:
        known = [part for part in await self._overview.partitions() if part.source == name]
        lags = await lag.lags({part.name: part.position for part in known})
        mine = {p.name: (p.position, lags[p.name], p.message) for p in known if p.ours and p.name in lags}
        self._telemetry.partitions(name, mine if self._does("source", name) else {})

    # --- when nothing is left --------------------------------------------------------------------------------

    async def _await(self, reached: Callable[[], Awaitable[bool]]) -> list[str]:
        """Poll until it is so; what is in the way, if that will not pass by itself."""
        while True:
            if stuck := self._stuck():
                return stuck
            self._tell_pauses()
            try:
                if await reached():
                    return []
                if stuck := await self._stuck_by_hub():
                    return stuck
            except FieldwardenError as error:
                log.debug("watch.failed", message=error.message)
            await asyncio.sleep(_POLL)

    def _tell_pauses(self) -> None:
        """What it takes long for though nothing is wrong: said once of each target."""
        for each in self._telemetry.connectors():
            if each.state == "busy" and each.label not in self._paused:
                self._paused.add(each.label)
                log.info("run.waits", system=each.name, message=f"{each.message}; the run ends after it")

    async def _ends(self) -> dict[str, Any]:
        """Where each source's log ends now; without those that cannot be asked, which `_stuck` tells about."""
        ends = await asyncio.gather(*map(self._end, self._lags.values()))
        return {name: end for name, end in zip(self._lags, ends, strict=True) if end is not None}

    async def _end(self, lag: Lag) -> Any:
        while not self._stuck():
            try:
                return await lag.end()
            except FieldwardenError as error:
                log.debug("watch.failed", message=error.message)
                await asyncio.sleep(_POLL)
        return None

    def _caught_up(self, ends: dict[str, Any]) -> Callable[[], Awaitable[bool]]:
        async def caught_up() -> bool:
            parts = await self._pulse.parts()
            return all(self._lags[name].reached(parts.get(name, {}), end) for name, end in ends.items())

        return caught_up

    async def _at_rest(self) -> bool:
        """Whether all that the hub has heard of is decided on and delivered; notes how much that is."""
        self._heard = await self._pulse.heard()
        return not await self._pulse.busy(self._project.sources)

    def _stuck(self) -> list[str]:
        connectors = self._telemetry.connectors()
        return [f"{c.half} {c.name} is {c.state}: {c.message}" for c in connectors if self._is_stuck(c)]

    async def _stuck_by_hub(self) -> list[str]:
        """What other processes have said of themselves, and every one of its partitions."""
        if time.monotonic() < self._look_again:
            return []
        self._look_again = time.monotonic() + PERIOD
        theirs = {duty for worker in await self._overview.workers() if not worker.ours for duty in worker.duties}
        halted = [s for s in await self._overview.sources() if s.state == "halted" and Duty("source", s.name) in theirs]
        stuck = [f"source {source.name} is halted: {source.message}" for source in halted]
        still = await self._overview.standing_still()
        stuck += [f"source {p.source}: the partition {p.name} stands still: {p.message}" for p in still]
        return stuck or [held_up(*each) for each in self._unread_for(self._silence).items()]

    def _is_stuck(self, connector: Connector) -> bool:
        if connector.state != "retrying":
            self._retrying.pop(connector.label, None)
            return connector.state == "halted"
        since = self._retrying.setdefault(connector.label, time.monotonic())
        return time.monotonic() - since > self._patience
