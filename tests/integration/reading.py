"""A PostgreSQL source under test: mapped by hand, read batch by batch, acknowledged as the hub would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from fieldwarden.connectors.postgres.marks import Seal
from fieldwarden.connectors.postgres.reading.position import lsn_text
from fieldwarden.connectors.postgres.reading.source import PostgresSource
from fieldwarden.engine.change import RawChange
from fieldwarden.engine.ports.parts import FIRST_BASELINE
from fieldwarden.engine.ports.source import Batch
from fieldwarden.engine.testing.footholds import MemoryFootholds
from fieldwarden.rules.rulebook import FieldMap, Stream, System
from tests import patience
from tests.builders import postgres, reached, starting
from tests.patience import within


def stream(name: str, key: tuple[str, ...], columns: tuple[str, ...], **more: Any) -> Stream:
    return Stream("crm", name, "customer", key, {column: FieldMap(column, column) for column in columns}, **more)


def system(*streams: Stream, **settings: str) -> System:
    return System("crm", 0, postgres(**settings), {each.name: each for each in streams})


HUB = MemoryFootholds("test")
"""What the sources under test note; several of them are one after the other the same project's."""


def source(system: System, dsn: str, hub: MemoryFootholds = HUB, **options: Any) -> PostgresSource:
    return PostgresSource(system, dsn, hub.id, hub, **options)


def mark(
    connection: psycopg.Connection, prefix: str = "fieldwarden:test", key: bytes = b"", system: str = "crm"
) -> None:
    """What a target of ours begins its transactions with, sealed with the key of the project that the prefix names."""
    ((number, at),) = connection.execute(
        "select pg_current_xact_id()::xid::text::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint"
    ).fetchall()
    key = key or prefix.rpartition(":")[2].encode().ljust(32, b"k")  # as `MemoryFootholds` has it
    content = Seal(key).content(system, number, at)
    connection.execute("select pg_logical_emit_message(true, %s, %s)", [prefix, content])


class Outlook:
    """What `doctor` is told of a project: `at` is the position up to which it has read, `mine` how sessions of its
    processes are marked."""

    def __init__(self, hub: MemoryFootholds = HUB, at: str | None = None, mine: Collection[str] = ()) -> None:
        self.project, self.followed = hub.project, hub.followed
        self._at, self._mine = at, mine

    async def position(self, source: str) -> str | None:
        return self._at

    async def processes(self) -> Collection[str]:
        return self._mine


def run(dsn: str, *statements: str) -> None:
    """Each statement in a transaction of its own."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def ask(dsn: str, query: str) -> Any:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


class Reader:
    """Pulls batches and notes what a hub would hold: every row's newest image, and the last durable position."""

    def __init__(self, source: PostgresSource, batches: AsyncIterator[Batch]) -> None:
        self.source = source
        self.batches = batches
        self.changes: list[RawChange] = []
        self.told: list[Batch] = []
        self.positions: list[str] = []
        self.snapshots: list[str | None] = []

    async def step(self, *, acknowledge: bool = True) -> Batch:
        async with within():
            batch = await anext(self.batches)
        self.changes += batch.changes
        self.told.append(batch)
        self.positions.append(reached(batch))
        self.snapshots.append(batch.snapshot)
        if acknowledge:
            await self.source.acknowledge(batch)
        return batch

    async def until(self, done: Callable[[list[RawChange]], bool], *, acknowledge: bool = True) -> list[RawChange]:
        """Pull until `done` says of all changes so far that they are enough."""
        while not done(self.changes):
            await self.step(acknowledge=acknowledge)
        return self.changes

    async def count(self, number: int) -> list[RawChange]:
        return await self.until(lambda changes: len(changes) >= number)

    async def baseline(self) -> list[RawChange]:
        while not self.snapshots or self.snapshots[-1] != "done":
            await self.step()
        return self.changes


@asynccontextmanager
async def reading(source: PostgresSource, position: str | None = None, *, anew: int = 0) -> AsyncIterator[Reader]:
    """`anew`: the number of a new baseline, which begins."""
    await source.open(starting(position, anew or FIRST_BASELINE, read_in=anew - 1 if anew else None))
    batches = source.batches()
    try:
        yield Reader(source, batches)
    finally:
        await batches.aclose()
        await source.close()


def image(changes: list[RawChange], key: int = 0) -> dict[Any, tuple[Any, ...]]:
    """The table that the changes describe."""
    table: dict[Any, tuple[Any, ...]] = {}
    for change in changes:
        if change.operation == "truncate":
            table.clear()
        elif change.operation == "delete":
            table.pop(change.values[key], None)
        else:
            if change.old_values is not None:
                table.pop(change.old_values[key], None)
            table[change.values[key]] = change.values
    return table


ACCOUNT = "create table account (id int primary key, name text, city text, code char(5), note text)"
CRM = system(stream("public.account", ("id",), ("name", "city", "code")))
CONFIRMED = """
    select confirmed_flush_lsn::text from pg_replication_slots
    where slot_name = 'fieldwarden_test_crm' and database = current_database()"""
STREAMED = """
    select stream_count from pg_stat_replication_slots join pg_replication_slots using (slot_name)
    where database = current_database()"""


def small_decoding_memory(dsn: str) -> None:
    """Make the server stream large transactions before they commit."""
    database = ask(dsn, "select current_database()")
    run(dsn, f"alter database {database} set logical_decoding_work_mem = '64kB'")


def fill(connection: psycopg.Connection, start: int, stop: int, name: str) -> None:
    connection.execute(
        "insert into account (id, name) select i, %s from generate_series(%s::int, %s::int) i", [name, start, stop - 1]
    )


async def eventually(dsn: str, query: str, lsn: int) -> None:
    """Wait until the LSN that `query` asks for has come to `lsn`."""
    await until(dsn, f"select pg_wal_lsn_diff(({query})::pg_lsn, '{lsn_text(lsn)}') >= 0")


async def until(dsn: str, query: str) -> None:
    """Wait until `query` is true."""
    await patience.until(lambda: ask(dsn, query), query)


def positions(changes: list[RawChange]) -> list[str]:
    return [change.position for change in changes]
