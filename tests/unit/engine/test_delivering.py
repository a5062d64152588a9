"""The delivery loop and what a target states: pauses, calls at once, results as they come, lines that are cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from fieldwarden.engine import failpoints
from fieldwarden.engine.errors import FieldwardenError, TargetBusy, TransientError
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Settlement
from fieldwarden.engine.ports.target import Capabilities, Found, Intent, Write, WriteResult
from fieldwarden.engine.running.delivery import Delivery
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, MemoryTarget, ScriptedSource
from fieldwarden.engine.testing.vendor import Fate, Manners, Vendor, VendorTarget
from fieldwarden.rules.rulebook import Rulebook
from tests.simulation.virtual_time import simulate
from tests.unit.engine.test_loops import RULES, account, live

STREAM = "public.customer"


def due(count: int) -> MemoryHub:
    """So many customers of the CRM are due elsewhere."""
    hub = MemoryHub()
    live(ScriptedSource("crm", [account(n, f"C-{n}", tax_id=f"T{n}", name="Acme") for n in range(1, count + 1)]), hub)
    return hub


def running(
    hub: MemoryHub, target: VendorTarget, seconds: float, also: MemoryTarget | None = None, rules: Rulebook = RULES
) -> list[tuple[str, str]]:
    """Deliver for some virtual seconds, to another target beside. What is said of the first just before the end."""
    telemetry = Telemetry()

    async def main() -> list[tuple[str, str]]:
        began = asyncio.get_running_loop().time()
        start = hub.clock()
        hub.clock = lambda: start + int((asyncio.get_running_loop().time() - began) * 1e6)
        for system in ("crm", "billing", "erp"):
            await hub.lease(Lane(system))
            hub.sources[system].read = True
        stop = asyncio.Event()
        loops = [Delivery(rules, target.system, target, hub, telemetry, chance=lambda: 0.5).run(stop)]
        if also is not None:
            loops.append(Delivery(RULES, also.system, also, hub, Telemetry(), chance=lambda: 0.5).run(stop))
        tasks = [asyncio.create_task(loop) for loop in loops]
        await asyncio.sleep(seconds)
        told: list[tuple[str, str]] = [(each.state, each.message) for each in telemetry.connectors()]
        stop.set()
        await asyncio.gather(*tasks)
        return told

    return simulate(main())


def marks(hub: MemoryHub, target: str = "billing") -> list[tuple[str, int]]:
    return [(mark.status, mark.attempts) for (name, _), mark in hub.dirty.items() if name == target]


def vendor(manners: Manners, fate: Callable[[Write], Fate] = lambda _: Fate()) -> VendorTarget:
    return VendorTarget(Vendor("billing", manners), fate)


def test_a_busy_target_pauses_as_a_whole_and_no_attempt_is_counted_and_others_go_on() -> None:
    hub, calls = due(3), list[str]()

    def fate(write: Write) -> Fate:
        calls.append(write.record)
        return Fate(busy=60.0) if len(calls) == 1 else Fate()

    target, other = vendor(Manners(batch=1), fate), MemoryTarget("erp")
    told = running(hub, target, 50, other)
    assert len(calls) == 1
    assert told == [("busy", "billing is busy and has asked for a pause of 60 s")]
    assert marks(hub) == [("due", 0)] * 3
    assert len(other.rows["public.party"]) == 3


def test_once_the_pause_is_over_all_is_delivered() -> None:
    fates: Iterator[Fate] = iter([Fate(busy=60.0)])
    hub, target = due(3), vendor(Manners(batch=1), lambda _: next(fates, Fate()))
    running(hub, target, 80)
    assert (len(target.vendor.rows[STREAM]), marks(hub)) == (3, [])


@pytest.mark.parametrize(("seconds", "rows", "left"), [(50, [1], 2), (90, [2, 2], 0)])
def test_nothing_is_sent_to_a_busy_target_for_a_record_half_of_which_is_written(
    seconds: float, rows: list[int], left: int
) -> None:
    hub, fates = MemoryHub(), iter([Fate(), Fate(busy=60.0)])
    changes = [account(n, f"C-{n}", tax_id=f"T{n}", street="Main St", city="Rome") for n in (1, 2)]
    live(ScriptedSource("crm", changes), hub)
    target = VendorTarget(Vendor("erp", Manners()), lambda _: next(fates, Fate()))
    running(hub, target, seconds)
    assert [len(some) for some in target.vendor.rows.values()] == rows
    assert marks(hub, "erp") == [("due", 0)] * left


class Counting:
    """How many calls are under way at once, and for which records."""

    def __init__(self, target: VendorTarget) -> None:
        self.now: list[str] = []
        self.most = 0
        self.twice = False
        self._call = target._call
        target._call = self.call  # type: ignore[method-assign]

    async def call(self, write: Write, fate: Fate) -> WriteResult:
        self.twice |= write.record in self.now
        self.now.append(write.record)
        self.most = max(self.most, len(self.now))
        try:
            return await self._call(write, fate)
        finally:
            self.now.remove(write.record)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_as_many_calls_are_under_way_as_the_target_takes_and_never_two_of_one_record(concurrency: int) -> None:
    target = vendor(Manners(batch=1, concurrency=concurrency), lambda _: Fate(1.0, 0.5))
    counting, hub = Counting(target), due(9)
    running(hub, target, 40)
    assert (len(target.vendor.rows[STREAM]), marks(hub)) == (9, [])
    assert (counting.most, counting.twice) == (concurrency, False)


def test_a_slow_call_holds_up_no_other_lane() -> None:
    fates: Iterator[Fate] = iter([Fate(1000.0)])
    target = vendor(Manners(batch=1, concurrency=2), lambda _: next(fates, Fate(0.1, 0.1)))
    target.patience = 2000.0
    hub = due(9)
    running(hub, target, 10)
    assert len(marks(hub)) <= 1


def test_results_of_one_call_are_settled_while_others_are_still_to_come() -> None:
    target, hub = vendor(Manners(batch=10), lambda _: Fate(1.0, 0.0)), due(4)
    seen: list[int] = []

    def fate(_: Write) -> Fate:
        seen.append(len(marks(hub)))
        return Fate(1.0, 0.0)

    target.fate = fate
    running(hub, target, 20)
    assert seen == [4, 3, 2, 1]


def test_a_line_that_is_cut_loses_no_result_that_was_given() -> None:
    fates: Iterator[Fate] = iter([Fate(), Fate(), Fate(lands=None, breaks=True)])
    hub = due(4)
    target = vendor(Manners(batch=10), lambda _: next(fates))

    async def once() -> None:
        for system in ("crm", "billing", "erp"):
            await hub.lease(Lane(system))
            hub.sources[system].read = True
        await Delivery(RULES, "billing", target, hub, Telemetry()).step()

    with pytest.raises(TransientError):
        simulate(once())
    assert marks(hub) == [("due", 0)] * 2
    linked = {row.key for row in hub.crosswalk if row.system == "billing"}
    assert linked == set(target.vendor.rows[STREAM])


def test_an_answer_that_comes_twice_is_heard_once() -> None:
    hub, target = due(2), vendor(Manners(batch=10), lambda _: Fate(twice=True))
    running(hub, target, 20)
    assert (len(target.vendor.rows[STREAM]), marks(hub)) == (2, [])


def test_a_row_changed_once_more_after_a_look_up_is_in_doubt_again_though_the_key_of_the_call_is_the_same() -> None:
    left: list[int] = []

    class Watched(MemoryHub):
        async def settle(self, target: str, settlements: Sequence[Settlement]) -> None:
            await super().settle(target, settlements)
            left.append(len(self.intended))

    hub, target = Watched(), vendor(Manners(versioned=True, settles_within=1.0))
    live(ScriptedSource("crm", [first := account(1, "C-1", tax_id="T1", phone="1")]), hub)
    running(hub, target, 5)
    live(ScriptedSource("crm", [first, account(2, "C-1", tax_id="T1", phone="2")]), hub)
    left.clear()
    target.fate = lambda _: Fate(lands=None)
    running(hub, target, 20)
    assert len(left) > 2
    assert set(left) == {1}


@pytest.mark.parametrize("told", [True, False])
def test_a_row_that_is_at_another_version_again_and_again_is_written_in_the_end(told: bool) -> None:
    """Somebody edits other fields of it. `told`: the service says each time which version it is at."""

    class Contended(Vendor):
        edits = 0

        def do(self, write: Write) -> WriteResult:
            if write.operation != "update" or not self.edits:
                return super().do(write)
            self.edits -= 1
            self.versions[write.stream, write.key or ""] += 1
            result = super().do(write)
            return result if told else replace(result, row_version="")

    hub, service = MemoryHub(), Contended("billing", Manners(versioned=True))
    live(ScriptedSource("crm", [first := account(1, "C-1", tax_id="T1", phone="1")]), hub)
    running(hub, VendorTarget(service), 5)
    live(ScriptedSource("crm", [first, account(2, "C-1", tax_id="T1", phone="2")]), hub)
    service.edits = 5
    running(hub, VendorTarget(service), 60)
    (row,) = service.rows[STREAM].values()
    assert (row.values["phone"], marks(hub)) == ("2", [])


def test_calls_that_end_while_a_source_is_read_again_are_cleared_away_and_nobody_asks_without_a_pause() -> None:
    asked: list[float] = []

    class Rereading(MemoryHub):
        async def unread(self, *args: object, **others: object) -> list[str]:
            asked.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.001)
            return ["crm"] if asked[-1] > asked[0] else []

    hub = Rereading()
    account_of = [account(1, "C-1", tax_id="T1", name="Acme")]
    live(ScriptedSource("crm", account_of), hub)
    asked.clear()
    running(hub, vendor(Manners(batch=1, concurrency=2), lambda _: Fate(1.0, 0.5)), 20)
    assert len(asked) < 60


def test_a_line_that_stays_cut_is_tried_ever_more_rarely_also_with_several_calls_at_once() -> None:
    calls: list[float] = []

    def fate(_: Write) -> Fate:
        calls.append(asyncio.get_running_loop().time())
        return Fate(lands=None, breaks=True)

    running(due(2), vendor(Manners(batch=1, concurrency=2), fate), 300)
    assert len(calls) < 60


def test_a_busy_target_that_names_no_pause_is_given_one() -> None:
    calls: list[str] = []

    class Busy(VendorTarget):
        async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
            for each in writes:
                calls.append(each.record)
                await asyncio.sleep(0.001)
                yield WriteResult(each.token, "busy")

    running(due(1), Busy(Vendor("billing", Manners())), 10)
    assert 2 <= len(calls) <= 12


def test_a_pause_that_a_call_hears_of_while_the_lane_rests_is_kept_too() -> None:
    calls: list[str] = []

    class Busy(VendorTarget):
        async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
            (each,) = writes
            calls.append(each.record)
            first = len(calls) == 1
            await asyncio.sleep(0.7 if first else 2.0)
            yield WriteResult(each.token, "busy", pause=10.0 if first else 60.0)

    running(due(3), Busy(Vendor("billing", Manners(batch=1, concurrency=2))), 40)
    assert len(calls) == 2


@pytest.mark.parametrize("busy_first", [True, False])
def test_of_calls_that_fail_at_once_the_pause_that_one_has_asked_for_is_kept(busy_first: bool) -> None:
    calls: list[str] = []

    class Overrun(VendorTarget):
        async def _call(self, write: Write, fate: Fate) -> WriteResult:
            calls.append(write.record)
            busy = (len(calls) % 2 == 1) is busy_first
            await asyncio.sleep(1.0)
            if busy:
                raise TargetBusy("billing is busy", retry_after=60.0)
            raise TransientError("billing: the line was cut")

    told = running(due(2), Overrun(Vendor("billing", Manners(batch=1, concurrency=2))), 50)
    assert (len(calls), [state for state, _ in told]) == (2, ["busy"])


class OneWithoutAnEnd(VendorTarget):
    """The second of two calls meets a bug that is nobody's in particular, a second after it began."""

    calls = 0
    under_way = 0

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        self.calls += 1
        self.under_way += 1
        try:
            if self.calls == 2:
                await asyncio.sleep(1.0)
                raise FieldwardenError("nobody foresaw it")
            await asyncio.sleep(1000.0 if self.calls == 1 else 0.0)
            for each in writes:
                yield self.vendor.do(each)
        finally:
            self.under_way -= 1


def test_a_bug_ends_the_loop_and_no_call_of_it_goes_on() -> None:
    hub, target = due(2), OneWithoutAnEnd(Vendor("billing", Manners(batch=1, concurrency=2)))

    async def main() -> int:
        for system in ("crm", "billing", "erp"):
            await hub.lease(Lane(system))
            hub.sources[system].read = True
        with pytest.raises(FieldwardenError, match="nobody foresaw it"):
            await Delivery(RULES, "billing", target, hub, Telemetry()).run(asyncio.Event())
        return target.under_way

    assert simulate(main()) == 0


def test_a_bug_that_the_last_calls_meet_is_heard_though_the_loop_was_told_to_stop() -> None:
    target = OneWithoutAnEnd(Vendor("billing", Manners(batch=1, concurrency=2)))
    with pytest.raises(FieldwardenError, match="nobody foresaw it"):
        running(due(2), target, 0.5)


def test_results_of_a_transaction_that_took_long_are_settled_at_once() -> None:
    settled: list[int] = []

    class Counted(MemoryHub):
        async def settle(self, target: str, settlements: Sequence[Settlement]) -> None:
            settled.append(len(settlements))
            await super().settle(target, settlements)

    class Transaction(VendorTarget):
        async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
            await asyncio.sleep(1.0)
            for each in writes:
                yield self.vendor.do(each)

    hub = Counted()
    live(ScriptedSource("crm", [account(n, f"C-{n}", tax_id=f"T{n}", name="Acme") for n in range(1, 6)]), hub)
    target = Transaction(Vendor("billing", Manners()))
    target.capabilities = Capabilities(at_once=True)
    running(hub, target, 5)
    assert settled == [5]


def test_an_intent_of_a_stream_that_left_the_rules_stays_and_stops_nobody() -> None:
    hub, target = due(2), vendor(Manners(unique=False, settles_within=1.0))
    record = next(iter(hub.records))
    simulate(hub.intend("billing", [Intent("k", record, "public.gone", "create", None, None, 1, {"name": "x"})]))
    running(hub, target, 20)
    assert (len(target.vendor.rows[STREAM]), marks(hub)) == (2, [])
    assert list(hub.intended) == ["k"]


def test_a_call_to_be_made_again_stays_known_where_a_bug_keeps_it_from_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub, target = due(1), vendor(Manners(unique=False, keyed=True, settles_within=1.0))
    (record,) = hub.records
    simulate(hub.intend("billing", [Intent("k", record, STREAM, "create", None, None, 1, {"name": "x"})]))

    def broken(step: str, _subject: str = "") -> None:
        if step == "delivery.planning":
            raise RuntimeError("nobody foresaw it")

    monkeypatch.setattr(failpoints, "hit", broken)
    running(hub, target, 20)
    assert [status for status, _ in marks(hub)] == ["parked"]
    assert list(hub.intended) == ["k"]


def test_a_bug_met_while_looking_up_is_one_records_and_the_others_go_on() -> None:
    hub = due(2)
    record = next(iter(hub.records))

    class Broken(VendorTarget):
        async def look_up(self, intents: Sequence[Intent]) -> Sequence[Found]:
            return [Found(each.key, "1", None) for each in intents]  # type: ignore[arg-type]

    target = Broken(Vendor("billing", Manners(unique=False, settles_within=1.0)))
    simulate(hub.intend("billing", [Intent("k", record, STREAM, "create", None, None, 1, {"name": "x"})]))
    running(hub, target, 20)
    assert [status for status, _ in marks(hub)] == ["parked"]
    assert list(hub.intended) == ["k"]


def test_two_rows_of_one_record_that_are_removed_are_two_calls_and_two_intents() -> None:
    one, other = (Write(0, "r", "public.address", "delete", key, {}, system="erp", version=3) for key in ("A-1", "A-2"))
    assert one.idempotency_key != other.idempotency_key
    assert "A-1" not in one.idempotency_key
