"""The PostgreSQL source against a real server: baseline, stream, restarts, feedback, gaps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from fieldwarden.connectors.postgres.reading.position import WalPosition, parse_lsn
from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.errors import EnvironmentUnfit, SchemaDrift, TransientError
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.ports.source import Start
from tests.integration.reading import (
    ACCOUNT,
    CONFIRMED,
    CRM,
    STREAMED,
    ask,
    eventually,
    fill,
    image,
    mark,
    positions,
    reading,
    run,
    small_decoding_memory,
    stream,
    system,
    until,
)
from tests.integration.reading import source as direct


async def test_snapshot_then_stream_without_gap_or_overlap_under_concurrent_writes(database: str) -> None:
    run(database, ACCOUNT, "insert into account select i, 'n' || i, 'c', 'ab', 'x' from generate_series(1, 3000) i")
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            number = 3000
            while not stop.is_set():
                number += 1
                connection.execute("insert into account values (%s, 'new', 'c', 'ab')", [number])
                connection.execute("update account set name = name || '+' where id = %s", [number % 3000])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        async with reading(direct(CRM, database, max_changes=500)) as reader:
            await reader.baseline()
            rows = len(reader.changes)
            await reader.count(rows + 200)
            stop.set()
            writer.join()
            run(database, "insert into account values (-1, 'last')")
            await reader.until(lambda changes: changes[-1].values[0] == "-1")
    finally:
        stop.set()
        writer.join()
    with psycopg.connect(database) as connection:
        truth = connection.execute("select id::text, name, city, rtrim(code) from account").fetchall()
    assert image(reader.changes) == {row[0]: row for row in truth}
    inserted = [change.values[0] for change in reader.changes if change.operation in ("observe", "insert")]
    assert len(inserted) == len(set(inserted)) == len(truth)
    assert set(reader.snapshots[:6]) >= {"running"}
    assert positions(reader.changes) == sorted(positions(reader.changes))


async def test_operations_keys_nulls_and_blanks(database: str) -> None:
    run(database, ACCOUNT)
    async with reading(direct(CRM, database)) as reader:
        assert await reader.baseline() == []
        run(
            database,
            "insert into account values (1, 'Ann', null, 'ab')",
            "update account set city = 'Bonn' where id = 1",
            "update account set id = 2 where id = 1",
            "delete from account where id = 2",
            "truncate account",
        )
        changes = await reader.count(5)
    assert [(c.operation, c.values, c.old_values) for c in changes] == [
        ("insert", ("1", "Ann", None, "ab"), None),
        ("update", ("1", "Ann", "Bonn", "ab"), None),
        ("update", ("2", "Ann", "Bonn", "ab"), ("1", UNKNOWN, UNKNOWN, UNKNOWN)),
        ("delete", ("2", UNKNOWN, UNKNOWN, UNKNOWN), None),
        ("truncate", (), None),
    ]
    assert changes[0].relation.columns == ("id", "name", "city", "code")
    assert changes[0].relation.types == ("integer", "text", "text", "text")
    assert changes[0].transaction.startswith("crm xid ")
    assert len({change.transaction for change in changes}) == 5
    assert all(change.at is not None and change.at > 1_600_000_000_000_000 for change in changes)


async def test_unchanged_toast_is_unknown_and_known_under_identity_full(database: str) -> None:
    run(database, "create table doc (id int primary key, title text, body text)")
    run(database, "alter table doc alter body set storage external")
    crm = system(stream("public.doc", ("id",), ("title", "body")))
    async with reading(direct(crm, database)) as reader:
        await reader.baseline()
        run(
            database,
            "insert into doc values (1, 'a', repeat('x', 20000))",
            "update doc set title = 'b'",
            "alter table doc replica identity full",
            "update doc set title = 'c'",
        )
        changes = await reader.count(3)
    body = "x" * 20000
    assert [change.values for change in changes] == [("1", "a", body), ("1", "b", UNKNOWN), ("1", "c", body)]
    assert changes[2].old_values is None


async def test_restart_at_every_batch_boundary_inside_a_copy(database: str) -> None:
    run(database, ACCOUNT)
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        position = reader.positions[-1]
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        with cursor.copy("copy account (id, name) from stdin") as copy:
            for number in range(500):
                copy.write_row((number, "copied"))
        connection.commit()
        cursor.execute("insert into account (id, name) values (500, 'after')")
    seen: list[RawChange] = []
    while len(seen) < 501:
        async with reading(direct(CRM, database, max_changes=23), position) as reader:
            batch = await reader.step()
            seen += batch.changes
            position = batch.position
            if len(seen) < 501:
                await reader.step(acknowledge=False)  # taken, never made durable: must come again
    assert [change.values[0] for change in seen] == [str(number) for number in range(501)]
    assert len(set(positions(seen))) == 501
    assert positions(seen) == sorted(positions(seen))


async def test_a_streamed_transaction_without_its_aborted_subtransactions(database: str) -> None:
    run(database, ACCOUNT)
    small_decoding_memory(database)
    async with reading(direct(CRM, database, max_changes=700, spill_bytes=100_000)) as reader:
        await reader.baseline()
        run(database, "insert into account (id) values (-1)")
        await reader.count(1)  # now the walsender is there, and streams while the transaction goes on
        with psycopg.connect(database) as connection:
            fill(connection, 0, 2000, "kept")
            connection.execute("savepoint undone")
            fill(connection, 2000, 4000, "rolled back")
            await until(database, f"select coalesce(({STREAMED}), 0) > 2")
            connection.execute("rollback to undone")
            with connection.transaction():
                fill(connection, 4000, 5000, "kept")
        changes = (await reader.count(3001))[1:]
    assert [int(str(change.values[0])) for change in changes] == [*range(2000), *range(4000, 5000)]
    assert {change.values[1] for change in changes} == {"kept"}
    assert positions(changes) == sorted(set(positions(changes)))
    assert len({change.position[:22] for change in changes}) == 1


async def test_two_interleaved_streamed_transactions_come_one_after_the_other(database: str) -> None:
    run(database, ACCOUNT)
    small_decoding_memory(database)
    async with reading(direct(CRM, database, spill_bytes=100_000)) as reader:
        await reader.baseline()
        with psycopg.connect(database) as one, psycopg.connect(database) as two:
            for start in range(0, 3000, 1000):
                fill(one, start, start + 1000, "one")
                fill(two, 10_000 + start, 10_000 + start + 1000, "two")
            with psycopg.connect(database) as three:
                fill(three, 20_000, 23_000, "three")
                three.rollback()
            two.commit()
            one.commit()
            changes = await reader.count(6000)
        assert ask(database, STREAMED) > 2
    expected = [*range(10_000, 13_000), *range(3000)]
    assert [int(str(change.values[0])) for change in changes] == expected


async def test_restart_inside_a_streamed_transaction(database: str) -> None:
    run(database, ACCOUNT)
    small_decoding_memory(database)
    seen: list[RawChange] = []
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        position = reader.positions[-1]
    with psycopg.connect(database) as connection:
        fill(connection, 0, 3000, "big")
    run(database, "insert into account values (3000)")
    while len(seen) < 3001:
        async with reading(direct(CRM, database, max_changes=800), position) as reader:
            batch = await reader.step()
            seen += batch.changes
            position = batch.position
    assert [int(str(change.values[0])) for change in seen] == [*range(3001)]
    assert ask(database, STREAMED) > 0


async def test_relation_changes_in_the_middle_of_the_stream(database: str) -> None:
    run(database, ACCOUNT)
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        run(
            database,
            "insert into account values (1, 'a', 'b', 'c', 'd')",
            "alter table account add extra text default 'e'",
            "insert into account values (2, 'a', 'b', 'c', 'd', 'e')",
            "alter table account drop note",
            "create domain amount as numeric(10, 2)",
            "alter table account alter city type text, alter name type varchar(50)",
            "insert into account values (3, 'a', 'b', 'c', 'e')",
        )
        changes = await reader.count(3)
        assert [change.values for change in changes] == [(str(number), "a", "b", "c") for number in (1, 2, 3)]
        run(database, "alter table account drop city", "insert into account values (4, 'a', 'c', 'e')")
        with pytest.raises(SchemaDrift, match=r"public\.account has no column city"):
            await reader.count(4)
    with pytest.raises(SchemaDrift, match=r"public\.account has no column city"):
        await direct(CRM, database).open(Start(reader.positions[-1]))


async def test_a_type_made_while_streaming_is_looked_up(database: str) -> None:
    run(database, ACCOUNT)
    source = direct(CRM, database)
    async with reading(source) as reader:
        await reader.baseline()
        run(
            database,
            "create domain town as text",
            "alter table account alter city type town",
            "insert into account values (1, 'a', 'b')",
        )
        with pytest.raises(TransientError, match="type"):
            await reader.count(1)
    async with reading(source, reader.positions[-1]) as again:
        changes = await again.count(1)
    assert changes[0].relation.types == ("integer", "text", "text", "text")


async def test_our_own_transactions_are_marked(database: str) -> None:
    run(database, ACCOUNT)
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        run(database, "insert into account values (1)")
        with psycopg.connect(database) as connection:
            mark(connection)
            connection.execute("insert into account values (2), (3)")
        with psycopg.connect(database) as connection:
            connection.execute("select pg_logical_emit_message(false, 'fieldwarden:test', 'r')")
            connection.execute("select pg_logical_emit_message(true, 'other', 'r')")
            connection.execute("insert into account values (4)")
        changes = await reader.count(4)
    assert [change.echo for change in changes] == [False, True, True, False]


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
        durable = WalPosition.decode(batch.position).end
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


async def test_a_killed_walsender_is_transient_and_nothing_is_lost(database: str) -> None:
    run(database, ACCOUNT)
    source = direct(CRM, database)
    async with reading(source) as reader:
        await reader.baseline()
        run(database, "insert into account values (1)")
        await reader.count(1)
        run(database, "select pg_terminate_backend(active_pid) from pg_replication_slots where active")
        with pytest.raises(TransientError, match="crm: the replication connection was lost"):
            await reader.count(2)
    run(database, "insert into account values (2)")
    async with reading(source, reader.positions[-1]) as again:
        changes = await again.count(1)
    assert [change.values[0] for change in changes] == ["2"]


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
            await direct(CRM, database).open(Start(reader.positions[-1]))
        with pytest.raises(TransientError, match=f"process {pid}"):
            await direct(CRM, database).open(Start())


async def test_parents_are_read_before_their_children(database: str) -> None:
    run(
        database,
        "create table party (id int primary key)",
        "create table address (id int primary key, party_id int)",
        "insert into address values (1, 1)",
        "insert into party values (1)",
    )
    parent = stream("public.party", ("id",), ())
    child = stream("public.address", ("id",), (), parent="public.party", parent_columns=("party_id",))
    async with reading(direct(system(child, parent), database)) as reader:
        changes = await reader.baseline()
    assert [change.relation.stream for change in changes] == ["public.party", "public.address"]
    assert changes[1].values == ("1", "1")


async def test_partitioned_tables_generated_columns_and_custom_types(database: str) -> None:
    run(
        database,
        "create type mood as enum ('good', 'bad')",
        "create domain amount as numeric(10, 2)",
        "create table part (id int, mood mood, amount amount, b boolean, at timestamptz, twice int "
        "generated always as (id * 2) stored, primary key (id)) partition by range (id)",
        "create table part_1 partition of part for values from (0) to (10)",
        "create table part_2 partition of part for values from (10) to (20)",
        "insert into part values (1, 'good', 1.5, true, '2026-01-31 10:00+02')",
    )
    crm = system(stream("public.part", ("id",), ("mood", "amount", "b", "at", "twice")))
    async with reading(direct(crm, database)) as reader:
        await reader.baseline()
        run(database, "insert into part select 12, mood, amount, b, at from part")
        changes = await reader.count(2)
    assert changes[0].relation.types == ("integer", "text", "numeric", "boolean", "timestamptz", "integer")
    assert changes[0].relation.columns == changes[1].relation.columns
    assert changes[0].values == ("1", "good", "1.50", "t", "2026-01-31 08:00:00+00", "2")
    assert changes[1].values == ("12", "good", "1.50", "t", "2026-01-31 08:00:00+00", "24")
    assert changes[1].relation.types == changes[0].relation.types


async def test_a_foreign_publication_is_checked_and_left_alone(database: str) -> None:
    run(database, ACCOUNT, "create table other (id int primary key)", "create publication theirs for table other")
    crm = system(*CRM.streams.values(), publication="theirs")
    with pytest.raises(EnvironmentUnfit, match=r"does not cover public\.account"):
        await direct(crm, database).open(Start())
    run(database, "alter publication theirs add table account (id, name, city, code)")
    run(database, "alter publication theirs set (publish = 'insert, update')")
    with pytest.raises(EnvironmentUnfit, match="does not publish delete, truncate"):
        await direct(crm, database).open(Start())
    run(database, "alter publication theirs set (publish = 'insert, update, delete, truncate')")
    async with reading(direct(crm, database)) as reader:
        await reader.baseline()
        run(database, "insert into other values (1)", "insert into account values (1, 'a', 'b', 'c', 'd')")
        changes = await reader.count(1)
    assert changes[0].values == ("1", "a", "b", "c")


async def test_what_a_table_lacks_is_said_before_anything_is_made(database: str) -> None:
    run(database, "create table account (id int, name text, city text, code text)")
    with pytest.raises(EnvironmentUnfit, match=r"public\.account has no replica identity") as raised:
        await direct(CRM, database).open(Start())
    assert "ADD PRIMARY KEY (id)" in raised.value.suggestion
    missing = system(stream("public.nowhere", ("id",), ()))
    with pytest.raises(EnvironmentUnfit, match=r"there is no table public\.nowhere"):
        await direct(missing, database).open(Start())
    assert ask(database, "select count(*) from pg_publication") == 0
    assert ask(database, "select count(*) from pg_replication_slots where database = current_database()") == 0


async def test_missing_privileges_are_named(database: str, make_role: Callable[..., str]) -> None:
    run(database, ACCOUNT)
    dsn = make_role(database)
    role = conninfo_to_dict(dsn)["user"]
    with pytest.raises(EnvironmentUnfit, match=r"no privilege to read public\.account"):
        await direct(CRM, dsn).open(Start())
    run(database, f"grant select on account to {role}")
    with pytest.raises(EnvironmentUnfit, match="no privilege to create the publication"):
        await direct(CRM, dsn).open(Start())
    run(database, f"grant create on database {ask(database, 'select current_database()')} to {role}")
    run(database, f"alter table account owner to {role}")
    with pytest.raises(EnvironmentUnfit, match="the role may not stream changes"):
        await direct(CRM, dsn).open(Start())


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


@pytest.mark.long
async def test_a_server_that_crashes_neither_loses_nor_repeats(crashable_postgres: EmbeddedServer) -> None:
    dsn = crashable_postgres.dsn()
    run(dsn, ACCOUNT)
    source = direct(CRM, dsn)
    async with reading(source) as reader:
        await reader.baseline()
        run(dsn, "insert into account select generate_series(1, 50)")
        await reader.count(50)
        crashable_postgres.stop("immediate")
        with pytest.raises(TransientError):
            await reader.count(51)
    with pytest.raises(TransientError):
        await source.open(Start(reader.positions[-1]))
    crashable_postgres.start()
    run(dsn, "insert into account values (51)")
    async with reading(source, reader.positions[-1]) as again:
        changes = await again.count(1)
    assert [change.values[0] for change in changes] == ["51"]


async def test_the_log_of_other_tables_is_confirmed_although_the_source_is_idle(database: str) -> None:
    run(database, ACCOUNT, "create table other (body text)")
    async with reading(direct(CRM, database, idle_seconds=3600)) as reader:
        await reader.baseline()
        run(database, "insert into other select repeat('x', 1000) from generate_series(1, 3000)")
        written = parse_lsn(ask(database, "select pg_current_wal_lsn()"))
        while WalPosition.decode(reader.positions[-1]).end < written:
            await reader.step()
        await eventually(database, CONFIRMED, written)
