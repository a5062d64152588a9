"""A source is told of what came by webhook as soon as it is there, whichever process received it."""

from __future__ import annotations

import asyncio

import pytest

from fieldwarden.engine.ports.inbox import Event, Hint
from fieldwarden.engine.running.arrivals import InboxArrivals, arrival
from fieldwarden.engine.running.wake import Wake
from fieldwarden.engine.testing.inbox import MemoryInbox
from tests.patience import within

NOW = 1_700_000_000_000_000
ANN, BOB = Event("1", b"ann"), Event("2", b"bob")
FOR_EVER = 1e6


@pytest.fixture
def inbox() -> MemoryInbox:
    return MemoryInbox()


def arrivals(inbox: MemoryInbox, wake: Wake | None = None, look: float = FOR_EVER) -> InboxArrivals:
    return InboxArrivals("shop", inbox, wake or Wake(), clock=lambda: NOW, look=look)


async def test_what_is_there_is_given_at_once_and_each_item_once(inbox: MemoryInbox) -> None:
    reader = arrivals(inbox)
    await reader.open(None)
    await inbox.receive("shop", [ANN], 10, NOW)
    await inbox.receive("desk", [BOB], 10, NOW)
    assert [each.item for each in await reader.wait(FOR_EVER)] == [ANN]
    assert await reader.wait(0) == []


@pytest.mark.parametrize("roused", [True, False], ids=["by this process", "by another"])
async def test_whoever_waits_is_given_what_comes(roused: bool, inbox: MemoryInbox) -> None:
    wake = Wake()
    reader = arrivals(inbox, wake, look=FOR_EVER if roused else 0.01)
    await reader.open(None)
    waiting = asyncio.ensure_future(reader.wait(FOR_EVER))
    await asyncio.sleep(0)
    await inbox.receive("shop", [ANN], 10, NOW)
    if roused:
        wake.rouse([arrival("shop")])
    async with within():
        assert [each.item for each in await waiting] == [ANN]


async def test_a_position_is_durable_where_it_is_said_so_and_not_by_reading(inbox: MemoryInbox) -> None:
    reader = arrivals(inbox)
    await reader.open(None)
    await inbox.receive("shop", [ANN], 10, NOW)
    await reader.wait(0)
    first = reader.position
    await inbox.receive("shop", [BOB, Hint("people")], 10, NOW)
    await reader.wait(0)
    assert reader.position > first
    again = arrivals(inbox)  # after a crash before anything was durable
    await again.open(None)
    assert [each.item for each in await again.wait(0)] == [ANN, BOB, Hint("people")]
    await again.durable(first)
    assert [each.item for each in await inbox.after("shop", 0)] == [BOB, Hint("people")]


async def test_what_was_durable_before_a_crash_and_not_taken_goes_when_it_is_opened(inbox: MemoryInbox) -> None:
    reader = arrivals(inbox)
    await reader.open(None)
    await inbox.receive("shop", [ANN, BOB], 10, NOW)
    await reader.wait(0)
    again = arrivals(inbox)
    await again.open(reader.position)
    assert await again.wait(0) == []
    assert await inbox.after("shop", 0) == []
