"""A topic read over real gRPC from the sandbox's Pub/Sub API: nothing is lost, nothing told twice, nothing piles up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from fieldwarden.connectors.salesforce.asking.access import Access
from fieldwarden.connectors.salesforce.decoding.events import EventDecoder
from fieldwarden.connectors.salesforce.decoding.fields import Described
from fieldwarden.connectors.salesforce.decoding.places import Place
from fieldwarden.connectors.salesforce.reading.subscription import AHEAD, Bus, Limits, channel
from fieldwarden.connectors.salesforce.reading.topic import OVERLAP, Schemas, Taken, TopicReader
from fieldwarden.engine.change import UNKNOWN
from fieldwarden.engine.errors import EnvironmentUnfit, SourceGap, TransientError
from fieldwarden.engine.wanted import Wanted
from fieldwarden.sandbox.pubsub import bus as sandbox
from fieldwarden.sandbox.pubsub.objects import Field
from fieldwarden.sandbox.pubsub.org import ACCOUNT, CONTACT, Org
from fieldwarden.sandbox.pubsub.serving import Pace, Server

TOPIC = ACCOUNT.topic
BEGIN = Place(1, 0, b"")
NOW = 1_772_000_000_000
FIELDS = {"Name": Described("string"), "Phone": Described("phone"), "BillingCity": Described("string")}


@dataclass
class Desk:
    """Logs in with tokens in turn."""

    tokens: list[str] = field(default_factory=lambda: ["token-1"])
    renewed: int = 0

    async def access(self) -> Access:
        return Access(self.tokens[0], "http://org.example", "00Dxx0000001gPLEAY")

    async def renew(self, refused: Access) -> Access:
        self.renewed += 1
        if refused.token == self.tokens[0] and len(self.tokens) > 1:
            self.tokens.pop(0)
        return await self.access()


@dataclass
class Scene:
    """An org, its API, and a client of it. `pauses` are those that were made before subscribing again."""

    org: Org
    server: Server
    bus: Bus
    desk: Desk
    pauses: list[float]

    def reader(self, place: Place = BEGIN) -> TopicReader:
        schemas = Schemas(lambda id: self.bus.schema(TOPIC, id))
        wanted = {"Account": Wanted("account", ("Id",), frozenset({"Id", *FIELDS}))}
        decoder = EventDecoder(TOPIC, wanted, {"Account": FIELDS}, client="us", schema_of=schemas.get)
        return TopicReader(decoder, schemas, place, lambda: NOW)

    async def told(self, reader: TopicReader, enough: Callable[[list[Taken]], bool], topic: str = TOPIC) -> list[Taken]:
        """All that a reader takes until that is enough."""
        taken: list[Taken] = []
        async with aclosing(self.bus.events(topic, reader.place.replay)) as events:
            async for fetched in events:
                taken.append(await reader.take(fetched))
                if enough(taken):
                    break
        return taken


def changes(number: int) -> Callable[[list[Taken]], bool]:
    return lambda taken: sum(len(each.changes) for each in taken) >= number


def names(taken: list[Taken]) -> list[object]:
    return [change.values[change.relation.columns.index("Name")] for each in taken for change in each.changes]


@asynccontextmanager
async def scene(
    desk: Desk | None = None, pace: Pace | None = None, limits: Limits | None = None
) -> AsyncIterator[Scene]:
    desk, pauses = desk or Desk(), list[float]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    bus = sandbox.Bus([ACCOUNT, CONTACT])
    async with Server(bus, pace=pace) as server, channel(server.address, plain=True) as connection:
        client = Bus("crm", connection, desk, limits, sleep=pause, chance=lambda: 0.5)
        yield Scene(Org(bus, lambda: NOW), server, client, desk, pauses)


# --- events in order ----------------------------------------------------------------------------------------------


async def test_all_events_of_a_topic_are_told_in_order() -> None:
    async with scene() as at:
        for number in range(250):
            at.org.create("Account", {"Name": f"n{number}"})
        taken = await at.told(at.reader(), changes(250))
        assert names(taken) == [f"n{number}" for number in range(250)]


async def test_no_more_events_are_asked_for_than_may_be_on_their_way() -> None:
    async with scene() as at:
        for number in range(450):
            at.org.create("Account", {"Name": f"n{number}"})
        await at.told(at.reader(), changes(450))
        assert all(0 < each <= AHEAD for each in at.server.service.asked)
        assert sum(at.server.service.asked) <= 450 + AHEAD


async def test_while_the_caller_is_busy_no_more_is_asked_for() -> None:
    async with scene() as at:
        for number in range(400):
            at.org.create("Account", {"Name": f"n{number}"})
        async with aclosing(at.bus.events(TOPIC, b"")) as events:
            first = await anext(events)
            assert len(first.events) <= AHEAD
            assert at.server.service.asked == [AHEAD]


async def test_a_topic_goes_on_behind_a_replay_id_though_these_have_no_order() -> None:
    async with scene() as at:
        for number in range(30):
            at.org.create("Account", {"Name": f"n{number}"})
        reader = at.reader()
        taken = await at.told(reader, changes(30))
        replays = [each.replay_id for each in at.org.bus.events]
        assert replays != sorted(replays)
        at.org.create("Account", {"Name": "later"})
        again = at.reader(Place.parse(reader.place.text))
        assert names(await at.told(again, changes(1))) == ["later"]
        assert again.place.text > taken[-1].place.text


async def test_a_topic_of_one_object_tells_of_no_other() -> None:
    async with scene() as at:
        at.org.create("Contact", {"Email": "a@example.org"})
        at.org.create("Account", {"Name": "Ann"})
        assert names(await at.told(at.reader(), changes(1))) == ["Ann"]


async def test_the_topic_of_everything_passes_over_objects_that_nobody_reads() -> None:
    async with scene() as at:
        at.org.create("Contact", {"Email": "a@example.org"})
        at.org.create("Account", {"Name": "Ann"})
        taken = await at.told(at.reader(), changes(1), sandbox.EVERYTHING)
        assert names(taken) == ["Ann"]


# --- streams that break -------------------------------------------------------------------------------------------


async def test_a_stream_that_breaks_goes_on_behind_the_last_event() -> None:
    async with scene() as at:
        for number in range(120):
            at.org.create("Account", {"Name": f"n{number}"})
        at.server.faults.ask("drop", 2)
        taken = await at.told(at.reader(), changes(120))
        assert names(taken) == [f"n{number}" for number in range(120)]
        assert at.server.faults.came["drop"] == 2
        assert len(at.server.service.subscriptions) == 3


async def test_a_service_that_is_away_is_asked_again_after_growing_pauses() -> None:
    async with scene() as at:
        at.org.create("Account", {"Name": "Ann"})
        at.server.faults.ask("unavailable", 3)
        assert names(await at.told(at.reader(), changes(1))) == ["Ann"]
        assert at.pauses == [0.375, 0.75, 1.5]


async def test_a_service_that_stays_away_is_given_up_for_a_while() -> None:
    async with scene() as at:
        at.server.faults.ask("unavailable", 50)
        with pytest.raises(TransientError, match=r"does not answer: service\.unavailable \(rpcId rpc-1\)"):
            await at.told(at.reader(), changes(1))
        assert len(at.pauses) == Limits().attempts - 1


async def test_a_stream_that_is_silent_for_too_long_is_begun_anew() -> None:
    async with scene(limits=Limits(silence=0.05, attempts=3)) as at:
        with pytest.raises(TransientError, match="DEADLINE_EXCEEDED"):
            await at.told(at.reader(), changes(1))
        assert len(at.server.service.subscriptions) == 3


async def test_the_day_s_events_are_used_up() -> None:
    async with scene() as at:
        at.server.faults.ask("exhausted")
        with pytest.raises(TransientError, match=r"subscription\.limit\.exceeded") as error:
            await at.told(at.reader(), changes(1))
        assert "24 hours" in error.value.suggestion
        assert at.pauses == []


# --- quiet topics -------------------------------------------------------------------------------------------------


async def test_an_empty_answer_moves_our_place_on() -> None:
    async with scene() as at:
        at.org.create("Account", {"Name": "Ann"})
        reader = at.reader()
        (first,) = await at.told(reader, changes(1))
        at.server.faults.ask("empty")
        (quiet,) = await at.told(reader, lambda taken: len(taken) == 1)
        assert quiet.changes == []
        assert quiet.place.text > first.place.text
        assert quiet.place.replay != first.place.replay
        at.org.create("Account", {"Name": "Bob"})
        again = at.reader(Place.parse(quiet.place.text))
        assert names(await at.told(again, changes(1))) == ["Bob"]


async def test_an_empty_answer_comes_by_itself_on_a_quiet_topic() -> None:
    async with scene(pace=Pace(keepalive=0.01)) as at:
        taken = await at.told(at.reader(), lambda taken: len(taken) == 3)
        assert [each.changes for each in taken] == [[], [], []]
        assert len(at.server.service.subscriptions) == 1


# --- gaps ---------------------------------------------------------------------------------------------------------


async def test_a_replay_id_that_is_too_old_is_a_gap_that_may_be_mended() -> None:
    async with scene() as at:
        at.org.create("Account", {"Name": "Ann"})
        reader = at.reader()
        await at.told(reader, changes(1))
        at.org.create("Account", {"Name": "Bob"})
        at.org.bus.forget()
        with pytest.raises(SourceGap) as gap:
            await at.told(reader, changes(1))
        assert gap.value.safe


async def test_a_replay_id_that_is_said_to_be_corrupted_is_a_gap() -> None:
    async with scene() as at:
        at.org.create("Account", {"Name": "Ann"})
        reader = at.reader()
        await at.told(reader, changes(1))
        at.server.faults.ask("corrupted")
        with pytest.raises(SourceGap):
            await at.told(reader, changes(1))


async def test_what_was_committed_before_the_baseline_began_is_passed_over() -> None:
    async with scene() as at:
        old = at.org.bus.transaction(NOW - 3_600_000)
        at.org.create("Account", {"Name": "old"}, old)
        at.org.create("Account", {"Name": "new"})
        taken = await at.told(at.reader(Place(1, 0, b"", NOW - 60_000)), changes(1))
        assert names(taken) == ["new"]


async def test_rows_that_events_do_not_tell_of_are_hinted_at() -> None:
    async with scene() as at:
        one, two = (at.org.create("Account", {"Name": name}) for name in ("Ann", "Bob"))
        at.org.change_unseen([one, two], {"Phone": "1"})
        at.org.change_unseen([two], {"Phone": "2"})
        at.org.overflow("Account")
        at.org.update_everything("Account", {"Phone": "3"})
        at.org.create("Account", {"Name": "last"})
        taken = await at.told(at.reader(), changes(6))
        told = [change for each in taken for change in each.changes]
        assert [each.values[0] for each in told if each.operation == "hint"] == [one, two, two]
        assert {stream for each in taken for stream in each.rescan} == {"account"}
        assert {stream for each in taken for stream in each.lost} == {"account"}


async def test_what_was_read_since_needs_no_look() -> None:
    """A baseline that began after an overflow has read what that was about: else it would begin again for ever."""
    async with scene() as at:
        id = at.org.create("Account", {"Name": "Ann"})
        at.org.overflow("Account")
        at.org.change_unseen([id], {"Phone": "1"})
        taken = await at.told(at.reader(Place(1, 0, b"", NOW - OVERLAP + 10_000)), changes(1))
        assert (taken[-1].lost, taken[-1].rescan) == (set(), set())
        assert [each.operation for each in taken[-1].changes] == ["insert"]


# --- repetitions and changes of schema ----------------------------------------------------------------------------


async def test_an_event_that_comes_twice_is_told_once() -> None:
    async with scene() as at:
        at.org.create("Account", {"Name": "Ann"})
        at.server.faults.ask("duplicate")
        at.org.create("Account", {"Name": "Bob"})
        at.org.create("Account", {"Name": "Cid"})
        reader = at.reader()
        taken = await at.told(reader, lambda taken: reader.repeated == 1)
        assert names(taken) == ["Ann", "Bob", "Cid"]


async def test_the_schema_may_change_in_mid_stream() -> None:
    async with scene() as at:
        id = at.org.create("Account", {"Name": "Ann"})
        at.org.update([id], {"Phone": "1"})
        at.org.bus.redefine(ACCOUNT.__class__("Account", "001", (Field("New__c"), *ACCOUNT.fields)))
        at.org.update([id], {"Phone": "2"})
        at.org.update([id], {"New__c": "x", "BillingCity": "Bonn"})
        taken = await at.told(at.reader(), changes(4))
        rows = [
            dict(zip(change.relation.columns, change.values, strict=True)) for each in taken for change in each.changes
        ]
        assert [row["Phone"] for row in rows] == [None, "1", "2", UNKNOWN]
        assert rows[3]["BillingCity"] == "Bonn"
        assert len({id for id, _ in at.org.bus.schemas.items()}) == 3


async def test_a_payload_that_is_cut_short_is_kept_and_what_follows_is_told() -> None:
    async with scene() as at:
        at.server.faults.ask("garbage")
        at.org.create("Account", {"Name": "Ann"})
        at.org.create("Account", {"Name": "Bob"})
        taken = await at.told(at.reader(), changes(2))
        spoiled, read = (change for each in taken for change in each.changes)
        assert spoiled.undecoded is not None
        assert read.values[read.relation.columns.index("Name")] == "Bob"


# --- who we are ---------------------------------------------------------------------------------------------------


async def test_a_token_that_ended_is_renewed_once() -> None:
    async with scene(Desk(["old", "token-1"])) as at:
        at.org.create("Account", {"Name": "Ann"})
        assert names(await at.told(at.reader(), changes(1))) == ["Ann"]
        assert at.desk.renewed == 1


async def test_a_token_that_is_refused_again_needs_a_person() -> None:
    async with scene(Desk(["old"])) as at:
        with pytest.raises(EnvironmentUnfit, match=r"service\.auth\.error") as error:
            await at.told(at.reader(), changes(1))
        assert "old" not in str(error.value)
        assert at.desk.renewed == 1


async def test_a_schema_is_asked_for_with_a_new_token_where_the_old_one_ended() -> None:
    async with scene(Desk(["old", "token-1"])) as at:
        assert "AccountChangeEvent" in await at.bus.schema(TOPIC, ACCOUNT.schema_id)


async def test_an_object_without_change_events_says_what_to_switch_on() -> None:
    async with scene() as at:
        with pytest.raises(EnvironmentUnfit, match=r"topic\.not\.found") as error:
            await at.bus.topic("/data/LeadChangeEvent")
        assert "enable Change Data Capture" in error.value.suggestion


async def test_a_topic_says_whether_it_may_be_read() -> None:
    async with scene() as at:
        assert (await at.bus.topic(TOPIC)).can_subscribe


def test_an_access_shows_no_token() -> None:
    assert "secret" not in repr(Access("secret", "http://x", "t"))
