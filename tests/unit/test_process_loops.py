"""Which loops run in a process: those of its duties, no longer than it holds them, and a lane by its number."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fieldwarden.engine.errors import Fenced, TransientError
from fieldwarden.engine.ports.duties import Duty, LoopName
from fieldwarden.engine.ports.source import Source
from fieldwarden.engine.ports.target import Capabilities, Found, Intent, Write, WriteResult
from fieldwarden.engine.principal import Principal
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, ScriptedSource
from fieldwarden.operations.onboarding import ONBOARDING
from fieldwarden.operations.run.health import Health
from fieldwarden.operations.run.loops import Loops
from fieldwarden.operations.run.while_held import WhileHeld
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.settings import Settings
from tests.builders import debezium, postgres
from tests.patience import within

CRM, READ_ERP, WRITE_ERP = LoopName("source", "crm"), LoopName("source", "erp"), LoopName("target", "erp")


@dataclass
class ScriptedDuties:
    """What `engine.hub.duties.Duties` would find, as the test says."""

    mine: frozenset[Duty] = frozenset({Duty("source", "erp"), Duty("target", "erp", 0), Duty("target", "erp", 1)})
    number: int = 1
    surplus: list[Duty] = field(default_factory=list)
    away: bool = False
    """The hub cannot be reached, and the leases have run out."""
    period: float = 0.01
    former: dict[Duty, str] = field(default_factory=dict)
    given: list[Duty] = field(default_factory=list)
    wanted: set[Duty] = field(default_factory=set)
    left: bool = False
    live: str = ""
    """The hash of the live rulebook, as the hub tells it with every beat."""
    onboarded: bool = True

    def holds(self, name: Duty) -> bool:
        return name in self.mine and not self.away

    def want(self, duties: Collection[Duty]) -> None:
        self.wanted.update(duties)

    async def beat(self, *, leaving: Collection[Duty] = (), taking: bool = True) -> list[Duty]:
        if self.away:
            raise TransientError("the hub is away")
        return [name for name in self.surplus if name in self.mine and name not in leaving]

    async def give(self, name: Duty) -> None:
        self.given.append(name)
        self.mine -= {name}

    async def leave(self) -> None:
        self.left = True


@dataclass
class Work:
    """A loop that runs until it is stopped, or fails when told to."""

    worker: int | None
    duties: frozenset[Duty]
    error: asyncio.Future[Any]
    stopped: bool = False
    cancelled: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({stopping, self.error}, return_when=asyncio.FIRST_COMPLETED)
            if self.error.done():
                self.error.result()
            self.stopped = True
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            stopping.cancel()


@dataclass
class Process(Loops):
    """`work` holds all that was ever begun, by loop."""

    work: dict[LoopName, list[Work]] = field(default_factory=dict)

    def _begin(self, name: LoopName, worker: int | None, duties: frozenset[Duty] = frozenset()) -> Any:
        work = Work(worker, duties, asyncio.get_running_loop().create_future())
        self.work.setdefault(name, []).append(work)
        return work

    def _pipeline(self, name: str, worker: int | None) -> Any:
        return self._begin(LoopName("source", name), worker)

    def _source(self, name: str) -> Source:
        return ScriptedSource(name)

    def _delivery(self, name: str, duties: frozenset[Duty]) -> Any:
        return self._begin(LoopName("target", name), None, duties)


@dataclass
class Running:
    process: Process
    duties: ScriptedDuties
    stop: asyncio.Event
    task: asyncio.Task[None]

    def begun(self, loop: LoopName) -> list[Work]:
        return self.process.work.get(loop, [])

    async def until(self, question: Any) -> None:
        async with within():
            while not question():
                if self.task.done() and not self.task.cancelled() and self.task.exception():
                    await self.task  # what ended it says more than that the time is over
                await asyncio.sleep(0.005)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A project with crm read through Debezium, and erp read and written directly."""
    settings: dict[str, Settings] = {"crm": debezium(), "erp": postgres()}
    systems = {name: System(name, rank, each, {}) for rank, (name, each) in enumerate(settings.items())}
    rulebook = SimpleNamespace(systems=systems, hash="0" * 64)
    project: Any = SimpleNamespace(rulebook=rulebook, sources=["crm", "erp"], targets=["erp"])
    duties: Any = ScriptedDuties()
    telemetry = Telemetry()
    process = Process(
        project, MemoryHub(), telemetry, duties, Health(telemetry), "inmemory", Principal("ann@desk", "a test"), b""
    )
    stop = asyncio.Event()
    task = asyncio.create_task(process.run(stop))
    yield (running := Running(process, duties, stop, task))
    await running.until(lambda: running.task.done() or len(running.process.work) == 3)
    stop.set()
    await asyncio.gather(task, return_exceptions=True)
    assert duties.left


async def test_duties_and_lanes_run_and_a_stop_gives_everything_up(running: Running) -> None:
    await running.until(lambda: len(running.process.work) == 3)
    assert running.begun(CRM)[0].worker == 1
    assert running.begun(READ_ERP)[0].worker is None
    assert running.process.does("target", "erp")
    running.stop.set()
    await running.task
    assert all(work.stopped for works in running.process.work.values() for work in works)
    assert sorted(running.duties.given) == [Duty("source", "erp"), Duty("target", "erp", 0), Duty("target", "erp", 1)]


async def test_what_others_are_due_ends_in_good_order_and_is_given_then(running: Running) -> None:
    await running.until(lambda: running.begun(WRITE_ERP))
    running.duties.surplus = [Duty("source", "erp")]
    await running.until(lambda: running.duties.given == [Duty("source", "erp")])
    running.duties.surplus = []
    (work,) = running.begun(READ_ERP)
    assert (work.stopped, work.cancelled) == (True, False)
    assert not running.process.does("source", "erp")
    assert "erp.source" not in [c.label for c in running.process.telemetry.connectors()]


async def test_a_target_of_which_some_shards_go_is_left_in_good_order_and_goes_on_with_the_others(
    running: Running,
) -> None:
    await running.until(lambda: running.process.shards("erp") == [0, 1])
    running.duties.surplus = [Duty("target", "erp", 1)]
    await running.until(lambda: running.duties.given == [Duty("target", "erp", 1)])
    running.duties.surplus = []
    await running.until(lambda: running.process.shards("erp") == [0])
    first, second = running.begun(WRITE_ERP)
    assert (first.stopped, first.cancelled) == (True, False)
    assert second.duties == {Duty("target", "erp", 0)}


async def test_a_target_of_which_more_shards_come_is_left_in_good_order_and_goes_on_with_all(running: Running) -> None:
    await running.until(lambda: running.process.shards("erp") == [0, 1])
    running.duties.mine |= {Duty("target", "erp", 3)}
    await running.until(lambda: running.process.shards("erp") == [0, 1, 3])
    first, _ = running.begun(WRITE_ERP)
    assert (first.stopped, first.cancelled, running.duties.given) == (True, False, [])


async def test_a_target_of_which_a_shard_was_lost_is_cancelled_and_goes_on_with_the_others(running: Running) -> None:
    await running.until(lambda: running.process.shards("erp") == [0, 1])
    running.duties.mine -= {Duty("target", "erp", 1)}
    await running.until(lambda: running.process.shards("erp") == [0])
    assert running.begun(WRITE_ERP)[0].cancelled
    assert running.duties.given == []


async def test_what_was_lost_is_cancelled_where_it_stands(running: Running) -> None:
    await running.until(lambda: running.begun(READ_ERP))
    running.duties.mine -= {Duty("source", "erp")}
    await running.until(lambda: running.begun(READ_ERP)[0].cancelled)
    await running.until(lambda: not running.process.does("source", "erp"))
    assert running.process.does("target", "erp"), "nothing else is"


async def test_leases_that_ran_out_stop_what_they_were_for_until_the_hub_says_more(running: Running) -> None:
    await running.until(lambda: len(running.process.work) == 3)
    running.duties.away = True
    await running.until(lambda: running.begun(READ_ERP)[0].cancelled and running.begun(WRITE_ERP)[0].cancelled)
    assert not running.begun(CRM)[0].cancelled, "Kafka says what is ours there"
    running.duties.away = False
    await running.until(lambda: len(running.begun(READ_ERP)) == len(running.begun(WRITE_ERP)) == 2)


async def test_nothing_begins_before_what_is_to_be_read_anew_is_ours(running: Running) -> None:
    duties: Any = running.duties
    health, who = Health(running.process.telemetry), running.process.who
    process = Process(
        running.process.project, MemoryHub(), Telemetry(), duties, health, "inmemory", who, b"", rebaseline=["erp"]
    )
    running.duties.mine -= {Duty("source", "erp")}
    stop = asyncio.Event()
    task = asyncio.create_task(process.run(stop))
    await running.until(lambda: running.duties.wanted == {Duty("source", "erp")})
    assert not process.work
    running.duties.mine |= {Duty("source", "erp")}
    await running.until(lambda: process.work)
    assert process.began_again
    stop.set()
    await task


async def test_a_system_that_is_to_be_read_anew_and_is_away_holds_up_deliveries_and_no_other_source(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    duties: Any = running.duties
    health, who = Health(running.process.telemetry), running.process.who
    process = Process(
        running.process.project, MemoryHub(), Telemetry(), duties, health, "inmemory", who, b"", rebaseline=["erp"]
    )
    there = asyncio.Event()

    async def ends(_source: ScriptedSource, baseline: int) -> None:
        if not there.is_set():
            raise TransientError("erp is away")

    monkeypatch.setattr(ScriptedSource, "ends", ends)
    stop = asyncio.Event()
    task = asyncio.create_task(process.run(stop))
    await running.until(lambda: CRM in process.work)
    assert process.work.keys() == {CRM}
    there.set()
    await running.until(lambda: {CRM, READ_ERP, WRITE_ERP} == process.work.keys())
    assert process.began_again
    stop.set()
    await task


async def test_a_new_number_is_a_new_lane(running: Running) -> None:
    await running.until(lambda: running.begun(CRM))
    running.duties.number = 3
    await running.until(lambda: len(running.begun(CRM)) == 2)
    first, second = running.begun(CRM)
    assert (first.cancelled, second.worker) == (True, 3)


@pytest.mark.parametrize("loop", [READ_ERP, CRM], ids=str)
async def test_a_fenced_loop_begins_anew_while_the_duty_is_ours(running: Running, loop: LoopName) -> None:
    await running.until(lambda: running.begun(loop))
    running.begun(loop)[0].error.set_exception(Fenced("another worker took over"))
    await running.until(lambda: len(running.begun(loop)) == 2)
    assert not running.task.done()
    assert running.duties.given == []


async def test_a_bug_cancels_everything_and_is_raised(running: Running) -> None:
    await running.until(lambda: len(running.process.work) == 3)
    running.begun(WRITE_ERP)[0].error.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await running.task
    assert running.begun(READ_ERP)[0].cancelled
    assert running.begun(CRM)[0].cancelled


async def test_nothing_to_do_is_standby_and_a_hub_that_is_away_is_said(running: Running) -> None:
    await running.until(lambda: len(running.process.work) == 3)
    running.process.project.sources = ["erp"]  # type: ignore[misc]
    running.duties.mine = frozenset()
    await running.until(lambda: "standby" in running.process.health.standby)
    assert running.process.health.ready()[0] is False
    running.duties.away = True
    await running.until(lambda: running.process.health.standby == "the hub is away")


async def test_when_other_rules_become_live_all_ends_in_good_order(running: Running) -> None:
    await running.until(lambda: len(running.process.work) == 3)
    running.duties.live = "other"
    await running.until(lambda: running.task.done())
    assert running.process.superseded
    assert all(work.stopped and not work.cancelled for works in running.process.work.values() for work in works)


async def test_nothing_is_said_of_the_onboarding_before_the_hub_has_answered(running: Running) -> None:
    health = running.process.health
    await running.until(lambda: len(running.process.work) == 3)
    assert health.onboarding is None
    assert any("not known yet" in remark for remark in health.ready()[1]["remarks"])
    running.duties.onboarded, running.duties.live = False, "0" * 64
    await running.until(lambda: health.onboarding == ONBOARDING)
    assert health.ready()[1]["remarks"] == [ONBOARDING]
    running.duties.onboarded = True
    await running.until(lambda: health.onboarding == "")
    assert health.ready()[1]["remarks"] == []


@dataclass
class Calls:
    """A target of one call for each write, of which no answer comes at once with another."""

    capabilities: Capabilities
    system: str = "erp"
    made: int = 0

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        for each in writes:
            self.made += 1
            yield WriteResult(each.token, "applied", "K")

    async def look_up(self, intents: Sequence[Intent]) -> Sequence[Found]:
        raise NotImplementedError

    async def close(self) -> None:
        return


@pytest.mark.parametrize(("able", "made"), [(Capabilities(settles_within=10.0), 1), (Capabilities(), 2)])
async def test_once_the_duty_has_run_out_no_further_call_is_begun_that_somebody_else_could_not_know_of(
    able: Capabilities, made: int
) -> None:
    duties, target = ScriptedDuties(), Calls(able)
    guarded = WhileHeld(target, cast(Any, duties), frozenset({Duty("target", "erp", 0)}))
    writes = [Write(n, f"r-{n}", "public.party", "create", None, {}) for n in range(2)]
    with pytest.raises(TransientError) if able.leaves_doubt else contextlib.nullcontext():
        async for _ in guarded.write(writes):
            duties.away = True
    assert target.made == made
