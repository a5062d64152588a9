"""Several workers on one system's topics: one consumer group, each partition one worker's, the fence behind it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fieldwarden.connectors.debezium.kafka.brokers import Brokers, reach
from fieldwarden.connectors.debezium.kafka.consumer import Timeouts
from fieldwarden.engine.errors import EnvironmentUnfit, PartitionLost, TransientError
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.testing import MemoryHub
from stack import Stack
from stack.process import free_port
from stack.topics import create_topics
from tests.integration.kafka_world import Topics, Worker
from tests.patience import until

IMPATIENT = Timeouts(session=6_000, heartbeat=500, rebalance=10_000, drain=200, silence=1_000)


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


def worker(topics: Topics, hub: Hub, number: int = 1, **options: Any) -> Worker:
    return Worker(topics.bootstrap, topics.prefix, hub, number=number, **options)


@contextlib.asynccontextmanager
async def working(each: Worker) -> AsyncIterator[Worker]:
    async with each, each.working():
        yield each


async def test_workers_come_and_go_and_every_record_is_handled_by_exactly_one(topics: Topics, hub: Hub) -> None:
    await topics.make(account=4)
    first, second = worker(topics, hub, 1), worker(topics, hub, 2)
    number = 0

    async def more() -> None:
        nonlocal number
        for partition in range(4):
            await topics.accounts(range(number, number + 5), partition)
            number += 5

    def told() -> int:
        return len(first.changes) + len(second.changes)

    async with working(first):
        await more()
        await until(lambda: len(first.changes) == number, "the first to read all")
        async with working(second):
            while not second.changes:  # the first goes on in the middle of the rebalance
                await more()
            for _ in range(10):
                await more()
            await until(lambda: told() == number, "every record")
        await more()
        await until(lambda: told() == number, "every record")
    places = [change.place for change in (*first.changes, *second.changes)]
    assert len(places) == len(set(places)) == number
    for each in (first, second):
        by_partition: dict[str, list[str]] = {}
        for change in each.changes:
            by_partition.setdefault(change.place.partition("@")[0], []).append(change.position)
        assert all(positions == sorted(positions) for positions in by_partition.values())


async def test_every_worker_has_a_share_of_each_table(topics: Topics, hub: Hub) -> None:
    """The connector's own topics are read too, and must not count as anybody's share."""
    await topics.make(account=2)
    await create_topics(
        topics.bootstrap, {f"__debezium-heartbeat.{topics.prefix}": 1, f"{topics.prefix}.fieldwarden-notifications": 1}
    )
    first, second = worker(topics, hub, 1), worker(topics, hub, 2)
    await topics.account(0)
    async with working(first):
        await until(lambda: first.changes, "a first record")
        async with working(second):
            number = 1
            while not second.changes:
                await topics.account(number, partition=number % 2)
                number += 1
            await until(lambda: len(first.changes) + len(second.changes) == number, "every record")
            before = len(first.changes), len(second.changes)
            for partition in range(2):
                await topics.account(number + partition, partition=partition)
            await until(lambda: len(first.changes) + len(second.changes) == number + 2, "one more of each partition")
            assert (len(first.changes), len(second.changes)) == (before[0] + 1, before[1] + 1)


async def test_a_rebalance_waits_until_what_was_handed_over_is_durable(topics: Topics, hub: Hub) -> None:
    await topics.make(account=1)
    await topics.accounts(range(3))
    async with worker(topics, hub, 1) as first:
        batch = await first.step(commit=False)
        reading = asyncio.create_task(first.step())
        async with working(worker(topics, hub, 2)) as second:
            await until(lambda: first.source.rebalancing, "the rebalance")
            await first.commit(batch)
            await until(lambda: not first.source.rebalancing, "its end")
            await topics.account(3)
            await until(lambda: len(first.changes) + len(second.changes) == 4, "every record")
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_whose_partitions_another_has_taken_commits_nothing_more(topics: Topics, hub: Hub) -> None:
    await topics.make(account=1)
    await topics.accounts(range(3))
    zombie = worker(topics, hub, 1)
    async with zombie:
        batch = await zombie.step(commit=False)
        await hub.take("crm", list(batch.parts))  # as the next owner does
        with pytest.raises(PartitionLost):
            await zombie.commit(batch)
    async with worker(topics, hub, 2) as heir:
        await heir.count(3)
    assert zombie.changes == []


async def test_a_worker_that_is_busy_for_half_a_session_stays_in_the_group(topics: Topics, hub: Hub) -> None:
    await topics.make(account=1)
    await topics.account(1)
    async with worker(topics, hub) as reader:
        await reader.count(1)
        time.sleep(3)  # the decisions of a batch do not yield either
        await topics.account(2)
        await reader.count(2)
        assert reader.source.assignments == 1


async def test_a_restart_of_the_broker_is_sat_out_and_a_broker_that_stays_away_is_told_of(
    crashable_stack: Stack, prefix: str, hub: Hub
) -> None:
    crashable_stack.start_broker()
    bootstrap = crashable_stack.bootstrap
    async with Topics(bootstrap, prefix) as topics:
        await topics.make(account=1)
        await topics.accounts(range(3))
        async with worker(topics, hub, timeouts=IMPATIENT) as reader:
            await reader.count(3)
            crashable_stack.broker.kill()
            crashable_stack.broker.start()
            await topics.account(3)
            await reader.count(4)
            crashable_stack.broker.kill()
            with pytest.raises(TransientError, match=f"Kafka at {bootstrap} has not answered"):
                await reader.work()
    assert reader.keys() == ["0", "1", "2", "3"]
    with pytest.raises(TransientError, match=f"Kafka at {bootstrap} cannot be reached"):
        async with worker(topics, hub):
            pass


async def test_a_broker_that_is_not_there_is_named() -> None:
    port = free_port()
    with pytest.raises(TransientError, match=f"127.0.0.1:{port} cannot be reached"):
        await reach(Brokers(f"127.0.0.1:{port}"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"security": "ssl"}, "TLS failed|breaks the connection"),
        ({"security": "sasl_plaintext", "mechanism": "PLAIN", "username": "u", "password": "s3cret"}, "Kafka at"),
    ],
)
async def test_a_listener_that_speaks_another_protocol_is_told_of_without_secrets(
    kafka: Stack, options: dict[str, str], words: str
) -> None:
    with pytest.raises((EnvironmentUnfit, TransientError), match=words) as caught:
        await reach(Brokers(kafka.bootstrap, **options))
    assert kafka.bootstrap in caught.value.message
    assert "security" in caught.value.suggestion or "mechanism" in caught.value.suggestion
    assert "s3cret" not in f"{caught.value.message} {caught.value.suggestion} {caught.value.__cause__!r}"


async def test_certificates_that_cannot_be_read_are_told_of(kafka: Stack) -> None:
    with pytest.raises(EnvironmentUnfit, match="certificates for Kafka cannot be read"):
        await reach(Brokers(kafka.bootstrap, security="ssl", ca_file="/nowhere/ca.pem"))
