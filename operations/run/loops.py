"""The loops of one process, started and stopped as its duties come and go.

    beat -> what is held  ->  start what is new, cancel what was lost, end in good order what others are due

A duty that is given up is free once its loop has ended, at the end of the batch in hand. One that was lost (its lease
ran out while this process hung) is cancelled where it stands: somebody else does that work now. Sources of many
partitions are read by every process, in a lane that its number names; deliveries to a target by every process that has
some of its shards, in one loop for all of those.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import structlog

from fieldwarden.engine.deciding.unidentified import waits_for_logs
from fieldwarden.engine.errors import Fenced, FieldwardenError, TransientError
from fieldwarden.engine.ports.duties import SHARDS, Duty, Half, Lane, LoopName
from fieldwarden.engine.ports.kinds import Reading, Writing
from fieldwarden.engine.ports.parts import Begun
from fieldwarden.engine.principal import Principal
from fieldwarden.engine.running.arrivals import InboxArrivals
from fieldwarden.engine.running.delivery import Delivery
from fieldwarden.engine.running.ingest.session import Pipeline, microseconds
from fieldwarden.engine.running.wake import Wake, either
from fieldwarden.operations.onboarding import ONBOARDING
from fieldwarden.operations.project import is_partitioned
from fieldwarden.operations.run.catching_up import caught_up
from fieldwarden.operations.run.while_held import WhileHeld
from fieldwarden.operations.systems import session
from fieldwarden.operations.systems import source as source_of
from fieldwarden.operations.systems import target as target_of

if TYPE_CHECKING:
    from fieldwarden.engine.hub.duties import Duties
    from fieldwarden.engine.ports.hub import Hub
    from fieldwarden.engine.ports.inbox import Inbox
    from fieldwarden.engine.ports.source import Source
    from fieldwarden.engine.running.telemetry import Telemetry
    from fieldwarden.operations.project import Opened
    from fieldwarden.operations.run.health import Health

log = structlog.get_logger("fieldwarden.run")
GRACE = 25.0
"""Seconds that a batch in hand may take after a loop was told to end; then it is cancelled and rolls back."""
_STANDBY = "standby: other processes do all the work of this project"


def duties_of(project: Opened, *, reading: bool = False) -> list[Duty]:
    """What only one worker may do at a time; `reading`: nothing that delivers."""
    sources = [Duty("source", name) for name in project.sources if not is_partitioned(project, name)]
    targets = [] if reading else [Duty("target", name, shard) for name in project.targets for shard in SHARDS]
    return sources + targets


class _Work(NamedTuple):
    """What a loop is for: its share of a source that all workers read, or duties that are held for it (one, or the
    shards of a target). `worker` is this one's number, where it is a share."""

    worker: int | None
    duties: frozenset[Duty]


@dataclass(eq=False)
class _Loop:
    task: asyncio.Task[None]
    stop: asyncio.Event
    work: _Work
    giving: set[Duty] = field(default_factory=set)
    """Duties that others are due, once it has ended."""
    patience: float = float("inf")
    """Until when (monotonic seconds) it may take to end."""

    def end(self, giving: Collection[Duty] = ()) -> None:
        self.giving.update(giving)
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
    id: str
    """The project's own."""
    who: Principal
    key: bytes = field(repr=False)
    """What its marks are sealed with."""
    rebaseline: Sequence[str] = ()
    eager: bool = False
    wake: Wake = field(default_factory=Wake)
    inbox: Inbox | None = None
    superseded: bool = False
    """Another rulebook has become live: all has ended in good order, to begin anew under that one."""
    _loops: dict[LoopName, _Loop] = field(default_factory=dict)
    _sources: dict[str, Source] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)
    _away: set[str] = field(default_factory=set)
    """Systems that are to be read anew, and could not be asked for their rows."""
    _ready: bool = False
    _started: bool = False
    _trouble: str = ""
    """Why the hub could not be asked just now."""

    def does(self, half: Half, name: str) -> bool:
        """Whether this process does that work now, or some of it."""
        return LoopName(half, name) in self._loops

    def shards(self, target: str) -> list[int]:
        """Those of a target's deliveries that this process does now."""
        loop = self._loops.get(LoopName("target", target))
        return _shards(loop.work.duties) if loop is not None else []

    @property
    def began_again(self) -> bool:
        """Whether the sources that are to be read anew have been begun."""
        return self._ready

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until other rules are live, and all has ended. Raises what escapes a loop, which is a bug;
        then everything is cancelled."""
        try:
            while not stop.is_set():
                surplus = await self._beat(stop)
                if self.duties.live not in ("", self.project.rulebook.hash):
                    self.superseded = True
                    log.info("rules.superseded", rulebook=self.duties.live[:12], former=self.project.rulebook.hash[:12])
                    break
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
        """Every loop ends its batch, and gives up its duties as soon as it has."""
        for loop in self._loops.values():
            loop.end(loop.work.duties)
        while self._loops:
            tasks = [loop.task for loop in self._loops.values()]
            await asyncio.wait(tasks, timeout=self.duties.period, return_when=asyncio.FIRST_COMPLETED)
            await self._collect()
            if self._loops:
                await self._beat(asyncio.Event(), taking=False)
                self._cancel()

    # --- duties ----------------------------------------------------------------------------------------------

    async def _beat(self, stop: asyncio.Event, *, taking: bool = True) -> Collection[Duty]:
        leaving = {duty for loop in self._loops.values() for duty in loop.giving}
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
        missing = [duty for duty in (Duty("source", name) for name in direct) if not self.duties.holds(duty)]
        if missing:  # also where it was ours, and the lease ran out while this process hung
            self.duties.want(missing)
            return
        for name in self.rebaseline:
            if name not in self._begun:
                number = (await self.hub.baseline(name)).number + 1
                try:
                    positions = await self._source(name).ends(number)
                except TransientError as error:
                    log.warning("source.not_begun_again", system=name, message=error.message)
                    self._away.add(name)
                    continue
                self._away.discard(name)
                begun = Begun(self.who.name, "run --rebaseline", microseconds(), self.who.known_by)
                if not await self.hub.begin_again(name, number, positions, begun):
                    log.info("rebaseline.joined", system=name)  # another worker's: it tells what ours would
                self._begun.add(name)
        self._ready = not self._away

    def _wanted(self) -> dict[LoopName, _Work]:
        """The loops that should run, by name."""
        if not self._ready and not self._away:
            return {}
        held = sorted(duty for duty in self.duties.mine if self.duties.holds(duty) and self._may(duty))
        wanted = {name: _Work(None, frozenset(duties)) for name, duties in groupby(held, lambda duty: duty.loop)}
        for name in self.project.sources:
            if is_partitioned(self.project, name) and name not in self._away:
                wanted[LoopName("source", name)] = _Work(self.duties.number, frozenset())
        return wanted

    def _may(self, duty: Duty) -> bool:
        """Deliveries are held, but begun by nobody before the onboarding has ended, nor by us while a system that is to
        be read anew cannot be reached. That one is not read meanwhile, all others are."""
        if duty.half == "target":
            return self._ready and self.duties.onboarded
        return duty.system not in self._away

    async def _reconcile(self, surplus: Collection[Duty]) -> None:
        self._cancel()
        for duty in surplus:
            loop = self._loops.get(duty.loop)
            if loop is not None and duty in loop.work.duties:
                loop.end([duty])
            else:
                await self._give(duty)
        for name, (worker, held) in self._wanted().items():
            loop, duties = self._loops.get(name), held.difference(surplus)
            if loop is not None:
                if duties - loop.work.duties:
                    loop.end()  # to begin anew with what has come to it
            elif worker is not None or duties:
                self._start(name, _Work(worker, duties))

    def _cancel(self) -> None:
        """What is not ours any more (or may not be: the lease ran out), and what takes too long to end."""
        wanted, now = self._wanted(), time.monotonic()
        for name, loop in self._loops.items():
            work = wanted.get(name, _NOTHING)
            lost = work.worker != loop.work.worker or not work.duties >= loop.work.duties
            if (lost or now > loop.patience) and not loop.task.done():
                log.warning("duty.lost" if lost else "duty.cancelled", duty=str(name))
                loop.task.cancel()

    async def _give(self, duty: Duty) -> None:
        try:
            await self.duties.give(duty)
        except TransientError as error:
            log.warning("hub.unreachable", message=error.message)

    def _tell(self) -> None:
        """Whether this process has anything to do, and whether deliveries wait for the onboarding."""
        self._tell_onboarding()
        standby = (self.health.onboarding or _STANDBY) if self._ready and not self._loops else ""
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

    def _tell_onboarding(self) -> None:
        if not self.duties.live:
            return  # the hub has not answered yet
        before, waits = self.health.onboarding, "" if self.duties.onboarded else ONBOARDING
        self.health.onboarding = waits
        if waits and not before:
            log.info("onboarding.waits", message=waits)
        elif before and not waits:
            log.info("onboarding.ended")

    # --- loops -----------------------------------------------------------------------------------------------

    def _start(self, name: LoopName, work: _Work) -> None:
        half, system = name
        stop = asyncio.Event()
        loop = self._pipeline(system, work.worker) if half == "source" else self._delivery(system, work.duties)
        self.telemetry.connector_state(half, system, "new")
        former = {self.duties.former.pop(duty, "") for duty in work.duties} - {""}
        doing = self._do(loop, stop, system, former)
        self._loops[name] = _Loop(asyncio.create_task(doing, name=str(name)), stop, work)
        lane = str(Lane(system, work.worker)) if work.worker is not None else None
        shards = _shards(work.duties) if half == "target" else None
        log.info("duty.taken", duty=str(name), lane=lane, shards=shards, worker=self.duties.number)

    async def _do(self, loop: Pipeline | Delivery, stop: asyncio.Event, system: str, former: Collection[str]) -> None:
        """Do a duty, after workers that were cut off from it: they may still hold a slot, or locks on rows."""
        for process in former:
            with contextlib.suppress(FieldwardenError):  # then the server's own timeouts have to do
                half: Half = "target" if isinstance(loop, Delivery) else "source"
                await session(self.project, system).cut_off(process, half)
        if isinstance(loop, Delivery) and waits_for_logs(self.project.rulebook, system):
            await caught_up(self.project, system, stop)
        await loop.run(stop)

    def _pipeline(self, name: str, worker: int | None) -> Pipeline:
        project = self.project
        return Pipeline(
            project.rulebook,
            self._source(name),
            self.hub,
            self.telemetry,
            wake=self.wake,
            tolerance=project.future_tolerance,
            worker=worker,
            deletes=project.delete_bounds,
            who=Principal(f"fieldwarden run of {self.who.name}", self.who.known_by),
        )

    def _source(self, name: str) -> Source:
        if name not in self._sources:  # kept: it knows whether it has begun to read anew
            system, again = self.project.rulebook.systems[name], name in self.rebaseline
            inbox = self.inbox if system.settings.hooks is not None else None
            arrivals = InboxArrivals(name, inbox, self.wake) if inbox is not None else None
            reading = Reading(system, self.hub, self.id, again, self.eager, self.wake.room, arrivals)
            self._sources[name] = source_of(self.project, reading)
        return self._sources[name]

    def _delivery(self, name: str, duties: frozenset[Duty]) -> Delivery:
        writing = Writing(self.project.rulebook.systems[name], self.hub, self.id, self.key)
        target = WhileHeld(target_of(self.project, writing), self.duties, duties)
        return Delivery(
            self.project.rulebook,
            name,
            target,
            self.hub,
            self.telemetry,
            wake=self.wake,
            shards=_shards(duties),
        )

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
        for name, loop in [(name, loop) for name, loop in self._loops.items() if loop.task.done()]:
            del self._loops[name]
            self.telemetry.forget(*name)
            error = None if loop.task.cancelled() else loop.task.exception()
            if isinstance(error, Fenced):
                log.warning("duty.fenced", duty=str(name), message=error.message)
            elif error is not None:
                raise error
            for duty in sorted(loop.giving):
                await self._give(duty)
                log.info("duty.given", duty=str(duty))


_NOTHING = _Work(None, frozenset())


def _shards(duties: Collection[Duty]) -> list[int]:
    return sorted(duty.shard for duty in duties if duty.shard is not None)
