"""What is large is not in memory twice: while it is delivered, sources read nothing, but for a target that hangs."""

from __future__ import annotations

import asyncio

import pytest

from fieldwarden.connectors.postgres.reading import replication
from fieldwarden.engine.running.wake import Wake
from tests.integration.reading import Reader, reading, run, source, stream, system

ACCOUNT = "create table account (id int primary key, name text)"
CRM = system(stream("public.account", ("id",), ("name",)))


async def names(reader: Reader, count: int) -> list[object]:
    return [change.values[1] for change in await reader.count(count)]


async def test_a_source_reads_on_once_what_is_large_is_delivered(database: str) -> None:
    run(database, ACCOUNT)
    wake = Wake()
    async with reading(source(CRM, database, room=wake.room)) as reader:
        await reader.baseline()
        run(database, "insert into account values (1, 'before')")
        assert await names(reader, 1) == ["before"]
        with wake.delivering(large=True), wake.delivering(large=False):
            run(database, "insert into account values (2, 'meanwhile')")
            more = asyncio.create_task(names(reader, 2))
            await asyncio.wait({more}, timeout=0.5)
            assert not more.done()
        assert await more == ["before", "meanwhile"]
        with wake.delivering(large=False):
            run(database, "insert into account values (3, 'small')")
            assert await names(reader, 3) == ["before", "meanwhile", "small"]


async def test_a_delivery_that_does_not_end_holds_up_no_source_for_long(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "_PATIENCE_SECONDS", 0.05)
    run(database, ACCOUNT)
    wake = Wake()
    with wake.delivering(large=True):
        async with reading(source(CRM, database, room=wake.room)) as reader:
            await reader.baseline()
            run(database, "insert into account values (1, 'a')", "insert into account values (2, 'b')")
            assert await names(reader, 2) == ["a", "b"]


async def test_a_source_that_waits_can_be_closed(database: str) -> None:
    run(database, ACCOUNT)
    wake = Wake()
    with wake.delivering(large=True):
        async with reading(source(CRM, database, room=wake.room)) as reader:
            await reader.baseline()
            run(database, "insert into account values (1, 'a')")
            more = asyncio.create_task(names(reader, 1))
            await asyncio.wait({more}, timeout=0.2)
            assert not more.done(), "it waits"
            more.cancel()
            with pytest.raises(asyncio.CancelledError):
                await more


def test_there_is_room_once_all_that_is_large_is_delivered() -> None:
    wake = Wake()
    with wake.delivering(large=True):
        with wake.delivering(large=True):
            assert not wake.room.is_set()
        assert not wake.room.is_set()
    assert wake.room.is_set()
    with pytest.raises(ValueError, match="of the target"), wake.delivering(large=True):
        raise ValueError("of the target")
    assert wake.room.is_set()
