"""An org as a feed: all rows first, then what its topics tell, and nothing lost between the two."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from fieldwarden.connectors.salesforce.asking.session import SalesforceSession
from fieldwarden.connectors.salesforce.looking import rows
from fieldwarden.connectors.salesforce.reading.feed import OrgFeed, Read
from fieldwarden.connectors.salesforce.reading.subscription import Bus, channel
from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.errors import SchemaDrift, SourceGap
from fieldwarden.engine.wanted import Wanted
from fieldwarden.sandbox.pubsub.serving import Server
from tests.integration.salesforce_org import PARTY, SITE, RestOrg, logged_in

WANTED = {
    "Account": Wanted("account", ("Id",), frozenset({"Id", "Name", "Phone"})),
    "Site__c": Wanted("site", ("Id",), frozenset({"Id", "City__c"})),
}
ACCOUNTS, SITES = PARTY.topic, SITE.topic
Enough = Callable[[list[Read]], bool]


@dataclass
class Scene:
    """`positions` are what would be durable, `table` the rows as whoever reads all this would have them."""

    rest: RestOrg
    server: Server
    session: SalesforceSession
    bus: Bus
    positions: dict[str, str | None] = field(default_factory=dict)
    table: dict[str, dict[str, Any]] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)

    def feed(self, *wanted: str) -> OrgFeed:
        return OrgFeed(self.session, self.bus, {name: WANTED[name] for name in wanted or WANTED}, "fieldwarden-7")

    async def read(self, enough: Enough, baseline: int = 1, *wanted: str) -> list[Read]:
        feed = self.feed(*wanted)
        reads: list[Read] = []
        async with aclosing(feed.read(self.positions, baseline)) as reading:
            async for read in reading:
                reads.append(read)
                if read.position is not None:
                    self.positions[read.part] = read.position
                for change in read.changes:
                    self.take(change)
                if enough(reads):
                    break
        return reads

    def take(self, change: RawChange) -> None:
        told = dict(zip(change.relation.columns, change.values, strict=True))
        id = str(told.pop("Id"))
        assert change.position >= self.newest.get(id, ""), "positions of a row never fall"
        self.newest[id] = change.position
        if change.operation == "delete":
            self.table.pop(id, None)
        elif change.operation != "hint":
            self.table.setdefault(id, {}).update({name: each for name, each in told.items() if each is not UNKNOWN})


@asynccontextmanager
async def opened() -> AsyncIterator[Scene]:
    async with (
        RestOrg() as rest,
        Server(rest.bus) as server,
        channel(server.address, plain=True) as connection,
        logged_in(rest) as session,
    ):
        yield Scene(rest, server, session, Bus("crm", connection, session.login))


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    async with opened() as scene:
        yield scene


def done(reads: list[Read]) -> bool:
    return reads[-1].phase == "done"


def told(name: str) -> Enough:
    return lambda reads: any(name in change.values for change in reads[-1].changes)


async def test_all_rows_are_told_before_the_first_event(at: Scene) -> None:
    ann = at.rest.org.create("Account", {"Name": "Ann"})
    site = at.rest.org.create("Site__c", {"City__c": "Bonn"})
    reads = await at.read(done)
    assert [each.phase for each in reads] == ["running", "running", "running", "done"]
    assert {change.operation for each in reads for change in each.changes} == {"observe"}
    assert at.table == {ann: {"Name": "Ann", "Phone": None}, site: {"City__c": "Bonn"}}


async def test_what_happens_while_the_rows_are_read_is_told_afterwards(
    at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "PAGE", 2)
    org = at.rest.org
    ids = [org.create("Account", {"Name": f"n{number}"}) for number in range(6)]

    def meddle(reads: list[Read]) -> bool:
        if len(reads) == 1:
            org.delete(ids[0])
            org.update([ids[1]], {"Phone": "1"})
            org.update([ids[5]], {"Phone": "5"})
            org.create("Account", {"Name": "last"})
        return told("last")(reads) and reads[-1].phase is None

    await at.read(meddle, 1, "Account")
    assert at.table == {
        id: {"Name": each["Name"], "Phone": each.get("Phone")} for id, each in at.rest.rows("Account").items()
    }


async def test_a_reading_that_was_interrupted_goes_on_behind_the_last_page(
    at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "PAGE", 2)
    for number in range(6):
        at.rest.org.create("Account", {"Name": f"n{number}"})
    await at.read(lambda reads: len(reads) == 2, 1, "Account")
    assert len(at.table) == 4
    rest = await at.read(done, 1, "Account")
    assert [len(each.changes) for each in rest] == [2, 0]
    assert len(at.table) == 6


async def test_what_was_read_is_not_read_again(at: Scene) -> None:
    at.rest.org.create("Account", {"Name": "Ann"})
    await at.read(done)
    at.rest.org.create("Account", {"Name": "Bob"})
    reads = await at.read(told("Bob"))
    assert {each.phase for each in reads} == {None}
    again = at.rest.org.create("Account", {"Name": "Cid"})
    (read,) = await at.read(told("Cid"))
    assert [change.values[0] for change in read.changes] == [again]


async def test_a_new_baseline_reads_all_rows_and_what_it_says_is_newer(at: Scene) -> None:
    ann = at.rest.org.create("Account", {"Name": "Ann"})
    await at.read(done)
    before = at.newest[ann]
    await at.read(done, 2)
    assert at.newest[ann] > before
    assert (at.positions[ACCOUNTS] or "").startswith("0002.")


async def test_two_topics_are_told_side_by_side(at: Scene) -> None:
    await at.read(done)
    for number in range(120):
        at.rest.org.create("Account", {"Name": f"n{number}"})
        at.rest.org.create("Site__c", {"City__c": f"c{number}"})
    await at.read(lambda _: len(at.table) == 240)
    assert {each["City__c"] for each in at.table.values() if "City__c" in each} == {f"c{n}" for n in range(120)}


async def test_many_rows_that_changed_at_once_are_all_read_again(at: Scene) -> None:
    ids = [at.rest.org.create("Account", {"Name": f"n{number}"}) for number in range(3)]
    await at.read(done)
    at.rest.org.update_everything("Account", {"Phone": "7"})
    reads = await at.read(lambda reads: reads[-1].position is not None and bool(at.table[ids[2]].get("Phone")))
    assert [at.table[id]["Phone"] for id in ids] == ["7", "7", "7"]
    assert [each.position is None for each in reads][-2:] == [True, False]


async def test_rows_that_may_be_gone_without_a_word_are_a_gap_that_ends_with_a_new_baseline(at: Scene) -> None:
    at.rest.org.create("Account", {"Name": "Ann"})
    await at.read(done)
    at.rest.org.overflow("Account")
    with pytest.raises(SourceGap) as gap:
        await at.read(lambda _: False)
    assert gap.value.safe
    at.rest.now += 10_000
    bob = at.rest.org.create("Account", {"Name": "Bob"})
    await at.read(lambda reads: bob in at.table and reads[-1].phase is None, 2)


async def test_an_expired_replay_id_is_a_gap(at: Scene) -> None:
    at.rest.org.create("Account", {"Name": "Ann"})
    await at.read(lambda reads: reads[-1].phase is None)
    at.rest.org.create("Account", {"Name": "Bob"})
    at.rest.bus.forget()
    with pytest.raises(SourceGap):
        await at.read(lambda _: False)


async def test_rows_that_were_read_longer_ago_than_events_are_kept_are_a_gap(at: Scene) -> None:
    """No event was told since, so that there is no replay id that Salesforce could refuse."""
    await at.read(done)
    at.rest.now += 80 * 3_600_000
    with pytest.raises(SourceGap):
        await at.read(lambda _: False)


async def test_one_object_that_changed_its_shape_holds_up_no_other(at: Scene) -> None:
    await at.read(done)
    changed = SITE.__class__("Site__c", "a01", [each._replace(type="double") for each in SITE.fields])
    at.rest.org.create("Site__c", {"City__c": "Bonn"})
    at.rest.bus.redefine(changed)
    at.rest.described["City__c"] = {"type": "string"}
    at.rest.org.create("Site__c", {"City__c": 7.0})
    reads = await at.read(lambda reads: bool(reads[-1].parked))
    assert "events carry it as double" in reads[-1].parked
    at.rest.org.create("Account", {"Name": "Ann"})
    await at.read(told("Ann"))


async def test_where_nothing_is_left_to_follow_the_shape_is_the_error(at: Scene) -> None:
    at.rest.described["Name"] = {"gone": True}
    with pytest.raises(SchemaDrift, match="Salesforce describes no field Name"):
        await at.read(done, 1, "Account")


async def test_a_look_tells_what_rows_hold_now_and_which_are_gone(at: Scene) -> None:
    ann, bob = (at.rest.org.create("Account", {"Name": name}) for name in ("Ann", "Bob"))
    at.rest.org.delete(bob)
    found = await at.feed().look("account", [ann, bob])
    assert found[bob] is None
    image = found[ann]
    assert image is not None
    assert (image.operation, "Ann" in image.values) == ("observe", True)


async def test_an_event_that_could_not_be_read_is_read_once_it_can_be(at: Scene) -> None:
    """Its schema was spoiled on its way, say, and is whole when it is asked for again."""
    await at.read(done, 1, "Account")
    schemas, good = at.rest.bus.schemas, dict(at.rest.bus.schemas)
    schemas[PARTY.schema_id] = "{"
    ann = at.rest.org.create("Account", {"Name": "Ann"})
    feed = at.feed("Account")
    async with aclosing(feed.read(at.positions, 1)) as reading:
        (spoiled,) = (await anext(reading)).changes
        assert spoiled.undecoded is not None
        assert (await feed.again(spoiled)).undecoded is not None
    schemas.update(good)
    later = at.feed("Account")
    async with aclosing(later.read(at.positions, 1)) as reading:
        await anext(reading)
        mended = await later.again(spoiled)
    assert (mended.operation, mended.position) == ("insert", spoiled.position)
    assert ann in mended.values
