"""What lanes that share a source, or a record, do to each other on the real hub.

One stands still before a statement of its transaction, whichever that is; others commit meanwhile. Then it goes on, and
all ends as if they had come one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import psycopg
import pytest

from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.connectors.debezium.reading.first_rows import FirstRows
from fieldwarden.connectors.debezium.reading.lag import KafkaLag
from fieldwarden.engine.change import RawChange, Relation
from fieldwarden.engine.errors import Fenced
from fieldwarden.engine.hub.ingest import PostgresIngest
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.hub import Lease
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import PartitionedSource
from tests.builders import BEGUN, raw, rulebook
from tests.integration.kafka_world import system
from tests.patience import until, within

RULES = rulebook()
ROOT_FIELDS = ("tax_id", "name", "phone", "segment", "credit_limit", "terms")
Log = dict[str, list[RawChange]]


def root(
    stream: str, key: str, tax_id: str, operation: str = "insert", fields: tuple[str, ...] = ROOT_FIELDS
) -> RawChange:
    return raw(stream, operation, 1, id=key, ext=None, **(dict.fromkeys(fields) | {"tax_id": tax_id}))


def party(key: str, tax_id: str = "T") -> RawChange:
    return root("public.party", key, tax_id)


def flat(stream: str, key: str, tax_id: str, operation: str = "insert") -> RawChange:
    return root(stream, key, tax_id, operation, (*ROOT_FIELDS, "street", "city"))


def address(key: str, party: str) -> RawChange:
    return raw("public.address", "insert", 1, id=key, party_id=party, street="High St", city="Rome")


def rekeyed(stream: str, old: str, new: str) -> RawChange:
    """What the old key's partition tells; the row itself comes in another."""
    relation = Relation(stream, ("id",), ("text",))
    return RawChange(relation, "rekey", (new,), "", 1, old_values=(old,), follows_rekey=True)


WAITING = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


class Halting(PostgresHub):
    """A worker's own. A transaction of its can be made to stand still before one of its statements."""

    halt: Callable[[PostgresIngest], None] | None = None

    @contextlib.asynccontextmanager
    async def ingest(self, lease: Lease) -> AsyncIterator[PostgresIngest]:
        async with super().ingest(lease) as tx:
            if self.halt is not None:
                self.halt(tx)
            yield tx


class Lane:
    """One worker's lane of a source, which reads these partitions. It runs while it is entered."""

    def __init__(self, dsn: str, source: str, number: int, log: Log, *partitions: str, size: int = 3) -> None:
        self.hub = Halting(dsn)
        self.log = log
        self.number = number
        self.source = PartitionedSource(source, log, size=size)
        self.source.give(partitions)
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Lane:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._running
        await self.hub.close()

    async def _run(self) -> None:
        """One that is fenced begins anew, as its process has it do."""
        while not self._stop.is_set():
            with contextlib.suppress(Fenced):
                await Pipeline(RULES, self.source, self.hub, Telemetry(), worker=self.number).run(self._stop)

    def tell(self, partition: str, *changes: RawChange) -> None:
        self.log[partition] += changes
        self.source.tell()

    @contextlib.asynccontextmanager
    async def halted(self, statement: str, partition: str, change: RawChange) -> AsyncIterator[None]:
        """It is told of the change, and stands still before that statement of the transaction which deals with it."""
        reached, go = asyncio.Event(), asyncio.Event()

        def halt(tx: PostgresIngest) -> None:
            made = getattr(tx, statement)

            async def halted(*args: Any, **options: Any) -> Any:
                self.hub.halt = None
                reached.set()
                await go.wait()
                return await made(*args, **options)

            setattr(tx, statement, halted)

        self.hub.halt = halt
        self.tell(partition, change)
        try:
            async with within():
                await reached.wait()
            yield
        finally:
            go.set()


class Book:
    """What the hub holds, as anybody else sees it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._dsn, autocommit=True, options="-c search_path=fieldwarden") as connection:
            return connection.execute(query.encode()).fetchall()

    def has(self, query: str) -> bool:
        return bool(self.ask(query))

    def is_done(self, log: Log) -> bool:
        """Whether all that was told is read, and nothing waits."""
        positions = dict(self.ask("select name, position from partition"))
        read = all(int(positions.get(name) or "0", 16) == len(told) for name, told in log.items())
        return read and not self.has("select from set_aside")

    async def records(self, *systems: str) -> list[list[str]]:
        """Of each record the keys of its live rows in these systems."""
        hub = PostgresHub(self._dsn)
        ids = [id for (id,) in self.ask("select id::text from record order by id")]
        rows = [await hub.keys(ids, name) for name in systems]
        await hub.close()
        return [sorted(row.key for found in rows for row in found.get(id, ())) for id in ids]


@pytest.fixture
def book(hub_dsn: str) -> Book:
    return Book(hub_dsn)


# --- one lane stands still between two statements ------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("statement", ["letters", "links", "records", "commit"])
@pytest.mark.parametrize("operation", ["delete", "rekey"])
async def test_a_change_that_meets_the_release_of_its_rows_insert_comes_after_it(
    operation: str, statement: str, hub_dsn: str, book: Book
) -> None:
    log: Log = {"erp.party/0": [], "erp.address/0": [address("A1", "P1")]}
    delete, rekey = raw("public.address", "delete", 1, id="A1"), rekeyed("public.address", "A1", "A2")
    async with Lane(hub_dsn, "erp", 1, log, "erp.address/0") as first, Lane(hub_dsn, "erp", 2, log) as second:
        await until(lambda: book.has("select from set_aside"), "the address, which waits for its party")
        async with first.halted(statement, "erp.address/0", delete if operation == "delete" else rekey):
            second.source.give(["erp.party/0"])
            second.tell("erp.party/0", party("P1"))
            if statement == "letters":
                released = "select from crosswalk where key = 'A1'"
                await until(lambda: book.has(released), "the second to release the address")
            else:  # the first has the letters of its row: whoever would release them waits for it
                await until(lambda: book.has(WAITING), "the second to wait for the first")
                assert not book.has("select from crosswalk where key = 'A1'")
        await until(lambda: book.is_done(log), "all to be read")
    assert await book.records("erp") == [["P1"] if operation == "delete" else ["A2", "P1"]]


@pytest.mark.long
@pytest.mark.parametrize("statement", ["rekeyed", "letters", "links", "matches", "records", "commit"])
async def test_a_row_under_a_new_key_that_meets_the_word_of_its_rekey_stays_one_row(
    statement: str, hub_dsn: str, book: Book
) -> None:
    log: Log = {"erp.party/0": [party("K1", "T1")], "erp.party/1": []}
    moved = party("K2", "T2")
    moved.follows_rekey = True
    async with (
        Lane(hub_dsn, "erp", 1, log, "erp.party/1") as first,
        Lane(hub_dsn, "erp", 2, log, "erp.party/0") as second,
    ):
        await until(lambda: book.has("select from record"), "the row's record")
        async with first.halted(statement, "erp.party/1", moved):
            second.tell("erp.party/0", rekeyed("public.party", "K1", "K2"))
            await until(lambda: book.has("select from rekeyed"), "the second to hear of the rekey")
        await until(lambda: book.is_done(log), "all to be read")
    assert await book.records("erp") == [["K2"]]


@pytest.mark.long
@pytest.mark.parametrize("statement", ["rekeyed", "letters", "links", "records", "commit"])
async def test_a_child_under_a_new_key_and_parent_that_meets_its_rekey_leaves_the_old_parent(
    statement: str, hub_dsn: str, book: Book
) -> None:
    log: Log = {"erp.party/0": [party("P1", "T1"), party("P2", "T2")], "erp.address/0": [address("A1", "P1")]}
    log["erp.address/1"] = []
    moved = address("A2", "P2")
    moved.follows_rekey = True
    async with (
        Lane(hub_dsn, "erp", 1, log, "erp.address/1") as first,
        Lane(hub_dsn, "erp", 2, log, "erp.party/0", "erp.address/0") as second,
    ):
        await until(lambda: book.has("select from crosswalk where key = 'A1'"), "the address under its first key")
        async with first.halted(statement, "erp.address/1", moved):
            second.tell("erp.address/0", rekeyed("public.address", "A1", "A2"))
            await until(lambda: book.has("select from rekeyed"), "the second to hear of the rekey")
        await until(lambda: book.is_done(log), "all to be read")
    assert sorted(await book.records("erp")) == [["A2", "P2"], ["P1"]]


@pytest.mark.parametrize("statement", ["letters", "links", "matches", "records", "commit"])
async def test_two_lanes_that_hear_of_the_same_thing_at_once_create_one_record(
    statement: str, hub_dsn: str, book: Book
) -> None:
    log: Log = {"crm.account/0": [], "billing.customer/0": []}
    async with (
        Lane(hub_dsn, "crm", 1, log, "crm.account/0") as first,
        Lane(hub_dsn, "billing", 1, log, "billing.customer/0") as second,
    ):
        async with first.halted(statement, "crm.account/0", flat("public.account", "C1", "T1")):
            second.tell("billing.customer/0", flat("public.customer", "B1", "T1"))
            await until(lambda: book.has("select from record"), "the second's record")
        await until(lambda: book.is_done(log), "all to be read")
    assert await book.records("crm", "billing") == [["B1", "C1"]]


# --- all at once ---------------------------------------------------------------------------------------------------


async def test_four_lanes_of_two_systems_that_tell_of_the_same_things_create_each_once(
    hub_dsn: str, book: Book
) -> None:
    number, streams = 1000, {"crm": "public.account", "billing": "public.customer"}
    log: Log = {
        f"{name}/{part}": [flat(stream, f"{name}{n}", f"T{n}") for n in range(part, number, 2)]
        for name, stream in streams.items()
        for part in (0, 1)
    }
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    async with contextlib.AsyncExitStack() as lanes:
        for name in log:
            source, _, part = name.partition("/")
            await lanes.enter_async_context(Lane(hub_dsn, source, int(part), log, name, size=40))
        await until(lambda: book.is_done(log), "all to be read")
    records = await book.records("crm", "billing")
    assert sorted(records) == sorted([f"billing{n}", f"crm{n}"] for n in range(number))
    assert book.ask(deadlocks) == [(0,)]


# --- a new baseline ------------------------------------------------------------------------------------------------


async def test_an_idle_worker_learns_of_a_new_baseline_and_nothing_is_swept_that_is_there(
    hub_dsn: str, book: Book
) -> None:
    one, other = "crm.account/0", "crm.account/1"
    log: Log = {one: [flat("public.account", "A", "TA")], other: [flat("public.account", "B", "TB")]}
    log[other].append(flat("public.account", "G", "TG"))
    async with Lane(hub_dsn, "crm", 1, log, one, other) as idle:
        await until(lambda: book.is_done(log), "all to be read")
        second = Lane(hub_dsn, "crm", 2, log, other)
        await second.hub.begin_again("crm", 2, {name: f"{len(told):016x}" for name, told in log.items()}, BEGUN)
        async with second:
            idle.source.give([one])  # the rebalance as the second joins
            idle.tell(one, flat("public.account", "A", "TA", "observe"))
            second.tell(other, flat("public.account", "B", "TB", "observe"))
            await until(lambda: book.is_done(log), "all to be told again")
            await second.hub.read_until("crm", {name: f"{len(told):016x}" for name, told in log.items()}, 2)
            await until(lambda: book.has("select from source where name = 'crm' and swept"), "the sweep")
    assert sorted(await book.records("crm")) == [[], ["A"], ["B"]], "only G was not told of again"


class Ends(KafkaLag):
    """Of topics without records; whoever asks is sure of it."""

    confirms = True

    async def end(self) -> dict[str, int]:
        return {}


async def test_who_began_a_baseline_that_another_overtook_has_all_rows_told_again_for_the_new_one(hub_dsn: str) -> None:
    hub = PostgresHub(hub_dsn)
    told_again: list[int] = []

    async def tell_again() -> None:
        told_again.append((await hub.baseline("crm")).number)
        if len(told_again) == 1:
            await hub.begin_again("crm", 3, {}, BEGUN)

    async def tell(ends: Mapping[str, int], number: int) -> None:
        await hub.read_until("crm", {}, number)

    await hub.begin_again("crm", 2, {}, BEGUN)
    lookout = Ends(system("crm"), Brokers("nowhere"))
    async with within():
        await FirstRows("crm", lookout, partial(hub.baseline, "crm"), tell, settle_seconds=0).run(lambda: tell_again)
    assert told_again == [2, 3]
    assert (await hub.baseline("crm")).heard
    await hub.close()
