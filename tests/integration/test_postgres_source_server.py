"""The PostgreSQL source and its server: what it must find there before it begins, and what it keeps the server from
throwing away, or lets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from psycopg.conninfo import conninfo_to_dict

from fieldwarden.connectors.postgres.reading.position import WalPosition, parse_lsn
from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from tests.builders import reached, starting
from tests.integration.reading import (
    ACCOUNT,
    CONFIRMED,
    CRM,
    ask,
    eventually,
    reading,
    run,
    stream,
    system,
)
from tests.integration.reading import source as direct


async def test_feedback_moves_only_with_what_was_acknowledged(database: str) -> None:
    run(database, ACCOUNT)
    async with reading(direct(CRM, database, idle_seconds=0)) as reader:
        await reader.baseline()
        first = WalPosition.decode(reader.positions[-1])
        await eventually(database, CONFIRMED, first.end)
        run(database, "insert into account values (1)")
        batch = await reader.step(acknowledge=False)
        while not batch.changes:
            batch = await reader.step(acknowledge=False)
        for number in range(3):
            run(database, f"create table noise_{number} ()")
            idle = await reader.step(acknowledge=False)
        assert not idle.changes
        assert parse_lsn(ask(database, CONFIRMED)) == first.end
        durable = WalPosition.decode(reached(batch)).end
        await reader.source.acknowledge(batch)
        await eventually(database, CONFIRMED, durable)
        await reader.source.acknowledge(reader.told[0])  # never backwards
        run(database, "insert into account values (2)")
        await reader.count(2)
        assert parse_lsn(ask(database, CONFIRMED)) >= durable


async def test_an_idle_publication_does_not_pin_wal(database: str) -> None:
    run(database, ACCOUNT, "create table elsewhere (x int)")
    source = direct(CRM, database, idle_seconds=0.05)
    async with reading(source) as reader:
        await reader.baseline()
        run(database, "insert into elsewhere select generate_series(1, 10000)")
        end = parse_lsn(ask(database, "select pg_current_wal_lsn()::text"))
        while WalPosition.decode(reader.positions[-1]).end < end:
            batch = await reader.step()
            assert batch.changes == []
        await eventually(database, CONFIRMED, end)
        health = await source.health()
    assert health.wal_status == "reserved"
    assert health.usable
    assert health.active
    assert health.behind_bytes < 100_000


async def test_a_slot_in_use_names_the_process(database: str) -> None:
    run(database, ACCOUNT)
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        await reader.source.acknowledge(reader.told[-1])
        run(database, "insert into account values (1)")
        await reader.count(1)
        pid = ask(
            database, "select active_pid from pg_replication_slots where active and database = current_database()"
        )
        with pytest.raises(TransientError, match=rf"process {pid} of the server, fieldwarden \["):
            await direct(CRM, database).open(starting(reader.positions[-1]))
        with pytest.raises(TransientError, match=f"process {pid}"):
            await direct(CRM, database).open(starting())


async def test_a_foreign_publication_is_checked_and_left_alone(database: str) -> None:
    run(database, ACCOUNT, "create table other (id int primary key)", "create publication theirs for table other")
    crm = system(*CRM.streams.values(), publication="theirs")
    with pytest.raises(EnvironmentUnfit, match=r"does not cover public\.account"):
        await direct(crm, database).open(starting())
    run(database, "alter publication theirs add table account (id, name, city, code)")
    run(database, "alter publication theirs set (publish = 'insert, update')")
    with pytest.raises(EnvironmentUnfit, match="does not publish delete, truncate"):
        await direct(crm, database).open(starting())
    run(database, "alter publication theirs set (publish = 'insert, update, delete, truncate')")
    async with reading(direct(crm, database)) as reader:
        await reader.baseline()
        run(database, "insert into other values (1)", "insert into account values (1, 'a', 'b', 'c', 'd')")
        changes = await reader.count(1)
    assert changes[0].values == ("1", "a", "b", "c")


async def test_what_a_table_lacks_is_said_before_anything_is_made(database: str) -> None:
    run(database, "create table account (id int, name text, city text, code text)")
    with pytest.raises(EnvironmentUnfit, match=r"public\.account has no replica identity") as raised:
        await direct(CRM, database).open(starting())
    assert "ADD PRIMARY KEY (id)" in raised.value.suggestion
    missing = system(stream("public.nowhere", ("id",), ()))
    with pytest.raises(EnvironmentUnfit, match=r"there is no table public\.nowhere"):
        await direct(missing, database).open(starting())
    assert ask(database, "select count(*) from pg_publication") == 0
    assert ask(database, "select count(*) from pg_replication_slots where database = current_database()") == 0


async def test_missing_privileges_are_named(database: str, make_role: Callable[..., str]) -> None:
    run(database, ACCOUNT)
    dsn = make_role(database)
    role = conninfo_to_dict(dsn)["user"]
    with pytest.raises(EnvironmentUnfit, match=r"no privilege to read public\.account"):
        await direct(CRM, dsn).open(starting())
    run(database, f"grant select on account to {role}")
    with pytest.raises(EnvironmentUnfit, match="no privilege to create the publication"):
        await direct(CRM, dsn).open(starting())
    run(database, f"grant create on database {ask(database, 'select current_database()')} to {role}")
    run(database, f"alter table account owner to {role}")
    with pytest.raises(EnvironmentUnfit, match="the role may not stream changes"):
        await direct(CRM, dsn).open(starting())


@pytest.mark.long
async def test_a_consumer_that_is_slow_holds_the_server_back_and_is_not_cut_off(database: str) -> None:
    run(database, ACCOUNT)
    run(database, f"alter database {ask(database, 'select current_database()')} set wal_sender_timeout = '1500ms'")
    source = direct(CRM, database, max_bytes=100_000)
    async with reading(source) as reader:
        await reader.baseline()
        run(database, "insert into account select i, repeat('x', 1000) from generate_series(1, 20000) i")
        await reader.step()
        sender = "select pid || state from pg_stat_replication join pg_replication_slots on pid = active_pid"
        sender += " where database = current_database()"
        before = ask(database, sender)
        await asyncio.sleep(3)  # twice the timeout: the fault itself, not a wait for something to happen
        replication = source._stream
        assert replication is not None
        assert 100_000 < sum(map(len, replication.frames)) < 300_000
        assert ask(database, sender) == before
        changes = await reader.count(20000)
    assert len(changes) == 20000


async def test_the_log_of_other_tables_is_confirmed_although_the_source_is_idle(database: str) -> None:
    run(database, ACCOUNT, "create table other (body text)")
    async with reading(direct(CRM, database, idle_seconds=3600)) as reader:
        await reader.baseline()
        run(database, "insert into other select repeat('x', 1000) from generate_series(1, 3000)")
        written = parse_lsn(ask(database, "select pg_current_wal_lsn()"))
        while WalPosition.decode(reader.positions[-1]).end < written:
            await reader.step()
        await eventually(database, CONFIRMED, written)
