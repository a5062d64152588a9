"""What every source promises of a look at rows, and of changes that name their columns: said once, and held against
PostgreSQL, Debezium's topics, the scripted ones and a polled feed.

Each world is a system with accounts (`id`, `name`, `credit`), and a source that is open and has read what there was.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Protocol

import pytest

from fieldwarden.connectors.postgres.reading.at_rows import look_at
from fieldwarden.engine.change import UNKNOWN, RawChange, RawValue, RowRef
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.source import Observation, Source, Start
from fieldwarden.engine.testing import Feed, MemoryHub, PartitionedSource, PolledSource, ScriptedSource
from stack import Stack
from tests.builders import raw
from tests.integration import reading
from tests.integration.kafka_world import ACCOUNT, Topics, Worker, event, key, system
from tests.patience import within

COLUMNS = ("id", "name", "credit")
LARGE = "".join(f"{n:06}" for n in range(2000))
"""A text that PostgreSQL keeps outside its row, and does not tell when other columns change."""


class World(Protocol):
    """`placed`: its looks have a place among a row's changes. `put` makes a row, or sets its name; `clear` sets the
    name to null and leaves the rest as it is."""

    @property
    def source(self) -> Source: ...
    @property
    def placed(self) -> bool: ...

    async def put(self, number: int, name: str) -> None: ...
    async def clear(self, number: int) -> None: ...
    async def remove(self, number: int) -> None: ...


class Scripted:
    placed = False

    def __init__(self) -> None:
        self.source = ScriptedSource("crm")
        self.told = 0

    def tell(self, operation: str, number: int, **columns: RawValue) -> None:
        self.told += 1
        self.source.extend([raw(ACCOUNT, operation, self.told, id=str(number), **columns)])

    async def put(self, number: int, name: str) -> None:
        self.tell("update", number, name=name, credit=LARGE)
        self.source.holds[row(number)] = self.source.changes[-1]

    async def clear(self, number: int) -> None:
        self.tell("update", number, name=None, credit=UNKNOWN)
        self.source.holds[row(number)] = raw(ACCOUNT, "update", self.told, id=str(number), name=None, credit=LARGE)

    async def remove(self, number: int) -> None:
        self.tell("delete", number)
        del self.source.holds[row(number)]


class Partitions:
    placed = False

    def __init__(self) -> None:
        self.log: list[RawChange] = []
        self.source = PartitionedSource("crm", {"crm.account/0": self.log})
        self.source.give(["crm.account/0"])

    def tell(self, operation: str, number: int, **columns: RawValue) -> None:
        self.log.append(raw(ACCOUNT, operation, len(self.log), id=str(number), **columns))
        self.source.tell()

    async def put(self, number: int, name: str) -> None:
        self.tell("update", number, name=name, credit=LARGE)
        self.source.holds[row(number)] = self.log[-1]

    async def clear(self, number: int) -> None:
        self.tell("update", number, name=None, credit=UNKNOWN)
        self.source.holds[row(number)] = raw(ACCOUNT, "update", 0, id=str(number), name=None, credit=LARGE)

    async def remove(self, number: int) -> None:
        self.tell("delete", number)
        del self.source.holds[row(number)]


class Polled:
    placed = True

    def __init__(self, hub: MemoryHub) -> None:
        self.feed = Feed("crm", ["accounts"])
        self.source = PolledSource(self.feed, hub, seconds=0.001)

    def tell(self, change: RawChange, image: RawChange | None) -> None:
        self.feed.tell("accounts", str(change.values[0]), change, image)

    async def put(self, number: int, name: str) -> None:
        image = raw(ACCOUNT, "update", 0, id=str(number), name=name, credit=LARGE)
        self.tell(image, image)

    async def clear(self, number: int) -> None:
        image = raw(ACCOUNT, "update", 0, id=str(number), name=None, credit=LARGE)
        self.tell(raw(ACCOUNT, "update", 0, id=str(number), name=None, credit=UNKNOWN), image)

    async def remove(self, number: int) -> None:
        self.tell(raw(ACCOUNT, "delete", 0, id=str(number)), None)


TABLE = "create table account (id int primary key, name text, credit text)"
PUT = "insert into account values ({0}, '{1}', '{2}') on conflict (id) do update set name = '{1}'"


class Database:
    placed = True

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        reading.run(dsn, TABLE, "alter table account alter credit set storage external")
        accounts = reading.stream(ACCOUNT, ("id",), ("name", "credit"))
        self.source: Source = reading.source(reading.system(accounts), dsn)

    async def put(self, number: int, name: str) -> None:
        reading.run(self.dsn, PUT.format(number, name, LARGE))

    async def clear(self, number: int) -> None:
        reading.run(self.dsn, f"update account set name = null where id = {number}")

    async def remove(self, number: int) -> None:
        reading.run(self.dsn, f"delete from account where id = {number}")


class Debezium(Database):
    """The table, and what its connector would write of it."""

    placed = False

    def __init__(self, dsn: str, topics: Topics, hub: MemoryHub) -> None:
        super().__init__(dsn)
        self.topics = topics
        mapped = system(topics.prefix)

        async def look(rows: Sequence[RowRef]) -> list[Observation]:
            return await look_at(mapped, dsn, rows, None)

        self.source = Worker(topics.bootstrap, topics.prefix, hub, look=look).source

    async def tell(self, number: int, op: str, **columns: str | None) -> None:
        await self.topics.put(ACCOUNT, key(number), event(ACCOUNT, op, {"id": number, **columns}))

    async def put(self, number: int, name: str) -> None:
        await super().put(number, name)
        await self.tell(number, "u", name=name, credit="1.00")

    async def clear(self, number: int) -> None:
        await super().clear(number)
        await self.tell(number, "u", name=None, credit="__debezium_unavailable_value")

    async def remove(self, number: int) -> None:
        await super().remove(number)
        await self.tell(number, "d", name=None, credit=None)  # its schema is the table's, as with any change


def row(number: int) -> RowRef:
    return RowRef("crm", ACCOUNT, str(number))


@pytest.fixture(params=["scripted", "partitions", "feed", "postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    hub = MemoryHub()
    await hub.lease(Lane("crm", 1))
    fakes: dict[str, Callable[[], World]] = {
        "scripted": Scripted, "partitions": Partitions, "feed": lambda: Polled(hub)
    }  # fmt: skip
    async with AsyncExitStack() as stack:
        if request.param in fakes:
            made = fakes[request.param]()
        elif request.param == "postgres":
            made = Database(request.getfixturevalue("database"))
        else:
            kafka: Stack = request.getfixturevalue("kafka")
            topics = await stack.enter_async_context(Topics(kafka.bootstrap, request.getfixturevalue("prefix")))
            await topics.make(account=1)
            made = Debezium(request.getfixturevalue("database"), topics, hub)
        await made.source.open(Start(functools.partial(hub.take, "crm")))
        stack.push_async_callback(made.source.close)
        yield made


async def told(world: World) -> AsyncIterator[RawChange]:
    """What the source tells, each durable with the next."""
    async for batch in world.source.batches():
        for change in batch.changes:
            yield change
        await world.source.acknowledge(batch)


async def told_from_now_on(world: World) -> AsyncIterator[RawChange]:
    """What it tells once it has told what there was to begin with, some of it as rows that it read."""
    changes = told(world)
    await world.put(9, "to begin with")
    assert columns(await next_of(changes))["id"] == "9"
    return changes


async def next_of(changes: AsyncIterator[RawChange]) -> RawChange:
    async with within():
        return await anext(changes)


def columns(change: RawChange) -> dict[str, RawValue]:
    return dict(zip(change.relation.columns, change.values, strict=True))


def seen(found: Sequence[Observation]) -> dict[str, RawValue]:
    """By key the name that a look saw; UNKNOWN for a row that is not there."""
    return {each.row.key: UNKNOWN if each.image is None else columns(each.image)["name"] for each in found}


async def test_each_row_comes_back_as_it_is_now_or_as_gone(world: World) -> None:
    for number in (1, 2, 3):
        await world.put(number, f"first {number}")
    await world.put(2, "second")
    await world.remove(3)
    found = list(await world.source.look([row(number) for number in (3, 1, 4, 2)]))
    assert seen(found) == {"1": "first 1", "2": "second", "3": UNKNOWN, "4": UNKNOWN}
    assert len(found) == 4
    images = [each.image for each in found if each.image is not None]
    assert {image.operation for image in images} == {"observe"}
    assert {image.at for image in images} == {None}, "when it came to be so is not seen"


async def test_of_nothing_nothing_is_seen(world: World) -> None:
    assert list(await world.source.look([])) == []


async def test_a_row_that_was_told_half_is_seen_whole(world: World) -> None:
    await world.put(1, "first")
    await world.clear(1)
    (found,) = await world.source.look([row(1)])
    assert found.image is not None
    assert UNKNOWN not in columns(found.image).values()
    assert columns(found.image)["name"] is None


async def test_a_look_stands_between_what_was_done_before_it_and_what_is_done_after(world: World) -> None:
    changes = await told_from_now_on(world)
    await world.put(1, "first")
    await world.put(1, "second")
    (there,) = await world.source.look([row(1)])
    await world.remove(1)
    (gone,) = await world.source.look([row(1)])
    await world.put(1, "third")
    first, second, removed, third = [await next_of(changes) for _ in range(4)]
    assert first.position < second.position < removed.position < third.position
    if not world.placed:
        assert (there.position, gone.position) == ("", "")
        return
    assert second.position < there.position < removed.position < gone.position < third.position
    assert gone.image is None


async def test_a_change_names_its_columns_and_a_null_that_it_names_is_a_null(world: World) -> None:
    changes = await told_from_now_on(world)
    await world.put(1, "first")
    await world.clear(1)
    whole, partly = [await next_of(changes) for _ in range(2)]
    assert UNKNOWN not in columns(whole).values()
    assert columns(partly) | {"id": "1"} == {"id": "1", "name": None, "credit": UNKNOWN}
