"""Workers and their duties, against a real PostgreSQL: who holds what, and when it is free for others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import psycopg
import pytest

from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.hub.duties import Duties
from fieldwarden.engine.hub.migrate import SCHEMA, migrate
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.hub.views.overview import Overview
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Duty, Lane
from fieldwarden.engine.ports.parts import LOG, Part
from fieldwarden.engine.process import PROCESS, session_name
from tests.patience import until

NAMES = [Duty("source", "crm"), Duty("source", "erp"), Duty("target", "crm"), Duty("target", "erp")]
LEASE = 60.0
LOCK = b"lock table fieldwarden.source"
Make = Callable[..., Duties]


@pytest.fixture
async def worker(hub_dsn: str) -> AsyncIterator[Make]:
    """`worker("a", lease=..., keep=...)`: a worker's place, as its process would hold it."""
    made: list[Duties] = []

    def make(process: str, *, names: Sequence[Duty] = NAMES, lease: float = LEASE, keep: Sequence[Duty] = ()) -> Duties:
        made.append(Duties(hub_dsn, SCHEMA, names, lease=lease, keep=keep, process=process))
        return made[-1]

    yield make
    for each in made:
        await each.leave()


async def dies(worker: Duties) -> None:
    """Its connection ends, and nothing is given up."""
    assert worker._connection is not None
    await worker._connection.close()


async def its_lease_runs_out(hub_dsn: str, process: str) -> None:
    async with await psycopg.AsyncConnection.connect(hub_dsn, autocommit=True) as hub:
        for table, column in (("worker", "token"), ("duty", "holder")):
            past = f"update {SCHEMA}.{table} set until = clock_timestamp() - interval '1 s' where {column} = %s"
            await hub.execute(past.encode(), [process])


async def settle(*workers: Duties) -> list[set[Duty]]:
    """They beat in turn until nothing moves, giving up at once what they should."""
    while True:
        before = [worker.mine for worker in workers]
        for worker in workers:
            for name in await worker.beat():
                await worker.give(name)
        if [worker.mine for worker in workers] == before:
            return [set(held) for held in before]


async def test_one_alone_does_everything(worker: Make) -> None:
    one = worker("a")
    assert await one.beat() == []
    assert (one.number, one.mine) == (1, frozenset(NAMES))
    assert all(one.holds(name) for name in NAMES)


async def test_two_share_and_the_first_gives_up_half(worker: Make) -> None:
    one, two = worker("a"), worker("b")
    await one.beat()
    assert (await two.beat(), two.mine, two.number) == ([], frozenset(), 2)
    surplus = await one.beat()
    assert len(surplus) == 2
    assert await one.beat(leaving=surplus) == [], "what is on its way out is not asked for again"
    await two.beat()
    assert two.mine == frozenset(), "not before it is given"
    mine, theirs = await settle(one, two)
    assert (mine | theirs, len(mine), len(theirs)) == (set(NAMES), 2, 2)
    assert await settle(one, two) == [mine, theirs], "and nothing moves any more"


async def test_five_workers_of_four_duties_leave_one_idle(worker: Make) -> None:
    workers = [worker(name) for name in "abcde"]
    assert sorted(map(len, await settle(*workers))) == [0, 1, 1, 1, 1]
    assert [each.number for each in workers] == [1, 2, 3, 4, 5]


async def test_what_a_dead_worker_held_is_free_at_once_and_so_is_its_number(worker: Make) -> None:
    one, two = worker("a"), worker("b")
    await settle(one, two)
    await dies(one)
    await until(lambda: _has_everything(two), "two to do everything")
    assert two.number == 2
    three = worker("c")
    await three.beat()
    assert three.number == 1


async def _has_everything(worker: Duties) -> bool:
    await worker.beat()
    return worker.mine == frozenset(NAMES)


async def test_who_only_hangs_keeps_its_duties_until_its_lease_has_run_out(worker: Make, hub_dsn: str) -> None:
    hanging, other = worker("a"), worker("b")
    await settle(hanging, other)
    held = hanging.mine
    for _ in range(3):
        await other.beat()
    assert not other.mine & held
    await its_lease_runs_out(hub_dsn, "a")
    await until(lambda: _has_everything(other), "the other to do everything")


async def test_the_one_that_wakes_up_learns_of_it(worker: Make, hub_dsn: str) -> None:
    hanging, other = worker("a"), worker("b")
    await settle(hanging, other)
    await its_lease_runs_out(hub_dsn, "a")
    await until(lambda: _has_everything(other), "the other to do everything")
    with pytest.raises(TransientError):
        await hanging.beat()  # its sessions were ended
    await hanging.beat()
    assert hanging.mine == frozenset()
    mine, theirs = await settle(hanging, other)
    assert mine | theirs == set(NAMES)
    assert not mine & theirs


async def test_who_slept_but_was_not_missed_goes_on(worker: Make, hub_dsn: str) -> None:
    alone = worker("a")
    await alone.beat()
    await its_lease_runs_out(hub_dsn, "a")
    await alone.beat()
    assert alone.mine == frozenset(NAMES)


async def test_nothing_is_held_by_a_clock_that_has_run_out(worker: Make) -> None:
    one = worker("a", lease=0.5)
    await one.beat()

    async def has_run_out() -> bool:
        return not one.holds(Duty("target", "crm"))

    await until(has_run_out, "the lease to run out")
    await one.beat()
    assert one.holds(Duty("target", "crm"))


async def test_the_open_transaction_of_a_worker_that_hangs_is_ended(worker: Make, hub_dsn: str) -> None:
    hanging, other = worker("a"), worker("b")
    await hanging.beat()
    name = session_name("ingest of a system with quite a long name, longer than a name may be", "a")
    session = await psycopg.AsyncConnection.connect(hub_dsn, application_name=name)
    await session.execute(LOCK)
    await its_lease_runs_out(hub_dsn, "a")
    await until(lambda: _has_everything(other), "the other to do everything")
    with pytest.raises(psycopg.errors.AdminShutdown):
        await session.execute("select 1")
    async with await psycopg.AsyncConnection.connect(hub_dsn) as free:
        await free.execute(LOCK)


async def test_leaving_frees_at_once(worker: Make) -> None:
    one, two = worker("a"), worker("b")
    await settle(one, two)
    await one.leave()
    assert one.mine == frozenset()
    await two.beat()
    assert two.mine == frozenset(NAMES)


async def test_what_a_worker_needs_itself_it_takes_and_keeps(worker: Make) -> None:
    one, two = worker("a"), worker("b", keep=[Duty("source", "crm"), Duty("source", "erp")])
    await one.beat()
    await two.beat()
    assert two.mine == {Duty("source", "crm"), Duty("source", "erp")}
    await one.beat()
    assert one.mine == {Duty("target", "crm"), Duty("target", "erp")}
    three = worker("c")
    await settle(one, two, three)
    assert two.mine >= {Duty("source", "crm"), Duty("source", "erp")}


async def test_what_is_wanted_is_taken_back_from_whoever_took_it_meanwhile(worker: Make) -> None:
    """Its lease ran out while it hung: what it is to read anew, it is still to read anew."""
    crm = Duty("source", "crm")
    one, two = worker("a"), worker("b", keep=[crm])
    await two.beat()
    await two.give(crm)
    await one.beat()
    assert (crm in one.mine, crm in two.mine) == (True, False)
    await two.beat()
    assert crm not in two.mine, "it had it once, and was not told to take it again"
    two.want([crm])
    await two.beat()
    await one.beat()
    assert (crm in one.mine, crm in two.mine) == (False, True)


async def test_a_lost_connection_is_no_lost_duty(worker: Make, hub_dsn: str) -> None:
    one = worker("a")
    await one.beat()
    async with await psycopg.AsyncConnection.connect(hub_dsn, autocommit=True) as admin:
        await admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%[a]'")
    with pytest.raises(TransientError):
        await one.beat()
    assert one.mine == frozenset(NAMES)
    await one.beat()
    assert (one.number, one.mine) == (1, frozenset(NAMES))


async def test_a_number_that_another_took_meanwhile_is_lost(worker: Make) -> None:
    one = worker("a", names=[])
    await one.beat()
    await dies(one)
    two = worker("b", names=[])
    await until(lambda: _is_number(two, 1), "two to be the first")
    await one.beat()
    assert one.number == 2
    await one.beat()
    await two.beat()
    assert (one.number, two.number) == (2, 1)


async def _is_number(worker: Duties, number: int) -> bool:
    await worker.beat()
    if worker.number != number:
        await worker.leave()
    return worker.number == number


async def test_a_hub_that_restarts(crashable_postgres: EmbeddedServer) -> None:
    crashable_postgres.ensure_database("hub")
    dsn = crashable_postgres.dsn("hub")
    migrate(dsn)
    one, two = (Duties(dsn, SCHEMA, NAMES, process=name) for name in "ab")
    held = await settle(one, two)
    crashable_postgres.stop("immediate")
    for each in (one, two):
        with pytest.raises(TransientError):
            await each.beat()
    assert [set(one.mine), set(two.mine)] == held
    crashable_postgres.start()
    assert await settle(one, two) == held
    assert (one.number, two.number) == (1, 2)
    await one.leave()
    await two.leave()


async def test_people_see_who_does_what(worker: Make, hub_dsn: str) -> None:
    one, two = worker("a"), worker("b")
    await settle(one, two)
    overview = Overview(hub_dsn)
    first, second = await overview.workers()
    assert (first.number, first.duties, first.hangs) == (1, tuple(sorted(one.mine)), False)
    assert (second.number, second.duties, second.hangs) == (2, tuple(sorted(two.mine)), False)
    await its_lease_runs_out(hub_dsn, "b")
    assert [(each.number, each.hangs) for each in await overview.workers()] == [(1, False), (2, True)]
    await one.leave()
    assert [each.number for each in await overview.workers()] == [2]
    await overview.close()


async def test_a_source_of_partitions_is_told_of_as_one_and_each_partition_with_its_reader(
    worker: Make, hub_dsn: str
) -> None:
    one = worker(PROCESS)
    await one.beat()
    hub, overview = PostgresHub(hub_dsn), Overview(hub_dsn)
    await hub.read_until("crm", {})
    leases = {}
    for lane, state in ((Lane("crm", 1), "streaming"), (Lane("crm", 2), "halted")):
        leases[lane] = await hub.lease(lane)
        await hub.note(lane, state, f"of {lane}")

    async def stands_still(why: str) -> None:
        epoch = (await hub.take("crm", ["crm.public.account/0"]))["crm.public.account/0"].epoch
        parts = {"crm.public.account/0": Part(epoch, None, why)}
        async with hub.ingest(leases[Lane("crm", 1)]) as tx:
            await tx.commit(IngestOutcome(), rulebook="book", parts=parts)

    await stands_still("a column is gone")
    (source,) = await overview.sources()
    assert (source.name, source.state, source.message) == ("crm", "streaming", "of crm#1"), "nobody is number 2"
    (part,) = await overview.partitions()
    assert (part.source, part.name, part.worker, part.ours) == ("crm", "crm.public.account/0", 1, True)
    assert (part.position, part.message) == (None, "a column is gone")
    assert await overview.standing_still() == [part]
    two = worker("b")
    await two.beat()
    (source,) = await overview.sources()
    assert (source.state, source.message) == ("halted", "of crm#2"), "the worst of those that live"
    lease = await hub.lease(Lane("crm"))  # its log is read from now on, and no topics
    async with hub.ingest(lease) as tx:
        log = (await hub.take("crm", [LOG]))[LOG]
        await tx.commit(IngestOutcome(), rulebook="book", state="streaming", parts={LOG: replace(log, position="1")})
    (source,) = await overview.sources()
    assert (source.state, source.message) == ("streaming", ""), "what its lanes said once is of no concern"
    await one.leave()
    assert [part.worker for part in await overview.partitions() if part.name != LOG] == [None]
    assert await overview.standing_still() == []
    await one.beat()
    await hub.take("crm", ["crm.public.account/0"])
    assert await overview.standing_still() == [], "what it said before it began anew may be mended"
    await stands_still("it is not")
    assert [part.message for part in await overview.standing_still()] == ["it is not"]
    await overview.close()
    await hub.close()
