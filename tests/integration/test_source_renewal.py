"""A connection that received something large is replaced, and nothing is lost or told twice whatever happens then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs

from fieldwarden.connectors.postgres.reading import renewal
from fieldwarden.connectors.postgres.reading.position import WalPosition
from fieldwarden.engine.errors import SourceGap, TransientError
from tests import patience
from tests.builders import reached, starting
from tests.integration.reading import (
    CONFIRMED,
    Reader,
    ask,
    eventually,
    reading,
    run,
    small_decoding_memory,
    source,
    stream,
    system,
    until,
)

ACCOUNT = "create table account (id int primary key, name text)"
CRM = system(stream("public.account", ("id",), ("name",)))
READER = "select active_pid from pg_replication_slots where database = current_database()"
SLOT = "select slot_name from pg_replication_slots where database = current_database()"


def small(number: int) -> str:
    return f"insert into account values ({number}, 'small')"


def large(number: int) -> str:
    return f"insert into account values ({number}, repeat('x', 5 << 20))"


def ids(reader: Reader) -> list[int]:
    return [int(str(change.values[0])) for change in reader.changes]


def now(session: psycopg.Connection, query: str) -> Any:
    row = session.execute(query.encode()).fetchone()
    return row[0] if row else None


async def let_go(session: psycopg.Connection) -> None:
    """Wait until nobody streams."""
    await patience.until(lambda: now(session, READER) is None, "nobody to stream")


async def replaced(dsn: str, before: int) -> None:
    await until(dsn, f"select active_pid <> {before} from ({READER}) s")


@asynccontextmanager
async def streaming(dsn: str) -> AsyncIterator[Reader]:
    """The first connection is there; row 0 has come over it."""
    run(dsn, ACCOUNT)
    async with reading(source(CRM, dsn)) as reader:
        await reader.baseline()
        run(dsn, small(0))
        await reader.count(1)
        yield reader


@contextmanager
def shut(dsn: str, patience: float = 60.0) -> Iterator[psycopg.Connection]:
    """Row 1 is large, and nobody comes in any more but over the session that this gives: a new connection is tried for
    so many seconds."""
    name, elsewhere = ask(dsn, "select current_database()"), make_conninfo(dsn, dbname="postgres")
    with mock.patch.object(renewal, "_UNTIL_LET_GO", patience), psycopg.connect(dsn, autocommit=True) as session:
        run(elsewhere, f"alter database {name} allow_connections false")
        try:
            session.execute(large(1).encode())
            yield session
        finally:
            run(elsewhere, f"alter database {name} allow_connections true")


async def test_only_something_large_has_the_connection_replaced(database: str) -> None:
    async with streaming(database) as reader:
        before = ask(database, READER)
        run(database, small(1))
        await reader.count(2)
        assert ask(database, READER) == before
        run(database, large(2))
        more = asyncio.create_task(reader.count(4))
        await replaced(database, before)
        run(database, small(3))
        await more
    assert ids(reader) == [0, 1, 2, 3]


async def test_what_is_large_and_of_no_stream_has_it_replaced_once(database: str) -> None:
    async with streaming(database) as reader:
        before = ask(database, READER)
        run(database, "select pg_logical_emit_message(true, 'somebody', repeat('x', 5 << 20))")
        more = asyncio.create_task(reader.count(2))
        await replaced(database, before)
        after = ask(database, READER)
        run(database, small(1))
        await more
        run(database, small(2))
        await reader.count(3)
        assert ask(database, READER) == after
    assert ids(reader) == [0, 1, 2]


@pytest.mark.parametrize("streamed", [False, True])
async def test_large_and_small_rows_come_once_and_in_order_while_connections_are_replaced(
    database: str, streamed: bool
) -> None:
    run(database, ACCOUNT)
    if streamed:
        small_decoding_memory(database)
    last = 240

    def write() -> None:
        with psycopg.connect(database, autocommit=True) as writer:
            for number in range(0, last, 2):
                with writer.transaction():
                    writer.execute(small(number).encode())
                    writer.execute((large if number % 20 == 0 else small)(number + 1).encode())
                with writer.transaction(force_rollback=True):
                    writer.execute((large if number % 50 == 0 else small)(-1).encode())

    writing = threading.Thread(target=write)
    with capture_logs() as said:
        async with reading(source(CRM, database)) as reader:
            await reader.baseline()
            writing.start()
            try:
                await reader.count(last)
            finally:
                await asyncio.to_thread(writing.join)
            before = ask(database, READER)
            run(database, large(last))
            more = asyncio.create_task(reader.count(last + 2))
            await replaced(database, before)
            run(database, small(last + 1))
            await more
    assert ids(reader) == list(range(last + 2))
    assert [change.position for change in reader.changes] == sorted(change.position for change in reader.changes)
    assert not {line["log_level"] for line in said} - {"debug"}, "it is nothing that anybody has to know of"


async def test_it_is_not_replaced_while_a_transaction_is_streamed(database: str) -> None:
    run(database, ACCOUNT)
    small_decoding_memory(database)
    async with reading(source(CRM, database)) as reader:
        await reader.baseline()
        with psycopg.connect(database) as writer:
            writer.execute("insert into account select i, 'streamed' from generate_series(1000, 3999) i")
            run(database, large(1))
            await reader.count(1)
            before = ask(database, READER)
            for number in (2, 3):
                run(database, small(number))
                await reader.count(number)
            assert ask(database, READER) == before
        more = asyncio.create_task(reader.count(3004))
        await replaced(database, before)
        run(database, small(4))
        await more
    assert ids(reader) == [1, 2, 3, *range(1000, 4000), 4]


async def test_what_comes_while_the_new_connection_is_refused_comes_later(database: str) -> None:
    async with streaming(database) as reader:
        with shut(database) as session:
            more = asyncio.create_task(reader.count(5))
            await let_go(session)
            session.execute(small(2).encode())
            session.execute(large(3).encode())
        run(database, small(4))
        await more
    assert ids(reader) == [0, 1, 2, 3, 4]


async def test_a_new_connection_that_cannot_be_had_is_a_passing_trouble(database: str) -> None:
    async with streaming(database) as reader:
        with shut(database, patience=0.0) as session:
            with pytest.raises(TransientError):
                await reader.count(3)
            session.execute(small(2).encode())
    assert ids(reader) == [0, 1]
    async with reading(source(CRM, database), reader.positions[-1]) as again:
        await again.count(1)
    assert ids(again) == [2]


async def test_what_is_acknowledged_between_two_connections_is_told_the_server(database: str) -> None:
    async with streaming(database) as reader:
        with shut(database) as session:
            while len(reader.changes) < 2:
                await reader.step(acknowledge=False)
            durable = reader.told[-1]
            more = asyncio.create_task(reader.step(acknowledge=False))
            await let_go(session)
            await reader.source.acknowledge(durable)
        await eventually(database, CONFIRMED, WalPosition.decode(reached(durable)).end)
        more.cancel()
        await asyncio.gather(more, return_exceptions=True)


async def test_a_slot_that_somebody_moves_on_between_two_connections_is_a_gap(database: str) -> None:
    async with streaming(database) as reader:
        with shut(database) as session:
            more = asyncio.create_task(reader.count(3))
            await let_go(session)
            session.execute(small(2).encode())
            session.execute(f"select pg_replication_slot_advance(({SLOT}), pg_current_wal_lsn())".encode())
            with pytest.raises(TransientError, match="moved on by somebody else"):
                await more
    with pytest.raises(SourceGap):
        await reader.source.open(starting(reader.positions[-1]))


async def test_a_source_between_two_connections_can_be_stopped(database: str) -> None:
    async with streaming(database) as reader:
        with shut(database) as session:
            more = asyncio.create_task(reader.count(3))
            await let_go(session)
            more.cancel()
            with pytest.raises(asyncio.CancelledError):
                await more
