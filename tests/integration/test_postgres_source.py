"""The PostgreSQL source against a real server: baseline, stream, restarts, feedback, gaps."""

from __future__ import annotations

import asyncio
import threading

import psycopg
import pytest
from tests.integration.reading import ask, image, reading, run, stream, system

from connectors.postgres.pgoutput import DecodeError
from connectors.postgres.position import Position, parse_lsn
from connectors.postgres.source import PostgresSource
from engine.change import UNKNOWN, RawChange
from engine.errors import EnvironmentUnfit, SchemaDrift, SourceGap, TransientError

ACCOUNT = "create table account (id int primary key, name text, city text, code char(5), note text)"
CRM = system(stream("public.account", ("id",), ("name", "city", "code")))


def positions(changes: list[RawChange]) -> list[str]:
    return [change.position for change in changes]


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
        async with reading(PostgresSource(CRM, database, max_changes=500)) as reader:
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
    async with reading(PostgresSource(CRM, database)) as reader:
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
    async with reading(PostgresSource(crm, database)) as reader:
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
    async with reading(PostgresSource(CRM, database)) as reader:
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
        async with reading(PostgresSource(CRM, database, max_changes=23), position) as reader:
            batch = await reader.step()
            seen += batch.changes
            position = batch.position
            await reader.step(acknowledge=False)  # taken, never made durable: must come again
    assert [change.values[0] for change in seen] == [str(number) for number in range(501)]
    assert len(set(positions(seen))) == 501
    assert positions(seen) == sorted(positions(seen))
