"""The loops of one process, started and stopped as its duties come and go.

    beat -> what is held  ->  start what is new, cancel what was lost, end in good order what others are due

A duty that is given up is free once its loop has ended, at the end of the batch in hand. One that was lost (its lease
ran out while this process hung) is cancelled where it stands: somebody else does that work now. Sources of many
partitions are read by every process, in a lane that its number names.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from engine.delivery import Delivery
from engine.errors import Fenced, FieldwardenError, TransientError
from engine.pipeline import Pipeline
from engine.wake import Wake, either

if TYPE_CHECKING:
    from engine.hub.duties import Duties
    from engine.ports import Hub, Source, Target, Write, WriteResult
    from engine.telemetry import Half, Telemetry
    from operations.ops import Health
    from operations.project import Opened

log = structlog.get_logger("fieldwarden.run")
GRACE = 25.0
"""Seconds that a batch in hand may take after a loop was told to end; then it is cancelled and rolls back."""
_STANDBY = "standby: other processes do all the work of this project"


def duties_of(project: Opened) -> list[str]:
    """What only one worker may do at a time."""
    sources = [f"source:{name}" for name in project.sources if not is_partitioned(project, name)]
    return [*sources, *(f"target:{name}" for name in project.targets)]


def is_partitioned(project: Opened, system: str) -> bool:
    """Whether any number of workers share a source, each reading some of its partitions."""
    return project.rulebook.systems[system].kind == "debezium"


@dataclass(eq=False)
class _Loop:
    task: asyncio.Task[None]
    stop: asyncio.Event
    lane: str
    patience: float = float("inf")
    """Until when (monotonic seconds) it may take to end."""

    def end(self) -> None:
        if not self.stop.is_set():
            self.stop.set()
            self.patience = time.monotonic() + GRACE


@dataclass
class Loops:
    """`rebaseline` names sources to be read anew; `eager` ones say soon that they are idle."""

    project: Opened
    hub: Hub
    telemetry: Telemetry
    duties: Duties
    health: Health
    rebaseline: Sequence[str] = ()
    eager: bool = False
    _loops: dict[str, _Loop] = field(default_factory=dict)
    _sources: dict[str, Source] = field(default_factory=dict)
    _wake: Wake = field(default_factory=Wake)
    _begun: set[str] = field(default_factory=set)
    _ready: bool = False
    _started: bool = False
    _trouble: str = ""
    """Why the hub could not be asked just now."""

    def does(self, half: Half, name: str) -> bool:
        """Whether this process does that work now."""
        return f"{half}:{name}" in self._loops

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, and all has ended. Raises what escapes a loop, which is a bug; then everything is cancelled."""
        try:
            while not stop.is_set():
                surplus = await self._beat(stop)
                await self._reconcile(surplus)
                self._tell()
                await self._wait(stop)
                await self._collect()
            await self._wind_down()
        finally:
            for loop in self._loops.values():
                loop.task.cancel()
            await asyncio.gather(*(loop.task for loop in self._loops.values()), return_exceptions=True)
            await self.duties.leave()

    async def _wind_down(self) -> None:
        """Every loop ends its batch, and gives up its duty as soon as it has."""
        for loop in self._loops.values():
            loop.end()
        while self._loops:
            tasks = [loop.task for loop in self._loops.values()]
            await asyncio.wait(tasks, timeout=self.duties.period, return_when=asyncio.FIRST_COMPLETED)
            await self._collect()
            if self._loops:
                await self._beat(asyncio.Event(), taking=False)
                self._cancel()

    # --- duties ----------------------------------------------------------------------------------------------

    async def _beat(self, stop: asyncio.Event, *, taking: bool = True) -> Collection[str]:
        leaving = [name for name, loop in self._loops.items() if loop.stop.is_set()]
        beating = asyncio.ensure_future(self.duties.beat(leaving=leaving, taking=taking))
        if not await either(beating, stop):
            return ()
        try:
            surplus = beating.result()
            if not self._ready:
                await self._read_anew()
        except TransientError as error:
            log.warning("hub.unreachable", message=error.message)
            self._trouble = error.message
            return ()
        self._trouble = ""
        return surplus

    async def _read_anew(self) -> None:
        """Before any delivery: a system that is read anew may hold rows that we have not heard of. And before that, so
        that it stays unread: whoever reads it now must not commit any more."""
        direct = [name for name in self.rebaseline if not is_partitioned(self.project, name)]
        for name in direct:
            if not self.duties.holds(f"source:{name}"):
                return
            await self.hub.lease(name)
        await self.hub.reread(direct)
        for name in self.rebaseline:
            if name not in direct and name not in self._begun:
                from operations.kafka import begin_again

                try:
                    await begin_again(self.project, name, self.hub)
                except TransientError as error:
                    log.warning("source.not_begun_again", system=name, message=error.message)
                    return
                self._begun.add(name)
        self._ready = True

    def _wanted(self) -> dict[str, str]:
        """Duty -> the lane it is done in."""
        if not self._ready:
            return {}
        wanted = {duty: "" for duty in self.duties.held if self.duties.holds(duty)}
        for name in self.project.sources:
            if is_partitioned(self.project, name):
                wanted[f"source:{name}"] = f"{name}#{self.duties.number}"
        return wanted

    async def _reconcile(self, surplus: Collection[str]) -> None:
        self._cancel()
        for duty in surplus:
            if duty in self._loops:
                self._loops[duty].end()
            else:
                await self._give(duty)
        for duty, lane in self._wanted().items():
            if duty not in self._loops and duty not in surplus:
                self._start(duty, lane)

    def _cancel(self) -> None:
        """What is not ours any more (or may not be: the lease ran out), and what takes too long to end."""
        wanted, now = self._wanted(), time.monotonic()
        for duty, loop in self._loops.items():
            lost = wanted.get(duty) != loop.lane
            if (lost or now > loop.patience) and not loop.task.done():
                log.warning("duty.lost" if lost else "duty.cancelled", duty=duty)
                loop.task.cancel()

    async def _give(self, duty: str) -> None:
        try:
            await self.duties.give(duty)
        except TransientError as error:
            log.warning("hub.unreachable", message=error.message)

    def _tell(self) -> None:
        """Whether this process has anything to do."""
        standby = _STANDBY if self._ready and not self._loops else ""
        if self._trouble and not self._loops:
            standby = self._trouble
        elif standby and self.health.standby != standby:
            log.info("run.standby", message=standby)
        self.health.standby = standby
        if self._loops and not self._started:
            self._started = True
            log.info(
                "run.started",
                count=len(self._loops),
                worker=self.duties.number,
                rulebook=self.project.rulebook.hash[:12],
            )

    # --- loops -----------------------------------------------------------------------------------------------

    def _start(self, duty: str, lane: str) -> None:
        half, _, name = duty.partition(":")
        stop = asyncio.Event()
        loop = self._pipeline(name, lane) if half == "source" else self._delivery(name)
        self.telemetry.connector_state("source" if half == "source" else "target", name, "new")
        work = self._do(loop, stop, name, self.duties.former.pop(duty, ""))
        self._loops[duty] = _Loop(asyncio.create_task(work, name=duty), stop, lane)
        log.info("duty.taken", duty=duty, lane=lane, worker=self.duties.number)

    async def _do(self, loop: Pipeline | Delivery, stop: asyncio.Event, name: str, former: str) -> None:
        """Do a duty, after a worker that was cut off from it: it may still hold a slot, or locks on rows."""
        if former:
            from connectors.postgres.session import end_sessions

            with contextlib.suppress(FieldwardenError):  # then the server's own timeouts have to do
                await end_sessions(name, self.project.dsn(name), former)
        await loop.run(stop)

    def _pipeline(self, name: str, lane: str) -> Pipeline:
        project = self.project
        source = self._sources.get(name)
        if source is None:  # kept: it knows whether it has begun to read anew
            source = project.source(name, self.hub, rebaseline=name in self.rebaseline, eager=self.eager)
            self._sources[name] = source
        return Pipeline(
            project.rulebook,
            source,
            self.hub,
            self.telemetry,
            wake=self._wake,
            tolerance=project.future_tolerance,
            lane=lane,
        )

    def _delivery(self, name: str) -> Delivery:
        target = _WhileHeld(self.project.target(name, self.hub), self.duties)
        return Delivery(self.project.rulebook, name, target, self.hub, self.telemetry, wake=self._wake)

    async def _wait(self, stop: asyncio.Event) -> None:
        """Until the next beat is due, a loop has ended, or `stop`."""
        stopping = asyncio.ensure_future(stop.wait())
        tasks = [loop.task for loop in self._loops.values()]
        try:
            await asyncio.wait({stopping, *tasks}, timeout=self.duties.period, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def _collect(self) -> None:
        """Clear away loops that have ended. One that was fenced begins anew with the next beat, if the duty is still
        ours then."""
        for duty, loop in [(duty, loop) for duty, loop in self._loops.items() if loop.task.done()]:
            del self._loops[duty]
            half, _, name = duty.partition(":")
            self.telemetry.forget("source" if half == "source" else "target", name)
            error = None if loop.task.cancelled() else loop.task.exception()
            if isinstance(error, Fenced):
                log.warning("duty.fenced", duty=duty, message=error.message)
            elif error is not None:
                raise error
            if loop.stop.is_set() and not loop.lane:
                await self._give(duty)
                log.info("duty.given", duty=duty)


class _WhileHeld:
    """A target that is written to only as long as the duty to do so has not run out."""

    def __init__(self, target: Target, duties: Duties) -> None:
        self.system = target.system
        self._target = target
        self._duties = duties

    async def write(self, writes: Sequence[Write]) -> Sequence[WriteResult]:
        if not self._duties.holds(f"target:{self.system}"):
            raise TransientError(
                f"{self.system}: the right to write there ran out before the hub could be asked for it again"
            )
        return await self._target.write(writes)

    async def close(self) -> None:
        await self._target.close()
