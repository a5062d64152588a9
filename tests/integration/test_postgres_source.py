"""The PostgreSQL source against a real server: baseline, stream, restarts, gaps."""

from __future__ import annotations

import threading

import psycopg
import pytest

from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.errors import SchemaDrift, TransientError
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from tests.builders import reached, starting
from tests.integration.reading import (
    ACCOUNT,
    CRM,
    STREAMED,
    ask,
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
            position = reached(batch)
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
            position = reached(batch)
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
        await direct(CRM, database).open(starting(reader.positions[-1]))


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
        await source.open(starting(reader.positions[-1]))
    crashable_postgres.start()
    run(dsn, "insert into account values (51)")
    async with reading(source, reader.positions[-1]) as again:
        changes = await again.count(1)
    assert [change.values[0] for change in changes] == ["51"]
