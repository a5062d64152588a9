"""A look at single rows of a database: by keys as the engine writes them, and where it stands among their changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.reading import at_rows
from fieldwarden.connectors.postgres.reading.at_rows import look_at
from fieldwarden.connectors.postgres.reading.position import row_position
from fieldwarden.engine.change import RowRef, key_text
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.ports.source import Observation
from tests.integration.reading import reading, run, source, stream, system, until

TABLE = "create table account (id int primary key, name text)"
ACCOUNT = system(stream("public.account", ("id",), ("name",)))
BLOCKED = """select exists (
    select from pg_stat_activity
    where wait_event_type = 'Lock' and state = 'active' and datname = current_database())"""


def of(stream: str, *keys: str) -> list[RowRef]:
    return [RowRef("crm", stream, key) for key in keys]


def shown(found: Sequence[Observation]) -> dict[str, tuple[object, ...] | None]:
    return {each.row.key: None if each.image is None else each.image.values for each in found}


async def test_a_row_is_found_however_its_key_is_spelt(database: str) -> None:
    run(
        database,
        'create table "line"(tenant uuid, "No." numeric(8,2), primary key (tenant, "No."))',
        "insert into line select '6ba7b810-9dad-11d1-80b4-00c04fd430c8', n from unnest(array[1.5, 2]) as n",
    )
    lines = system(stream("public.line", ("tenant", "No."), ()))
    upper = "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"
    there, spelt, gone = (key_text(parts) for parts in ((upper.lower(), "1.50"), (upper, "2.0"), (upper, "3.00")))
    found = await look_at(lines, database, of("public.line", gone, spelt, there), None)
    assert shown(found) == {there: (upper.lower(), "1.50"), spelt: (upper.lower(), "2.00"), gone: None}
    assert await look_at(lines, database, [], None) == []


async def test_a_key_that_its_column_cannot_hold_names_no_row(database: str) -> None:
    run(database, TABLE, "insert into account values (1, 'a'), (2, 'b')")
    asked = of("public.account", "x", "2", "9" * 30, "a\0b", "key with SHA-256 00")
    assert shown(await look_at(ACCOUNT, database, asked, None)) == {row.key: None for row in asked} | {"2": ("2", "b")}


async def test_a_table_or_a_column_that_is_not_there_is_said(database: str) -> None:
    with pytest.raises(EnvironmentUnfit, match=r"crm: there is no table public\.account"):
        await look_at(ACCOUNT, database, of("public.account", "1"), None)
    run(database, "create table account (id int primary key)")
    with pytest.raises(EnvironmentUnfit, match=r"crm: public\.account has no column name, but its mapping uses it"):
        await look_at(ACCOUNT, database, of("public.account", "1"), None)


async def test_what_was_done_before_a_look_is_older_than_it_and_what_is_done_after_is_newer(database: str) -> None:
    run(database, TABLE, "insert into account values (1, 'first'), (2, 'first')")
    reader = source(ACCOUNT, database)
    async with reading(reader) as told:
        await told.baseline()
        run(database, "update account set name = 'second' where id = 1", "delete from account where id = 2")
        one, two = await reader.look(of("public.account", "1", "2"))
        run(database, "update account set name = 'third' where id = 1", "insert into account values (2, 'third')")
        *_, updated, deleted, again, inserted = await told.count(6)
    assert one.image is not None
    assert (one.image.operation, one.image.values, two.image) == ("observe", ("1", "second"), None)
    assert updated.position < one.position < again.position
    assert deleted.position < two.position < inserted.position


@contextmanager
def another_writes(dsn: str, statement: str) -> Iterator[psycopg.Connection]:
    """Another session has written a row, in a transaction that is open."""
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())
        yield connection
        connection.rollback()


async def test_a_transaction_that_waits_for_its_client_does_not_take_a_look_its_place(database: str) -> None:
    run(database, TABLE, "insert into account values (1, 'first')")
    with another_writes(database, "update account set name = 'unseen' where id = 1"):
        (seen,) = await look_at(ACCOUNT, database, of("public.account", "1"), lambda end: row_position(1, end, 0))
    assert shown([seen]) == {"1": ("1", "first")}
    assert seen.position.startswith("0001.")


async def test_rows_seen_beside_a_transaction_that_may_have_ended_unseen_are_told_without_a_place(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other session is prepared to commit, and may have: nobody can tell by looking at it."""
    monkeypatch.setattr(at_rows, "_PAUSE", 0.0)
    run(database, TABLE, "insert into account values (1, 'first')")
    update = "select pg_current_xact_id(); update account set name = 'unseen' where id = 1"
    with psycopg.connect(database) as blocker:
        blocker.execute("lock table account in share row exclusive mode")
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as waiting:
            updating = asyncio.create_task(waiting.execute(update))
            await until(database, BLOCKED)
            (seen,) = await look_at(ACCOUNT, database, of("public.account", "1"), lambda end: row_position(1, end, 0))
            blocker.rollback()
            await updating
    assert (shown([seen]), seen.position) == ({"1": ("1", "first")}, "")


async def test_a_transaction_that_is_about_to_end_is_waited_for_and_what_it_did_is_seen(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(database, TABLE, "insert into account values (1, 'first')")
    ending, asked = at_rows._ending, 0
    with psycopg.connect(database) as blocker:
        blocker.execute("lock table account in share row exclusive mode")
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as waiting:
            update = "select pg_current_xact_id(); update account set name = 'seen' where id = 1"
            updating = asyncio.create_task(waiting.execute(update))
            await until(database, BLOCKED)

            async def it_ends(connection: psycopg.AsyncConnection[TupleRow]) -> set[int]:
                nonlocal asked
                asked += 1
                if asked == 2:  # it was open when the log's end was asked for, and in the first snapshot
                    blocker.rollback()
                    await updating
                return await ending(connection)

            monkeypatch.setattr(at_rows, "_ending", it_ends)
            (seen,) = await look_at(ACCOUNT, database, of("public.account", "1"), lambda end: row_position(1, end, 0))
            blocker.rollback()
            await updating
    assert shown([seen]) == {"1": ("1", "seen")}
    assert seen.position.startswith("0001.")
