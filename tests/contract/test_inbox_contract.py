"""What every inbox keeps: the same suite against PostgreSQL and the one in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from fieldwarden.engine.hub.inbox import PostgresInbox
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.ports.inbox import PAGE, PAGE_BYTES, REMEMBERED, Event, Hint, Inbox, InboxState, Item, Received
from fieldwarden.engine.testing.inbox import MemoryInbox
from tests.contract.hub_builder import AWKWARD, ask
from tests.patience import within

ROOM = 1000
NOW = 1_700_000_000_000_000
ANN = Event("evt_1", b'{"name":"Ann"}')
BOB = Event("evt_2", b"\x00\xff")


@pytest.fixture(params=["postgres", "memory"])
async def inbox(request: pytest.FixtureRequest) -> AsyncIterator[Inbox]:
    made: Inbox = PostgresInbox(request.getfixturevalue("hub_dsn")) if request.param == "postgres" else MemoryInbox()
    yield made
    await made.close()


async def told(inbox: Inbox, *items: Item, system: str = "shop", room: int = ROOM) -> Received | None:
    return await inbox.receive(system, items, room, NOW)


async def read(inbox: Inbox, after: int = 0, system: str = "shop") -> list[Item]:
    return [each.item for each in await inbox.after(system, after)]


async def end(inbox: Inbox, system: str = "shop") -> int:
    page = await inbox.after(system, 0)
    return page[-1].number


async def test_what_was_received_is_read_in_its_order_by_whoever_comes_and_stays(
    inbox: Inbox, request: pytest.FixtureRequest
) -> None:
    assert await told(inbox, ANN, Hint("people", AWKWARD)) == Received(2, 0)
    assert await told(inbox, BOB) == Received(1, 0)
    assert await told(inbox, Hint("people", "other"), system="desk") == Received(1, 0)
    after: Inbox = PostgresInbox(request.getfixturevalue("hub_dsn")) if isinstance(inbox, PostgresInbox) else inbox
    for _ in range(2):
        assert await read(after) == [ANN, Hint("people", AWKWARD), BOB]
    assert await read(after, system="desk") == [Hint("people", "other")]
    assert await read(after, system="nobody's") == []
    await after.close()


async def test_numbers_grow_and_what_stands_behind_one_is_read_without_it(inbox: Inbox) -> None:
    await told(inbox, ANN, BOB, Hint("people"))
    numbers = [each.number for each in await inbox.after("shop", 0)]
    assert numbers == sorted(set(numbers))
    assert await read(inbox, numbers[0]) == [BOB, Hint("people")]
    assert await read(inbox, numbers[-1]) == []


async def test_an_event_is_taken_in_once_however_often_and_whenever_it_comes(inbox: Inbox) -> None:
    assert await told(inbox, ANN, ANN) == Received(1, 1)
    assert await told(inbox, Event(ANN.id, b"otherwise"), BOB) == Received(1, 1)
    assert await read(inbox) == [ANN, BOB]
    await inbox.taken("shop", await end(inbox), NOW)
    assert await told(inbox, ANN) == Received(0, 1)
    assert await read(inbox) == []
    assert await told(inbox, ANN, system="desk") == Received(1, 0), "ids are a system's own"


async def test_an_id_is_known_for_its_days_after_it_was_taken_and_then_forgotten(inbox: Inbox) -> None:
    await told(inbox, ANN)
    await inbox.taken("shop", await end(inbox), NOW)
    await told(inbox, BOB)
    last = await end(inbox)
    await inbox.taken("shop", last, NOW + REMEMBERED)
    assert await told(inbox, ANN) == Received(0, 1)
    await inbox.taken("shop", last, NOW + REMEMBERED + 1)
    assert await told(inbox, ANN) == Received(1, 0)
    assert await told(inbox, BOB) == Received(0, 1), "that was taken later"


async def test_one_that_is_unread_is_known_however_old_it_is(inbox: Inbox) -> None:
    await told(inbox, ANN)
    await inbox.taken("shop", 0, NOW + 2 * REMEMBERED)
    assert await told(inbox, ANN) == Received(0, 1)
    assert await read(inbox) == [ANN]


async def test_one_call_forgets_no_more_than_it_takes_and_a_page(inbox: Inbox) -> None:
    for first in range(0, 3 * PAGE, PAGE):
        await told(inbox, *(Event(f"e{n}", b"") for n in range(first, first + PAGE)), room=4 * PAGE)
    last = (await inbox.after("shop", 0, 4 * PAGE))[-1].number
    await inbox.taken("shop", last, NOW)
    for known in (2 * PAGE, PAGE, 0):
        await inbox.taken("shop", last, NOW + REMEMBERED + 1)
        again = await told(inbox, *(Event(f"e{n}", b"") for n in range(3 * PAGE - 1, 3 * PAGE - 1 - known, -1)))
        assert again == Received(0, known)


async def test_hints_of_the_same_row_are_one_and_the_newest_is_read_again(inbox: Inbox) -> None:
    """Who reads the first just now has asked for the row before the second came: it has to be asked for again."""
    assert await told(inbox, Hint("people", "1"), Hint("people", "1"), Hint("people", "2")) == Received(2, 1)
    seen = await end(inbox)
    assert await told(inbox, Hint("people", "1")) == Received(0, 1)
    await inbox.taken("shop", seen, NOW)
    assert await read(inbox, seen) == [Hint("people", "1")]
    await inbox.taken("shop", await end(inbox), NOW)
    assert await told(inbox, Hint("people", "1")) == Received(1, 0), "it is nothing new only while it is unread"


async def test_what_is_taken_goes_and_what_came_meanwhile_stays(inbox: Inbox) -> None:
    await told(inbox, ANN, Hint("people", "1"))
    seen = await end(inbox)
    await told(inbox, BOB, Hint("people", "2"))
    for _ in range(2):  # as after a crash
        await inbox.taken("shop", seen, NOW)
        assert await read(inbox) == [BOB, Hint("people", "2")]


async def test_a_smaller_number_that_is_taken_late_takes_nothing_back(inbox: Inbox) -> None:
    """Of a worker whose part another one reads by now."""
    await told(inbox, ANN, BOB)
    first, last = [each.number for each in await inbox.after("shop", 0)]
    await inbox.taken("shop", last, NOW)
    await inbox.taken("shop", first, NOW)
    assert await read(inbox) == []
    assert [(each.unread, each.oldest) for each in await inbox.states()] == [(0, None)]


async def test_a_full_inbox_takes_nothing_until_something_is_taken(inbox: Inbox) -> None:
    assert await told(inbox, ANN, Hint("people", "1"), room=2) == Received(2, 0)
    assert await told(inbox, BOB, Hint("people", "2"), room=2) is None
    assert await told(inbox, BOB, system="desk", room=2) == Received(1, 0)
    assert await read(inbox) == [ANN, Hint("people", "1")]
    await inbox.taken("shop", (await inbox.after("shop", 0))[0].number, NOW)
    assert await told(inbox, BOB, Hint("people", "2"), room=2) == Received(2, 0), "what one request brings is not torn"
    assert await told(inbox, Event("evt_3", b""), room=2) is None


async def test_a_page_is_bounded_in_items_and_in_bytes_and_never_empty_while_there_is_more(inbox: Inbox) -> None:
    large = [Event(f"large{n}", b"x" * (PAGE_BYTES // 2 + 1)) for n in range(3)]
    await told(inbox, *large, Event("small", b"y"))
    pages, number = [], 0
    while page := await inbox.after("shop", number):
        pages.append([each.item.id for each in page if isinstance(each.item, Event)])
        number = page[-1].number
    assert pages == [["large0", "large1"], ["large2", "small"]]
    assert len(await inbox.after("shop", 0, 1)) == 1


WIDE = "".join(chr(0x10000 + n * 7919 % 0xF000) for n in range(500))
"""Which nothing makes shorter, in four bytes a letter."""


@pytest.mark.parametrize("awkward", ["x" * 100_000, WIDE, "nul\0", "half \ud800", AWKWARD, ""])
async def test_no_id_and_no_key_is_too_strange_to_be_kept(awkward: str, inbox: Inbox) -> None:
    """What cannot be kept as it is still is the same event; of a key that cannot be, the stream is looked at."""
    assert await told(inbox, Event(awkward, b"1"), Event(awkward + "x", b"2"), Hint("people", awkward)) == Received(
        3, 0
    )
    assert await told(inbox, Event(awkward, b"1"), Event(awkward + "x", b"2")) == Received(0, 2)
    *events, hint = await read(inbox)
    assert [each.payload for each in events if isinstance(each, Event)] == [b"1", b"2"]
    assert hint in (Hint("people", awkward), Hint("people", ""))


async def test_a_hint_of_which_all_is_as_long_as_can_be_is_kept(inbox: Inbox) -> None:
    longest = WIDE[:250]
    assert await told(inbox, Hint(longest, longest)) == Received(1, 0)
    assert await told(inbox, Hint(longest, longest), Hint(WIDE, longest)) == Received(1, 1)


async def test_an_inbox_is_created_by_whoever_is_first(inbox: Inbox) -> None:
    await inbox.taken("shop", 0, NOW)
    await inbox.refused("desk", 3)
    assert await told(inbox, ANN) == Received(1, 0)


async def test_its_state_tells_what_waits_and_what_came_and_counts(inbox: Inbox) -> None:
    assert await inbox.states() == []
    await inbox.receive("shop", [ANN, Hint("people", "1")], ROOM, NOW)
    await inbox.receive("shop", [ANN, BOB, Hint("people", "1")], ROOM, NOW + 5)
    await inbox.refused("desk", 3)
    await inbox.refused("desk", 4)
    shop = InboxState("shop", unread=3, oldest=NOW, arrived=NOW + 5, received=3, repeated=2)
    assert await inbox.states() == [InboxState("desk", refused=7), shop]
    await inbox.taken("shop", (await inbox.after("shop", 0))[0].number, NOW + 9)
    assert await inbox.states() == [InboxState("desk", refused=7), replace(shop, unread=2, oldest=NOW + 5)]
    await inbox.taken("shop", await end(inbox), NOW + 9)
    assert (await inbox.states())[1] == replace(shop, unread=0, oldest=None)


# --- as PostgreSQL keeps it ---------------------------------------------------------------------------------------


async def test_what_is_committed_later_never_has_a_smaller_number(hub_dsn: str) -> None:
    """A reader that had come to a number would never see what appears below it. So the second waits for the first."""
    inbox = PostgresInbox(hub_dsn)
    async with await psycopg.AsyncConnection.connect(hub_dsn, options="-c search_path=fieldwarden") as first:
        await first.execute(QUERIES["open_inbox"], ["shop"])
        second = asyncio.ensure_future(told(inbox, BOB))
        asked = {"system": "shop", "last": 0, "now": NOW, "events": [ANN.id], "payloads": [ANN.payload]}
        await first.execute(QUERIES["receive_events"], asked)
        blocked = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        async with within():
            while not ask(hub_dsn, blocked)[0][0]:
                assert not second.done(), "it is visible before the first one, which has the smaller number"
                await asyncio.sleep(0.01)
        other = PostgresInbox(hub_dsn)
        assert await other.after("shop", 0) == [], "neither is there for readers"
        await first.execute(QUERIES["received"], {"system": "shop", "number": 1, "new": 1, "known": 0, "now": NOW})
        await first.commit()
        async with within():
            assert await second == Received(1, 0)
        assert [each.item for each in await other.after("shop", 0)] == [ANN, BOB]
        await other.close()
    await inbox.close()


async def test_many_at_once_lose_nothing_and_a_reader_beside_them_sees_each_once(hub_dsn: str) -> None:
    inboxes = [PostgresInbox(hub_dsn) for _ in range(4)]
    reader = PostgresInbox(hub_dsn)
    sent = [[Event(f"{who}-{n}", b"") for n in range(50)] for who in range(len(inboxes))]

    async def send(inbox: PostgresInbox, events: list[Event]) -> None:
        for event in events:
            await told(inbox, event)

    seen: list[Item] = []
    sending = asyncio.gather(*map(send, inboxes, sent))
    number = 0
    async with within():
        while len(seen) < 200:
            page = await reader.after("shop", number)
            seen += [each.item for each in page]
            if page:
                number = page[-1].number
                await reader.taken("shop", number, NOW)
        await sending
    assert sorted(seen) == sorted(event for events in sent for event in events)
    assert ask(hub_dsn, "select unread, received, repeated from hook") == [(0, 200, 0)]
    for each in (*inboxes, reader):
        await each.close()


async def test_what_is_unread_is_counted_as_it_is(hub_dsn: str) -> None:
    inbox = PostgresInbox(hub_dsn)
    await told(inbox, ANN, BOB, Hint("people", "1"))
    await told(inbox, Hint("people", "1"), ANN)
    counted = (
        "select unread, (select count(*) from inbox where taken_at is null), received, repeated, refused from hook"
    )
    assert ask(hub_dsn, counted) == [(3, 3, 3, 2, 0)]
    await inbox.taken("shop", (await inbox.after("shop", 0))[1].number, NOW)
    await inbox.refused("shop", 7)
    assert ask(hub_dsn, counted) == [(1, 1, 3, 2, 7)]
    assert ask(hub_dsn, "select payload from inbox where taken_at is not null") == [(None,), (None,)]
    await inbox.close()
