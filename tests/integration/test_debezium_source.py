"""A Debezium connector's topics as a source: from where the hub has each partition, each record once, none missed."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from fieldwarden.connectors.postgres.reading.position import WalPosition
from fieldwarden.engine.change import UNKNOWN
from fieldwarden.engine.errors import EnvironmentUnfit, Fenced, SourceGap, TransientError
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.ports.parts import LOG, Begun
from fieldwarden.engine.testing import MemoryHub
from stack import Stack
from tests.integration.kafka_world import ACCOUNT, CONTACT, Topics, Worker, event, key
from tests.patience import until


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


@pytest.fixture
async def admin(kafka: Stack) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    yield admin
    await admin.close()


def worker(topics: Topics, hub: Hub, **options: Any) -> Worker:
    return Worker(topics.bootstrap, topics.prefix, hub, **options)


async def baselined(topics: Topics, hub: Hub) -> Worker:
    """One that began a new baseline, and has read what came then: a row 99."""
    again = worker(topics, hub)
    await again.begin_again()
    await topics.account(99)
    async with again:
        await again.count(1)
    return again


def position(hub: MemoryHub, topics: Topics, partition: int = 0, stream: str = ACCOUNT) -> str | None:
    taken = hub.partitions.get(("crm", f"{topics.topic(stream)}/{partition}"))
    return taken.position if taken else None


# --- from where, and in which order ------------------------------------------------------------------------------


async def test_it_begins_at_the_beginning_and_goes_on_where_the_hub_has_it(topics: Topics, hub: Hub) -> None:
    await topics.make(account=1)
    await topics.accounts(range(3))
    async with worker(topics, hub) as first:
        await first.count(3)
    await topics.accounts(range(3, 5))
    async with worker(topics, hub, number=2) as second:
        await second.count(2)
    assert first.keys() == ["0", "1", "2"]
    assert second.keys() == ["3", "4"]
    assert second.changes[0].place == f"{topics.topic(ACCOUNT)}/0@3"
    assert second.changes[0].position == "0001.0000000000000003"


async def test_what_kafka_has_of_our_progress_is_for_lag_tools_and_never_read_back(
    topics: Topics, hub: MemoryHub, admin: AIOKafkaAdminClient
) -> None:
    await topics.make(account=1)
    await topics.accounts(range(4))
    async with worker(topics, hub) as first:
        await first.count(4)
        partition = TopicPartition(topics.topic(ACCOUNT), 0)

        async def told() -> bool:
            offsets = await admin.list_consumer_group_offsets(topics.prefix)
            return partition in offsets and int(offsets[partition].offset) == 4

        await until(told, "Kafka to be told")
    async with worker(topics, MemoryHub()) as second:
        await second.count(4)
    assert second.keys() == ["0", "1", "2", "3"]


async def test_parents_tend_to_come_before_children_and_a_partition_keeps_its_order(topics: Topics, hub: Hub) -> None:
    await topics.make(account=1, contact=2)
    for number, at in ((1, 1_000), (2, 3_000)):
        await topics.contact(number * 10, number, partition=number - 1, at=at)
        await topics.account(number, at=at)
    await topics.contact(11, 1, partition=0, at=2_000)
    async with worker(topics, hub) as reader:
        await reader.count(5)
    assert reader.keys() == ["1", "10", "11", "2", "20"]


def standing(number: int, sequence: str, at: int) -> bytes:
    """An account as Debezium tells of it, with its place in the database's log and its commit time (ms)."""
    told = json.loads(event(ACCOUNT, "c", {"id": number, "name": "Ada", "credit": "1.00"}))
    source = next(each for each in told["schema"]["fields"] if each["field"] == "source")
    source["fields"].append({"field": "sequence", "type": "string", "optional": True})
    told["payload"]["source"] |= {"sequence": sequence, "ts_ms": at}
    return json.dumps(told).encode()


async def test_a_forged_record_of_the_future_makes_no_repeat_of_what_comes_after_it(topics: Topics, hub: Hub) -> None:
    await topics.make(account=1)
    now = time.time_ns() // 1_000_000
    later = now + 50 * 60_000  # brokers refuse what is dated more than an hour ahead
    await topics.put(ACCOUNT, key(1), standing(1, '["1","2"]', now - 20_000))
    await topics.put(ACCOUNT, key(2), standing(2, f'["{(1 << 63) - 1}","{(1 << 63) - 1}"]', later), at=later)
    await topics.put(ACCOUNT, key(3), standing(3, '["2","3"]', now - 10_000))
    await topics.put(ACCOUNT, key(1), standing(1, '["1","2"]', now - 20_000))  # told again
    await topics.put(ACCOUNT, key(4), standing(4, '["3","4"]', now))
    async with worker(topics, hub) as reader:
        await reader.count(4)
    assert reader.keys() == ["1", "2", "3", "4"]


async def test_a_topic_that_appears_later_is_read_too(topics: Topics, hub: Hub) -> None:
    await topics.make(account=1)
    await topics.account(1)
    async with worker(topics, hub) as reader:
        await reader.count(1)
        await topics.make(contact=1)
        await topics.contact(10, 1)
        await reader.count(2)
    assert [change.relation.stream for change in reader.changes] == [ACCOUNT, CONTACT]


async def test_batches_are_bounded_in_number_and_bytes(topics: Topics, hub: Hub) -> None:
    await topics.make(account=2)
    await topics.accounts(range(50), partition=0)
    await topics.accounts(range(50, 100), partition=1, name="x" * 20_000)
    async with worker(topics, hub, max_changes=20, max_bytes=64 << 10) as reader:
        await reader.count(100)
    sizes = [len(batch.changes) for batch in reader.batches]
    assert max(sizes) == 20
    heavy = [batch for batch in reader.batches if any(len(str(change.values)) > 10_000 for change in batch.changes)]
    assert max(len(batch.changes) for batch in heavy) < 20
    assert sorted(map(int, reader.keys())) == list(range(100))


# --- positions -----------------------------------------------------------------------------------------------------


async def test_an_idle_partition_moves_on_past_what_says_nothing(topics: Topics, hub: MemoryHub) -> None:
    await topics.make(account=1)
    await topics.account(1)
    for _ in range(3):
        await topics.put(ACCOUNT, key(1), None)
    async with worker(topics, hub) as reader:
        await reader.until(lambda: position(hub, topics) == "0001.0000000000000004.0001")
    assert len(reader.changes) == 1


async def test_positions_pass_the_markers_of_transactions(topics: Topics, hub: MemoryHub, kafka: Stack) -> None:
    await topics.make(account=1)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topics.prefix)
    async with producer:
        value = event(ACCOUNT, "c", {"id": 1, "name": "Ada", "credit": "1"})
        async with producer.transaction():
            await producer.send(topics.topic(ACCOUNT), value, key(1))
        await producer.begin_transaction()
        await producer.send_and_wait(topics.topic(ACCOUNT), value, key(2))
        await producer.abort_transaction()
    async with worker(topics, hub) as reader:
        await reader.until(lambda: position(hub, topics) == "0001.0000000000000004.0001")
        ends = await reader.lookout.end()
    assert reader.keys() == ["1"]
    assert reader.lookout.reached({name: part.position for (_, name), part in hub.partitions.items()}, ends)


async def test_a_new_partition_gets_its_position_even_if_nothing_is_in_it(topics: Topics, hub: MemoryHub) -> None:
    await topics.make(account=1, contact=1)
    await topics.account(1)
    async with worker(topics, hub) as reader:
        await reader.until(lambda: position(hub, topics, stream=CONTACT) == "0001.0000000000000000.0001")


async def test_a_new_baseline_goes_on_at_the_ends_under_the_next_number_for_all(topics: Topics, hub: Hub) -> None:
    await topics.make(account=2, contact=1)
    await topics.accounts(range(2))
    async with worker(topics, hub) as first:
        await first.count(2)
        await topics.accounts(range(2, 4))
        baselining = worker(topics, hub)
        await baselining.begin_again()
        with pytest.raises(Fenced):
            await first.work()
    await topics.account(9, partition=1)
    async with worker(topics, hub) as second:
        await second.count(1)
    assert (second.keys(), second.changes[0].position[:4]) == (["9"], "0002")
    assert await hub.unread(["crm"]) == ["crm"]


async def test_a_worker_that_has_nothing_to_tell_learns_of_a_new_baseline_when_partitions_are_dealt_out(
    topics: Topics, hub: Hub
) -> None:
    """It may hold the first of them, and then it is the one who has all rows told again."""
    await topics.make(account=1)
    await topics.account(1)
    async with worker(topics, hub) as idle:
        await idle.count(1)
        other = worker(topics, hub, number=2)
        await other.begin_again()
        async with other:
            with pytest.raises(TransientError, match="a new baseline has begun"):
                await idle.work()


async def test_whoever_began_a_new_baseline_has_all_rows_told_again_once_and_only_then_the_system_is_read(
    topics: Topics, hub: MemoryHub
) -> None:
    await topics.make(account=1)
    asked: list[str] = []

    async def tell_again() -> None:
        asked.append("all rows")
        await topics.account(7)

    async def told() -> bool:
        return (await hub.baseline("crm")).told

    one = worker(topics, hub, tell_again=tell_again)
    await one.begin_again()
    async with worker(topics, hub, number=2) as other:
        await other.until(lambda: position(hub, topics) == "0002.0000000000000000.0001")
        assert not await told()
    async with one:
        await one.count(1)
        await until(told, "the first rows' ends to be told")
    async with one:
        await topics.account(8)
        await one.count(2)
    assert asked == ["all rows"]


async def test_a_system_that_was_read_directly_before_asks_for_a_new_baseline_above_all_it_said(
    topics: Topics, hub: Hub
) -> None:
    await topics.make(account=1)
    await hub.begin_again("crm", 7, None, Begun("somebody", "read again and again", 0))
    direct = await hub.lease(Lane("crm"))
    at = WalPosition("stream", 99, streams=(ACCOUNT,), server="s", baseline=7).encode()
    part = (await hub.take("crm", [LOG]))[LOG]
    async with hub.ingest(direct) as tx:
        parts = {LOG: replace(part, position=at)}
        await tx.commit(IngestOutcome(), rulebook="book", state="streaming", parts=parts)
    with pytest.raises(EnvironmentUnfit, match="read directly before") as caught:
        async with worker(topics, hub) as reader:
            await reader.step()
    assert "--rebaseline crm" in caught.value.suggestion
    again = await baselined(topics, hub)
    assert again.changes[0].position[:4] == "0008"


# --- gaps ----------------------------------------------------------------------------------------------------------


async def test_records_that_are_gone_unread_are_a_gap(topics: Topics, hub: Hub, admin: AIOKafkaAdminClient) -> None:
    await topics.make(account=1)
    await topics.accounts(range(5))
    async with worker(topics, hub, max_changes=2) as first:
        await first.step()
    await admin.delete_records({TopicPartition(topics.topic(ACCOUNT), 0): RecordsToDelete(before_offset=4)})
    with pytest.raises(SourceGap, match="begins at offset 4, after 2"):
        async with worker(topics, hub) as second:
            await second.step()
    assert (await baselined(topics, hub)).keys() == ["99"]


async def test_a_topic_that_was_made_anew_is_a_gap(topics: Topics, hub: Hub, admin: AIOKafkaAdminClient) -> None:
    await topics.make(account=1)
    await topics.accounts(range(5))
    async with worker(topics, hub) as first:
        await first.count(5)
    await admin.delete_topics([topics.topic(ACCOUNT)])
    await topics.make_again(ACCOUNT, 1)
    await topics.account(1)
    with pytest.raises(SourceGap, match="ends at offset 1, before what was read of it"):
        async with worker(topics, hub) as second:
            await second.step()


async def test_a_topic_that_gets_more_partitions_is_a_gap_also_while_it_is_read(
    topics: Topics, hub: Hub, admin: AIOKafkaAdminClient
) -> None:
    await topics.make(account=1)
    await topics.accounts(range(2))
    async with worker(topics, hub) as reader:
        await reader.count(2)
        await admin.create_partitions({topics.topic(ACCOUNT): NewPartitions(2)})
        with pytest.raises(SourceGap, match="has 2 partitions and had 1"):
            await reader.work()
    with pytest.raises(SourceGap, match="has 2 partitions and had 1"):
        async with worker(topics, hub) as another:
            await another.step()
    assert (await baselined(topics, hub)).keys() == ["99"]


# --- what cannot be read -------------------------------------------------------------------------------------------


async def test_poison_is_handed_over_with_its_bytes_and_everything_else_goes_on(topics: Topics, hub: Hub) -> None:
    await topics.make(account=1)
    await topics.account(1)
    await topics.put(ACCOUNT, key(2), b"\xff not a record")
    await topics.account(3)
    async with worker(topics, hub) as reader:
        await reader.count(3)
    poison = reader.changes[1]
    assert poison.undecoded is not None
    assert poison.undecoded.value == b"\xff not a record"
    assert poison.place == f"{topics.topic(ACCOUNT)}/0@1"
    assert poison.values == ("2",)
    assert UNKNOWN not in reader.changes[2].values
    assert reader.keys()[::2] == ["1", "3"]


async def test_a_stream_that_no_longer_fits_stands_still_and_goes_on_once_the_mapping_is_mended(
    topics: Topics, hub: MemoryHub
) -> None:
    name = f"{topics.topic(ACCOUNT)}/0"
    await topics.make(account=1, contact=1)
    await topics.account(1)
    for number in (2, 3):
        await topics.put(ACCOUNT, key(number), event(ACCOUNT, "c", {"id": number, "name": "Ada"}))
    async with worker(topics, hub) as reader:
        await reader.until(lambda: reader.held.get(name))
        await topics.contact(10, 1)
        await reader.count(2)
        assert reader.keys() == ["1", "10"]
        assert "credit" in reader.held[name]
        assert f"{name}@1" in reader.held[name]
        assert position(hub, topics) == "0001.0000000000000001.0001"
    async with worker(topics, hub, number=2) as again:
        await again.until(lambda: again.held.get(name))
    assert again.changes == []
    async with worker(topics, hub, number=3, columns=("name",)) as mended:
        await mended.count(2)
    assert mended.keys() == ["2", "3"]
    assert mended.held[name] == ""
    assert hub.partitions["crm", name].message == ""


async def test_what_was_written_before_a_column_was_added_says_nothing_of_it_and_once_it_is_dropped_the_stream_stops(
    topics: Topics, hub: Hub, database: str
) -> None:
    name = f"{topics.topic(ACCOUNT)}/0"
    await topics.make(account=1)
    without = event(ACCOUNT, "c", {"id": 1, "name": "Ada"})
    await topics.put(ACCOUNT, key(1), without)
    await topics.account(2)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table account (id int primary key, name text, credit numeric(14,2))")
        async with worker(topics, hub, dsn=database) as reader:
            before, after = await reader.count(2)
            assert before.relation.columns == after.relation.columns == ("id", "name", "credit")
            assert before.values == ("1", "Ada", UNKNOWN)
            assert after.values == ("2", "Ada", "1.00")
            connection.execute("alter table account drop column credit")
            await topics.put(ACCOUNT, key(3), without)
            await reader.until(lambda: reader.held.get(name))
    assert len(reader.changes) == 2
    assert "credit" in reader.held[name]


async def test_a_column_of_a_type_that_the_field_cannot_hold_stops_the_stream_too(topics: Topics, hub: Hub) -> None:
    await topics.make(account=1)
    values = {"id": 1, "name": "Ada", "credit": True}
    await topics.put(ACCOUNT, key(1), event(ACCOUNT, "c", values, {"credit": "boolean"}))
    async with worker(topics, hub) as reader:
        await reader.until(lambda: reader.held.get(f"{topics.topic(ACCOUNT)}/0"))
    assert reader.changes == []
    assert "'credit' of public.account is boolean now" in reader.held[f"{topics.topic(ACCOUNT)}/0"]


async def test_a_truncate_in_a_topic_of_one_partition_is_told_and_of_several_it_stops_the_stream(
    topics: Topics, hub: Hub
) -> None:
    await topics.make(account=2, contact=1)
    await topics.contact(10, 1)
    await topics.put(CONTACT, None, event(CONTACT, "t", {"id": 1, "account_id": 1, "email": ""}))
    await topics.put(ACCOUNT, None, event(ACCOUNT, "t", {"id": 1, "name": "", "credit": ""}))
    async with worker(topics, hub) as reader:
        await reader.until(lambda: len(reader.changes) == 2 and len(list(filter(None, reader.held.values()))) == 2)
    assert [change.operation for change in reader.changes] == ["insert", "truncate"]
    assert sorted(name for name, why in reader.held.items() if why) == [f"{topics.topic(ACCOUNT)}/{n}" for n in (0, 1)]


# --- how much is held in memory ------------------------------------------------------------------------------------


async def test_what_is_fetched_ahead_is_bounded_however_much_there_is(topics: Topics, hub: Hub) -> None:
    await topics.make(account=4)
    for partition in range(4):
        await topics.accounts(range(partition * 100, partition * 100 + 100), partition, name="x" * 20_000)
    bound = 256 << 10
    async with worker(topics, hub, max_bytes=bound) as reader:
        most = 0
        while len(reader.changes) < 400:
            await reader.step()
            most = max(most, reader.source.buffered)
    assert bound < most < 2 * bound + (3 << 20), "at most one fetch of one partition above the bound"
    assert sorted(map(int, reader.keys())) == list(range(400))
