"""What every source promises, said once, and held against Kafka's, PostgreSQL's, a vendor's, a polled feed's and two
scripted ones.

A system has two parts, or one, whose name stands twice; what is told in one is numbered. Some of it may be read with
all rows first, and the rest comes as changes.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Protocol

import pytest

from fieldwarden.connectors.rest.asking.session import RestSession
from fieldwarden.connectors.rest.reading.source import RestSource
from fieldwarden.engine.change import RawChange
from fieldwarden.engine.errors import Fenced, PartitionLost
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.engine.ports.source import Batch, Source, Start
from fieldwarden.engine.testing import Feed, MemoryHub, PartitionedSource, PolledSource, ScriptedSource
from fieldwarden.engine.testing.footholds import MemoryFootholds
from fieldwarden.engine.wanted import Wanted
from stack import Stack
from tests.builders import raw
from tests.integration import reading
from tests.integration.kafka_world import ACCOUNT, Topics, Worker
from tests.integration.rest_server import Served, serving
from tests.integration.rest_shop import Shop, session_of
from tests.patience import within


class Log(Protocol):
    """A system whose parts have names, and workers that read all of them."""

    names: tuple[str, str]

    async def tell(self, partition: int, *numbers: int) -> None: ...
    def worker(self, hub: Hub) -> Source: ...


class ScriptedLog:
    """One part."""

    def __init__(self) -> None:
        self.names = (LOG, LOG)
        self.log: list[RawChange] = []
        self.workers: list[ScriptedSource] = []

    async def tell(self, partition: int, *numbers: int) -> None:
        del partition
        told = [raw(ACCOUNT, "insert", len(self.log) + n, id=str(number)) for n, number in enumerate(numbers, 1)]
        self.log += told
        for worker in self.workers:
            worker.extend(told)

    def worker(self, hub: Hub) -> Source:
        del hub
        source = ScriptedSource("crm", self.log, size=3)
        self.workers.append(source)
        return source


class MemoryLog:
    def __init__(self) -> None:
        self.names = ("crm.public.account/0", "crm.public.account/1")
        self.log: dict[str, list[RawChange]] = {name: [] for name in self.names}
        self.workers: list[PartitionedSource] = []

    async def tell(self, partition: int, *numbers: int) -> None:
        self.log[self.names[partition]] += [raw(ACCOUNT, "insert", 0, id=str(number)) for number in numbers]
        for worker in self.workers:
            worker.tell()

    def worker(self, hub: Hub) -> Source:
        del hub
        source = PartitionedSource("crm", self.log)
        source.give(self.names)
        self.workers.append(source)
        return source


class PolledLog:
    """The parts of a feed that is asked again and again."""

    def __init__(self) -> None:
        self.names = ("crm.public.account/0", "crm.public.account/1")
        self.feed = Feed("crm", self.names)

    async def tell(self, partition: int, *numbers: int) -> None:
        for number in numbers:
            change = raw(ACCOUNT, "insert", 0, id=str(number))
            self.feed.tell(self.names[partition], str(number), change, change)

    def worker(self, hub: Hub) -> Source:
        return PolledSource(self.feed, hub)


class PostgresLog:
    """A database, whose log is the one part. What is there when a worker first opens it is read with all rows."""

    def __init__(self, dsn: str) -> None:
        self.dsn, self.names = dsn, (LOG, LOG)
        self.memory = MemoryFootholds("contract")
        reading.run(dsn, reading.ACCOUNT)

    async def tell(self, partition: int, *numbers: int) -> None:
        del partition
        reading.run(self.dsn, *(f"insert into account (id, name) values ({number}, 'Ann')" for number in numbers))

    def worker(self, hub: Hub) -> Source:
        del hub
        return reading.source(reading.CRM, self.dsn, self.memory, idle_seconds=0.05)


class KafkaLog:
    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.names = (f"{topics.topic(ACCOUNT)}/0", f"{topics.topic(ACCOUNT)}/1")

    async def tell(self, partition: int, *numbers: int) -> None:
        for number in numbers:
            await self.topics.account(number, partition=partition)

    def worker(self, hub: Hub) -> Source:
        return Worker(self.topics.bootstrap, self.topics.prefix, hub).source


class RestLog:
    """A vendor's API, of which one object is read by links. What is there when a worker first opens it is read with all
    rows."""

    def __init__(self, served: Served, shop: Shop) -> None:
        self.names = ("orders", "orders")
        self.served, self.shop = served, shop
        self.sessions: list[RestSession] = []

    async def tell(self, partition: int, *numbers: int) -> None:
        del partition
        for number in numbers:
            self.shop.put("orders", str(number), "Ann")

    def worker(self, hub: Hub) -> Source:
        del hub
        self.sessions.append(session_of(self.served, self.shop))
        return RestSource(self.sessions[-1], {"orders": Wanted("account", ("id",), frozenset({"id", "name"}))}, 0.01)


IN_MEMORY: dict[str, Callable[[], Log]] = {"scripted": ScriptedLog, "partitions": MemoryLog, "feed": PolledLog}


@pytest.fixture(params=[pytest.param("kafka", marks=pytest.mark.kafka), "postgres", "rest", *IN_MEMORY])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    if request.param in IN_MEMORY:
        yield IN_MEMORY[request.param]()
        return
    if request.param == "postgres":
        yield PostgresLog(request.getfixturevalue("database"))
        return
    if request.param == "rest":
        shop = Shop()
        with serving(shop) as served:
            rest = RestLog(served, shop)
            yield rest
            for session in rest.sessions:
                await session.close()
        return
    stack: Stack = request.getfixturevalue("kafka")
    async with Topics(stack.bootstrap, request.getfixturevalue("prefix")) as topics:
        await topics.make(account=2)
        yield KafkaLog(topics)


class Reader:
    """A worker that commits what it is told, and what it was told."""

    def __init__(self, log: Log, hub: Hub) -> None:
        self.hub = hub
        self.source = log.worker(hub)
        self.changes: list[RawChange] = []

    async def __aenter__(self) -> Reader:
        self.lease = await self.hub.lease(Lane("crm"))
        await self.source.open(Start(partial(self.hub.take, "crm"), self.lease.baseline))
        self.batches = aiter(self.source.batches())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.source.close()

    async def step(self) -> Batch:
        async with within():
            return await anext(self.batches)

    async def commit(self, batch: Batch) -> None:
        async with self.hub.ingest(self.lease) as tx:
            await tx.commit(IngestOutcome(), rulebook="book", parts=batch.parts)
        self.changes += batch.changes
        await self.source.acknowledge(batch)

    async def count(self, number: int) -> list[RawChange]:
        while len(self.changes) < number:
            await self.commit(await self.step())
        return self.changes

    def ids(self) -> list[str]:
        return [str(change.values[change.relation.columns.index("id")]) for change in self.changes]


async def test_everything_is_told_once_and_each_part_in_order(log: Log) -> None:
    await log.tell(0, 0, 1, 2)
    await log.tell(1, 10, 11)
    async with Reader(log, MemoryHub()) as reader:
        await reader.count(5)
        await log.tell(0, 3)
        await reader.count(6)
    assert sorted(reader.ids(), key=int) == ["0", "1", "2", "3", "10", "11"]
    assert [each for each in reader.ids() if len(each) == 1] == ["0", "1", "2", "3"]
    assert reader.ids().index("10") < reader.ids().index("11")


async def test_another_goes_on_where_the_hub_has_each_part(log: Log) -> None:
    hub = MemoryHub()
    await log.tell(0, 0, 1)
    async with Reader(log, hub) as reader:
        await reader.count(2)
    await log.tell(0, 2)
    await log.tell(1, 10)
    async with Reader(log, hub) as other:
        await other.count(2)
    assert sorted(other.ids()) == ["10", "2"]


async def test_what_was_handed_over_and_not_committed_is_told_again(log: Log) -> None:
    hub = MemoryHub()
    await log.tell(0, 0)
    async with Reader(log, hub) as reader:
        while not (await reader.step()).changes:
            pass
    async with Reader(log, hub) as other:
        await other.count(1)
    assert other.ids() == ["0"]


async def test_no_batch_is_without_its_parts_and_each_is_known_by_its_name(log: Log) -> None:
    await log.tell(0, 0, 1)
    await log.tell(1, 10)
    named: set[str] = set()
    async with Reader(log, MemoryHub()) as reader:
        while len(reader.changes) < 3:
            batch = await reader.step()
            assert batch.parts
            named |= batch.parts.keys()
            await reader.commit(batch)
        told = await reader.source.ends(1)
    assert named == set(log.names)
    assert told is None or told.keys() == named


async def test_positions_of_rows_grow_as_text_and_so_do_those_of_parts_whose_ends_are_told(log: Log) -> None:
    hub = MemoryHub()
    seen: list[str] = []
    async with Reader(log, hub) as reader:
        for number in range(7):
            await log.tell(0, number)
            while len(reader.changes) <= number:
                batch = await reader.step()
                if log.names[0] in batch.parts:
                    seen.append(batch.parts[log.names[0]].position or "")
                await reader.commit(batch)
        ends = await reader.source.ends(1)
    positions = [change.position for change in reader.changes]
    assert positions == sorted(set(positions))
    assert all(first != second for first, second in itertools.pairwise(seen)), "each batch says that it is further"
    if ends is not None:
        assert seen == sorted(set(seen))
        assert [change.place for change in reader.changes] == [f"{log.names[0]}@{offset}" for offset in range(7)]


async def test_once_another_has_taken_a_part_nothing_of_it_can_be_committed(log: Log) -> None:
    hub = MemoryHub()
    await log.tell(0, 0)
    async with Reader(log, hub) as reader:
        while not (batch := await reader.step()).changes:
            await reader.commit(batch)
        await hub.take("crm", [log.names[0]])
        with pytest.raises(PartitionLost):
            await reader.commit(batch)


async def test_whoever_is_no_longer_the_one_that_reads_commits_nothing_though_nobody_has_taken_its_parts(
    log: Log,
) -> None:
    hub = MemoryHub()
    await log.tell(0, 0)
    async with Reader(log, hub) as reader:
        while not (batch := await reader.step()).changes:
            await reader.commit(batch)
        await hub.lease(Lane("crm"))
        with pytest.raises(Fenced):
            await reader.commit(batch)


async def test_what_was_decoded_is_the_same_when_tried_again(log: Log) -> None:
    await log.tell(0, 0)
    async with Reader(log, MemoryHub()) as reader:
        (change,) = await reader.count(1)
        assert await reader.source.again(change) is change


async def test_it_can_be_closed_twice_and_opened_again(log: Log) -> None:
    hub = MemoryHub()
    await log.tell(0, 0)
    reader = Reader(log, hub)
    async with reader:
        await reader.count(1)
    await reader.source.close()
    await log.tell(0, 1)
    async with reader:
        await reader.count(2)
    assert reader.ids() == ["0", "1"]
