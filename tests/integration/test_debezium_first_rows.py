"""When a system has been read once, and when everything committed has come: asked of a real Debezium."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.connectors.debezium.reading.lag import KafkaLag
from fieldwarden.engine.errors import SourceGap, TransientError
from fieldwarden.engine.testing import MemoryHub
from stack import Stack
from tests.integration.kafka_world import ACCOUNT, CONTACT, Topics, Worker, event, key, system
from tests.patience import until

TABLES = """
create table account (id int primary key, name text, credit numeric(14,2));
create table contact (id int primary key, account_id int, email text);
insert into account select n, 'Ada', 1 from generate_series(1, 500) n
"""
SETTINGS = {"decimal__handling__mode": "string", "heartbeat__interval__ms": "200"}


def run(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())


def positions(hub: MemoryHub) -> dict[str, str | None]:
    return {name: part.position for (_, name), part in hub.partitions.items()}


async def is_read(hub: MemoryHub) -> bool:
    return not await hub.unread(["crm"])


async def test_a_system_is_read_once_its_first_rows_have_all_come(
    stack: Stack, database: str, debezium: Callable[..., str], prefix: str, over_tcp: Callable[[str], str]
) -> None:
    hub = MemoryHub()
    run(database, TABLES)
    async with Worker(stack.bootstrap, prefix, hub, dsn=over_tcp(database)) as worker:
        with pytest.raises(TransientError, match="no replication slot"):
            await worker.lookout.end()
        debezium(database, f"{ACCOUNT},public.contact", **SETTINGS)
        await worker.count(500)
        async with worker.working():
            await until(lambda: is_read(hub), "the first rows")
            assert {change.operation for change in worker.changes} == {"observe"}

            run(database, "update account set name = 'Grace' where id <= 100; insert into contact values (1, 1, 'a@b')")
            end = await worker.lookout.end()
            await until(lambda: worker.lookout.reached(positions(hub), end), "what was committed")
        assert len(worker.changes) == 601
        lags = await worker.lookout.lags(positions(hub))
        assert lags == {f"{prefix}.public.account/0": 0, f"{prefix}.public.contact/0": 0}
        slot = await worker.lookout.slot()
        assert slot is not None
        assert slot.usable
    assert {change.transaction for change in worker.changes[500:]} != {""}
    assert all(change.echo is None for change in worker.changes[500:])


async def test_a_system_without_a_single_row_is_read_too(
    stack: Stack, database: str, debezium: Callable[..., str], prefix: str, over_tcp: Callable[[str], str]
) -> None:
    hub = MemoryHub()
    run(database, TABLES.partition("insert")[0])
    debezium(database, f"{ACCOUNT},public.contact", **SETTINGS)
    async with Worker(stack.bootstrap, prefix, hub, dsn=over_tcp(database)) as worker, worker.working():
        await until(lambda: is_read(hub), "the first rows")


async def test_where_the_database_cannot_be_asked_the_stream_itself_gives_the_sign(topics: Topics) -> None:
    hub = MemoryHub()
    await topics.make(account=1)
    snapshot = event(ACCOUNT, "r", {"id": 1, "name": "Ada", "credit": "1"}, snapshot="first")
    await topics.put(ACCOUNT, key(1), snapshot)
    async with Worker(topics.bootstrap, topics.prefix, hub, settle_seconds=0.1) as worker:
        await worker.count(1)
        assert not await is_read(hub)
        await topics.account(2)
        async with worker.working():
            await until(lambda: is_read(hub), "the first rows")


async def test_a_table_that_is_mapped_later_is_a_gap_since_nobody_tells_its_rows(topics: Topics) -> None:
    hub = MemoryHub()
    await hub.read_until("crm", {}, 1, [ACCOUNT])
    await topics.make(account=1, contact=1)
    async with Worker(topics.bootstrap, topics.prefix, hub) as worker:
        with pytest.raises(SourceGap, match="contact came into the mapping after the baseline"):
            await worker.work()

    async def tell_again() -> None:
        await topics.contact(1, 1)

    async def told() -> bool:
        return (await hub.baseline("crm")).told

    again = Worker(topics.bootstrap, topics.prefix, hub, tell_again=tell_again, settle_seconds=0.1)
    await again.begin_again()
    async with again, again.working():
        await until(told, "the rows of all tables")
    assert set((await hub.baseline("crm")).streams) == {ACCOUNT, CONTACT}


async def test_a_hub_that_does_not_say_which_tables_were_read_goes_on_and_remembers_those_of_now(
    topics: Topics,
) -> None:
    hub = MemoryHub()
    await hub.read_until("crm", {})
    await topics.make(account=1)
    await topics.account(1)
    async with Worker(topics.bootstrap, topics.prefix, hub) as worker:
        await worker.count(1)
    assert set((await hub.baseline("crm")).streams) == {ACCOUNT, CONTACT}


async def test_lag_counts_what_is_not_read_of_each_partition_also_where_nobody_has_begun(topics: Topics) -> None:
    await topics.make(account=2)
    await topics.accounts(range(3), 0)
    await topics.accounts(range(2), 1)
    lookout = KafkaLag(system(topics.prefix), Brokers(topics.bootstrap))
    first, second = f"{topics.topic(ACCOUNT)}/0", f"{topics.topic(ACCOUNT)}/1"
    assert await lookout.lags({first: "0000.0000000000000001.0002"}) == {first: 2, second: 2}
    assert await lookout.slot() is None
    end = await lookout.end()
    assert not lookout.reached({first: "0000.0000000000000003.0002"}, end)
    assert lookout.reached({first: "0000.0000000000000003.0002", second: "0001.0000000000000002.0002"}, end)
    await lookout.close()
