"""Replication: the background process, one of any number that share a project's work.

    serving health  ->  its share of duties (or standby)  ->  pipelines and deliveries  ->  a clean stop

The loops look after their own troubles: a source that halts or a target that is down stops nobody else. What escapes
a loop is a bug; then everything is cancelled, open transactions roll back, and nothing is acknowledged.
The first SIGTERM or SIGINT lets each loop finish the batch in hand; a second one ends the process at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog

from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.hub.duties import Duties
from fieldwarden.engine.hub.inbox import PostgresInbox
from fieldwarden.engine.hub.views.overview import DeadLetter, Overview
from fieldwarden.engine.ports.duties import Duty
from fieldwarden.engine.principal import Principal
from fieldwarden.engine.running.arrivals import arrival
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.running.wake import Wake, either, pause
from fieldwarden.operations.hooks import taken
from fieldwarden.operations.hub import no_hub
from fieldwarden.operations.onboarding import onboarded_by_itself
from fieldwarden.operations.project import Opened, is_partitioned
from fieldwarden.operations.rules import take_live
from fieldwarden.operations.run.allocation import give_back
from fieldwarden.operations.run.health import Health, serving
from fieldwarden.operations.run.hooks import Hooks
from fieldwarden.operations.run.loops import Loops, duties_of
from fieldwarden.operations.run.watch import Watch
from fieldwarden.operations.systems import sessions
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.secret import Secretive

if TYPE_CHECKING:
    from fieldwarden.engine.hub.store import PostgresHub

Guide: TypeAlias = Callable[[Watch], Awaitable[None]]
"""What a bounded run sees through while the loops work; when it returns, the process stops."""

log = structlog.get_logger("fieldwarden.run")
_YOUNG_OBJECTS = 100_000
"""New containers after which the garbage collector looks for cycles: several batches' worth."""


class RunFailed(FieldwardenError):
    """The process cannot go on, or cannot come to the end it was asked for."""

    code = "run_failed"


@dataclass
class Ending:
    """Why a run stops: `stop` is set, by whoever holds it, by one of these `signals`, or at the end of what the run was
    asked to see through. `forced` is what a second signal does, with the exit code."""

    signals: Sequence[signal.Signals] = ()
    forced: Callable[[int], object] = os._exit
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    caught: signal.Signals | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """The signals are heard meanwhile, and do afterwards what they did before."""
        loop, before = asyncio.get_running_loop(), {number: signal.getsignal(number) for number in self.signals}
        for number in self.signals:
            loop.add_signal_handler(number, self._caught, number)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _caught(self, number: signal.Signals) -> None:
        if self.caught is not None:
            self.forced(128 + number)
        self.caught = number
        log.info("run.stopping", signal=number.name)
        self.stop.set()


async def to_rest(watch: Watch) -> None:
    """A guide: until every change is decided on and delivered. Raises RunFailed if that needs a person first."""
    stuck = await watch.idle()
    if stuck:
        raise RunFailed(f"not everything can be delivered: {'; '.join(stuck)}", suggestion="see `fieldwarden status`")
    log.info("run.idle")


@dataclass(frozen=True, slots=True)
class Serving:
    """Where the health checks are served (`port` 0: any free one) and what they ask for; with no change moved for
    `stall_after` seconds, though some wait, the process is not ready."""

    host: str = "127.0.0.1"
    port: int = 0
    token: Secretive | None = None
    stall_after: float = 30.0


ANY_PORT = Serving()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended, by a signal or (None) as it was asked to, and what it did. `onboarding`: in words, that nothing
    is delivered yet; None where that is not known. `parked`: what was set aside meanwhile and needs somebody."""

    signal: signal.Signals | None
    onboarding: str | None
    totals: Mapping[str, int]
    parked: Sequence[DeadLetter]


async def replicate(
    project: Opened,
    who: Principal,
    ending: Ending,
    guide: Guide | None = None,
    *,
    strict: bool = False,
    holding: bool = False,
    rebaseline: Sequence[str] = (),
    health: Serving = ANY_PORT,
) -> Ran:
    """Run all loops of an opened project until `ending`, or until `guide` returns; what it raises ends the run. What
    the ledger has to be told of it is told in `who`'s name.

    `strict`: `parked` is wanted. `holding`: nothing is delivered from here, and an onboarding that the files would end
    goes on. Raises EnvironmentUnfit; bugs as they are."""
    running = _Running(project, who, guide, tuple(rebaseline), ending, strict=strict, holding=holding)
    try:
        with ending.listening():
            return await running.main(health)
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@dataclass
class _Running:
    """One process's run: from the health checks to the last loop's end."""

    project: Opened
    who: Principal
    guide: Guide | None
    rebaseline: tuple[str, ...]
    ending: Ending
    telemetry: Telemetry = field(default_factory=Telemetry)
    strict: bool = False
    """What is set aside or parked meanwhile is looked for at the end."""
    holding: bool = False
    wake: Wake = field(default_factory=Wake)

    async def main(self, served: Serving) -> Ran:
        project, health = self.project, Health(self.telemetry, patience=served.stall_after)
        hooks = Hooks(PostgresInbox(project.hub_dsn, project.hub_schema), self.telemetry, self._rousing())
        async with contextlib.AsyncExitStack() as stack:
            url = stack.enter_context(serving(health, served.host, served.port, served.token, hooks))
            beating = asyncio.create_task(health.keep_beating())
            stack.callback(beating.cancel)
            log.info("run.listening", url=url, pid=os.getpid())
            hub = await stack.enter_async_context(project.hub())
            inbox = PostgresInbox(project.hub_dsn, project.hub_schema)
            stack.push_async_callback(inbox.close)
            id, key = await hub.project(), await hub.mark_key()
            await self._take_live(health)
            before = {each.id for each in await self._letters()}
            rebaseline = self.rebaseline
            while True:
                hooks.take(taken(project, url))
                loops = self._loops(hub, inbox, health, id, key, rebaseline)
                async with sessions(project):
                    await self._supervise(loops)
                if not loops.superseded or self.ending.stop.is_set():
                    break
                await self._take_live(health)
                rebaseline = () if loops.began_again else rebaseline
            parked = [each for each in await self._letters() if each.id not in before]
        return Ran(self.ending.caught, health.onboarding, self.telemetry.totals(), parked)

    def _rousing(self) -> Callable[[str], None]:
        """Called on the server's thread: whoever reads that inbox in this process is roused."""
        loop = asyncio.get_running_loop()

        def rouse(system: str) -> None:
            loop.call_soon_threadsafe(self.wake.rouse, [arrival(system)])

        return rouse

    async def _letters(self) -> list[DeadLetter]:
        """What needs somebody; what only stands behind another goes with that."""
        if not self.strict:
            return []
        overview = Overview(self.project.hub_dsn, self.project.hub_schema)
        try:
            return [each for each in await overview.dead_letters() if each.kind != "behind"]
        finally:
            await overview.close()

    async def _take_live(self, health: Health) -> None:
        """The live rules are what this process works by, whatever its files say; where they differ, it says so."""
        project = self.project
        while True:
            try:
                await take_live(project, begin=True)
                if not self.holding:
                    await onboarded_by_itself(project, self.who)
                break
            except TransientError as error:
                if project.live is None:
                    raise no_hub(error) from error
                log.warning("hub.unreachable", message=error.message)
                await pause(1.0, self.ending.stop)
        health.remark = project.remark
        log.info("rules.live", rulebook=project.rulebook.hash[:12])
        if project.remark:
            log.warning("rules.differ", files=project.project.rulebook.hash[:12], message=project.remark)

    def _loops(
        self, hub: PostgresHub, inbox: PostgresInbox, health: Health, id: str, key: bytes, rebaseline: Sequence[str]
    ) -> Loops:
        project = self.project
        hub.rulebook = project.rulebook.hash
        duties = Duties(
            project.hub_dsn,
            project.hub_schema,
            duties_of(project, reading=self.holding),
            rulebook=project.rulebook.hash,
            keep=[Duty("source", name) for name in rebaseline if not is_partitioned(project, name)],
            lease=project.project.settings.run.lease.total_seconds(),
        )
        eager = self.guide is not None
        return Loops(
            project,
            hub,
            self.telemetry,
            duties,
            health,
            id,
            self.who,
            key,
            rebaseline,
            eager=eager,
            wake=self.wake,
            inbox=inbox,
        )

    async def _supervise(self, loops: Loops) -> None:
        """Run all loops until they have stopped; any exception of theirs cancels the others and is raised."""
        watch = Watch(self.project, self.telemetry, loops.does, loops.shards, loops.health.ask)
        helpers: list[Coroutine[Any, Any, None]] = [watch.run()]
        if self.project.debezium_systems:
            from fieldwarden.operations.run.connector_watch import watch_connectors

            helpers.append(watch_connectors(self.project))
        if self.guide is not None:
            helpers.append(self._guided(self.guide, watch))
        _spare_the_collector()
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(helper) for helper in helpers]
            await loops.run(self.ending.stop)
            for task in background:
                task.cancel()

    async def _guided(self, guide: Guide, watch: Watch) -> None:
        """A signal ends it at once: while our loops come to their end, others may do all that it waits for."""
        guiding = asyncio.ensure_future(guide(watch))
        if await either(guiding, self.ending.stop):
            guiding.result()
        self.ending.stop.set()


def _spare_the_collector() -> None:
    """Batches are freed by counting, and what stands now stands to the end: searching both for cycles at the
    default pace would take a quarter of all our time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
    give_back()
