"""`fieldwarden onboard`: the systems meet for the first time. All rows are read, nothing is delivered, and a person
sees what would be, before `fieldwarden apply` lets it.

It reads by itself, or, where `fieldwarden run` works, waits for that. The files' rules are what it shows: as long as
nothing was delivered they are made live with each look, so that a mended rule is looked at by running it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldwarden.engine.checking.meeting import Meeting
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.hub.asking import Mask
from fieldwarden.engine.hub.rules import Live
from fieldwarden.engine.hub.views.overview import AmbiguousCount, Overview, SourceState
from fieldwarden.engine.hub.views.planning import preview
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.operations.apply import applied
from fieldwarden.operations.onboarding import not_read
from fieldwarden.operations.onboarding_words import done_since, lines, told
from fieldwarden.operations.plan import planned, processors
from fieldwarden.operations.project import Opened, is_partitioned, opened
from fieldwarden.operations.report import Failure, Report
from fieldwarden.operations.rules import rules_of, take_live
from fieldwarden.operations.run.logs import configure
from fieldwarden.operations.run.run import replicate
from fieldwarden.operations.run.watch import PATIENCE, Watch
from fieldwarden.operations.stewards import alike
from fieldwarden.operations.unread import stands, unread

Say = Callable[[str], None]
SILENCE = 30.0
"""Seconds without news of a system behind Debezium after which it is not waited for any more."""
_LOOK = 1.0
_TELL = 5.0
_LISTED = 20
_READ_ON = "mend that, and run `fieldwarden onboard` again: it goes on; a system for later goes under planned: [...]"


def onboard(folder: Path | None, *, unmask: bool = False, say: Say = lambda _line: None) -> Report:
    """Exit code 1 where not all could be read: what is shown then is not the whole.

    Raises ConfigurationError, CannotApply, ApplyRuns, EnvironmentUnfit; bugs as they are."""
    configure("auto", "error")
    with opened(folder) as project:
        project.migrate()
        done = asyncio.run(_prepared(project))
        if done is not None:
            return _done(done)
        reading = _Reading(project, say)
        ended = reading.until_read()
        if ended is not None:
            return ended
        if reading.overtaken is not None:
            return _done(reading.overtaken)
        result = asyncio.run(_seen(project, reading.stuck, unmask))
    return _report(result)


async def _prepared(project: Opened) -> Live | None:
    """Make the files' rules the live ones, and let nothing be delivered; what is live where deliveries are made."""
    rules = rules_of(project)
    try:
        await rules.begin(project.project.rulebook, onboarded=False)
        live = await rules.live()
    except TransientError as error:
        raise project.no_hub(error) from error
    finally:
        await rules.close()
    if live is not None and live.onboarded is not None:
        return live
    await applied(project, reason="onboard")
    await take_live(project, begin=True)
    return None


@contextlib.asynccontextmanager
async def _overview(project: Opened) -> AsyncIterator[Overview]:
    overview = Overview(project.hub_dsn, project.hub_schema)
    try:
        yield overview
    finally:
        await overview.close()


async def _others(overview: Overview) -> bool:
    """Whether other processes work on this project."""
    return any(not worker.ours and not worker.hangs for worker in await overview.workers())


# --- reading -------------------------------------------------------------------------------------------------


@dataclass
class _Reading:
    """Until all that the systems have committed by now is read and decided on, here or by others. `stuck`: what kept it
    from that, in words."""

    project: Opened
    say: Say
    stuck: list[str] = field(default_factory=list)
    overtaken: Live | None = None
    """What is live, if meanwhile somebody let deliveries be made: then there is nothing to wait for any more."""
    _told: float = 0.0
    _trying: dict[str, float] = field(default_factory=dict)
    """Systems that others cannot reach, with since when (monotonic seconds)."""

    def until_read(self) -> Report | None:
        """The report of what a signal ended before; None: as far as it goes, all is read."""
        if asyncio.run(self._beside()):
            return None
        report = replicate(self.project, self._guide, holding=True)
        return None if report.result["stopped_by"] == "idle" else report

    async def _beside(self) -> bool:
        """See how others read, as long as there are any; False if they are gone before they are done."""
        async with _overview(self.project) as overview:
            try:
                while await _others(overview):
                    self.say("  `fieldwarden run` reads the systems; waiting for it")
                    if await self._seeing(overview):
                        return True
            except TransientError as error:
                raise self.project.no_hub(error) from error
        return False

    async def _seeing(self, overview: Overview) -> bool:
        watch = Watch(self.project, Telemetry(), lambda _half, _name: False, lambda _name: ())
        watching = asyncio.create_task(watch.run())
        try:
            return await self._rest(watch, overview, alone=False)
        finally:
            watching.cancel()

    async def _guide(self, watch: Watch) -> None:
        async with _overview(self.project) as overview:
            await self._rest(watch, overview, alone=True)

    async def _rest(self, watch: Watch, overview: Overview, *, alone: bool) -> bool:
        """False if nobody reads any more."""
        rules = rules_of(self.project)
        idle = asyncio.create_task(watch.idle())
        changes, moved = -1, time.monotonic()
        try:
            while not (await asyncio.wait({idle}, timeout=_LOOK))[0]:
                try:
                    live = await rules.live()
                    if live is not None and live.onboarded is not None:
                        self.overtaken = live
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


async def _seen(project: Opened, stuck: list[str], unmask: bool) -> dict[str, Any]:
    """All that is shown, from the hub alone."""
    began = time.monotonic()
    meeting = Meeting(project.rulebook)
    try:
        async with _overview(project) as overview:
            missing = await not_read(project, overview)
            entities = frozenset(project.rulebook.entities)
            await preview(project.hub_dsn, project.hub_schema, entities, meeting, processors())
            found = await planned(project)
            mask = project.mask(unmask=unmask)
            return {
                "onboarded": None,
                "rulebook": project.rulebook.hash,
                "plan": found.hash if found is not None and not missing and not stuck else None,
                "complete": not missing and not stuck,
                "unread": missing,
                "stuck": stuck,
                "left_out": list(project.project.settings.planned),
                **told(project.rulebook, meeting, mask),
                "not_unique": {
                    "counts": await overview.duplicate_counts(),
                    "first": await alike(project, _LISTED),
                },
                "ambiguous": [_ambiguous(each, mask) for each in await overview.ambiguous(_LISTED)],
                "set_aside": [
                    {"system": each.system, "kind": each.kind, "number": each.number}
                    for each in await overview.set_aside()
                ],
                "seconds": round(time.monotonic() - began, 1),
            }
    except TransientError as error:
        raise project.no_hub(error) from error


def _ambiguous(each: AmbiguousCount, mask: Mask) -> dict[str, Any]:
    keys = [mask.key(each.system, each.stream, key) for key in each.keys]
    return {
        "system": each.system,
        "stream": each.stream,
        "reason": each.reason,
        "rows": each.number,
        "keys": sorted(set(keys)),
    }


# --- telling -------------------------------------------------------------------------------------------------


def _done(live: Live) -> Report:
    assert live.onboarded is not None
    onboarded = {"since": live.onboarded.isoformat(), "by": live.onboarded_by}
    return Report({"onboarded": onboarded, "rulebook": live.hash}, done_since(live.onboarded, live.onboarded_by))


def _report(result: dict[str, Any]) -> Report:
    text = "\n".join(lines(result))
    if result["complete"]:
        return Report(result, text)
    why = [*(f"{system}: {reason}" for system, reason in result["unread"].items()), *result["stuck"]]
    failure = Failure("not_read", f"not all has been read, and what is shown is a part: {'; '.join(why)}", _READ_ON)
    return Report(result, text, failure, exit_code=1)
