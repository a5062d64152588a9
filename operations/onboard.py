"""The systems meet for the first time. All rows are read, nothing is delivered, and a person sees what would be, before
`fieldwarden apply` lets it.

It reads by itself, or, where `fieldwarden run` works, waits for that. The files' rules are what it shows: as long as
nothing was delivered they are made live with each look, so that a mended rule is looked at by running it again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fieldwarden.engine.checking.meeting import Meeting
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.hub.rules import Live
from fieldwarden.engine.hub.views.overview import Overview, SourceState
from fieldwarden.engine.hub.views.planning import preview
from fieldwarden.engine.principal import Principal
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.operations.apply import applied
from fieldwarden.operations.hub import no_hub
from fieldwarden.operations.introduction import Ambiguous, Introduction, NotUnique, SetAside, introduction
from fieldwarden.operations.onboarding import not_read
from fieldwarden.operations.plan import planned, processors
from fieldwarden.operations.project import Opened, is_partitioned
from fieldwarden.operations.rules import rules_of, take_live
from fieldwarden.operations.run.run import Ending, Ran, replicate
from fieldwarden.operations.run.watch import PATIENCE, Watch
from fieldwarden.operations.stewards import alike
from fieldwarden.operations.systems import sessions
from fieldwarden.operations.unread import stands, unread

Say = Callable[[str], None]
SILENCE = 30.0
"""Seconds without news of a system behind Debezium after which it is not waited for any more."""
_LOOK = 1.0
_TELL = 5.0
_LISTED = 20


@dataclass(frozen=True, slots=True)
class Introduced:
    """Somebody has let deliveries be made already; `by` is empty where nobody had to."""

    since: datetime
    by: str
    rulebook: str


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is shown. `plan`: what an apply may insist on, None if not all was read; `unread`: by system, why not
    all was; `stuck`: what kept it from reading; `left_out`: systems that the files plan for later."""

    rulebook: str
    plan: str | None
    unread: dict[str, str]
    stuck: Sequence[str]
    left_out: Sequence[str]
    introduction: Introduction
    seconds: float

    @property
    def complete(self) -> bool:
        return not self.unread and not self.stuck


async def onboard(
    project: Opened, who: Principal, ending: Ending, *, unmask: bool = False, say: Say = lambda _line: None
) -> Introduced | Ran | Seen:
    """`Ran` is how it was ended before all was read.

    Raises ConfigurationError, CannotApply, ApplyRuns, EnvironmentUnfit; bugs as they are."""
    await asyncio.to_thread(project.migrate)
    if (done := await _prepared(project, who)) is not None:
        return done
    reading = _Reading(project, who, say)
    if (ended := await reading.until_read(ending)) is not None:
        return ended
    if reading.overtaken is not None:
        return reading.overtaken
    return await _seen(project, reading.stuck, unmask)


async def _prepared(project: Opened, who: Principal) -> Introduced | None:
    """Make the files' rules the live ones, and let nothing be delivered. If deliveries are made already: since when."""
    rules = rules_of(project)
    try:
        await rules.begin(project.project.rulebook, onboarded=False)
        live = await rules.live()
    except TransientError as error:
        raise no_hub(error) from error
    finally:
        await rules.close()
    if (done := _introduced(live)) is not None:
        return done
    await applied(project, who, reason="onboard")
    await take_live(project, begin=True)
    return None


def _introduced(live: Live | None) -> Introduced | None:
    if live is None or live.onboarded is None:
        return None
    return Introduced(live.onboarded, live.onboarded_by, live.hash)


async def _others(overview: Overview) -> bool:
    """Whether other processes work on this project."""
    return any(not worker.ours and not worker.hangs for worker in await overview.workers())


# --- reading -------------------------------------------------------------------------------------------------


@dataclass
class _Reading:
    """Until all that the systems have committed by now is read and decided on, here or by others. `stuck`: what kept it
    from that, in words."""

    project: Opened
    who: Principal
    say: Say
    stuck: list[str] = field(default_factory=list)
    overtaken: Introduced | None = None
    """What is live, if meanwhile somebody let deliveries be made: then there is nothing to wait for any more."""
    _told: float = 0.0
    _trying: dict[str, float] = field(default_factory=dict)
    """Systems that others cannot reach, with since when (monotonic seconds)."""

    async def until_read(self, ending: Ending) -> Ran | None:
        """How it was ended before; None: as far as it goes, all is read."""
        if await self._beside():
            return None
        ran = await replicate(self.project, self.who, ending, self._guide, holding=True)
        return ran if ran.signal else None

    async def _beside(self) -> bool:
        """See how others read, as long as there are any; False if they are gone before they are done."""
        async with sessions(self.project), self.project.live_hub.part(Overview) as overview:
            while await _others(overview):
                self.say("  `fieldwarden run` reads the systems; waiting for it")
                if await self._seeing(overview):
                    return True
        return False

    async def _seeing(self, overview: Overview) -> bool:
        watch = Watch(self.project, Telemetry(), lambda _half, _name: False, lambda _name: ())
        watching = asyncio.create_task(watch.run())
        try:
            return await self._rest(watch, overview, alone=False)
        finally:
            watching.cancel()

    async def _guide(self, watch: Watch) -> None:
        async with self.project.live_hub.part(Overview) as overview:
            await self._rest(watch, overview, alone=True)

    async def _rest(self, watch: Watch, overview: Overview, *, alone: bool) -> bool:
        """False if nobody reads any more."""
        rules = rules_of(self.project)
        idle = asyncio.create_task(watch.idle())
        changes, moved = -1, time.monotonic()
        try:
            while not (await asyncio.wait({idle}, timeout=_LOOK))[0]:
                try:
                    self.overtaken = _introduced(await rules.live())
                    if self.overtaken is not None:
                        return True
                    if not alone and not await _others(overview):
                        return False
                    states = await overview.sources()
                    silent = await unread(self.project, overview, states)
                except TransientError:  # the hub is away for a moment: whoever reads waits for it too
                    continue
                heard = sum(state.changes for state in states)
                if heard != changes:
                    changes, moved = heard, time.monotonic()
                self._tell({state.name: state.changes for state in states})
                if time.monotonic() - moved > SILENCE and any(is_partitioned(self.project, each) for each in silent):
                    return True
                if not alone and (away := self._away(states)):
                    self.stuck = away
                    return True
            self.stuck = idle.result()
            return True
        finally:
            idle.cancel()
            await rules.close()

    def _away(self, states: Sequence[SourceState]) -> list[str]:
        """Systems that others have been trying to reach for so long that they are not waited for."""
        now, trying = time.monotonic(), {state.name: state for state in states if state.state == "retrying"}
        self._trying = {name: self._trying.get(name, now) for name in trying}
        return [f"{name}: {stands(trying[name])}" for name, since in self._trying.items() if now - since > PATIENCE]

    def _tell(self, changes: dict[str, int]) -> None:
        now = time.monotonic()
        if changes and now - self._told > _TELL:
            self._told = now
            self.say("  read so far: " + ", ".join(f"{name} {number:,} rows" for name, number in changes.items()))


# --- looking -------------------------------------------------------------------------------------------------


async def _seen(project: Opened, stuck: list[str], unmask: bool) -> Seen:
    """All that is shown, from the hub alone."""
    began = time.monotonic()
    meeting, hub = Meeting(project.rulebook), project.live_hub
    mask = hub.mask(unmask=unmask)
    async with hub.part(Overview) as overview:
        missing = await not_read(project, overview)
        entities = frozenset(project.rulebook.entities)
        await preview(hub.dsn, hub.schema, entities, meeting, processors())
        found = await planned(project)
        not_unique = NotUnique(await overview.duplicate_counts(), await alike(hub, _LISTED))
        ambiguous = [
            Ambiguous(
                each.system,
                each.stream,
                each.reason,
                each.number,
                sorted({mask.key(each.system, each.stream, key) for key in each.keys}),
            )
            for each in await overview.ambiguous(_LISTED)
        ]
        aside = [SetAside(each.system, each.kind, each.number) for each in await overview.set_aside()]
    return Seen(
        rulebook=project.rulebook.hash,
        plan=found.hash if found is not None and not missing and not stuck else None,
        unread=missing,
        stuck=stuck,
        left_out=list(project.project.settings.planned),
        introduction=introduction(project.rulebook, meeting, mask, not_unique, ambiguous, aside),
        seconds=round(time.monotonic() - began, 1),
    )
