"""What every hub keeps: the same suite against PostgreSQL and the one in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.errors import Fenced
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.ports.durable import Duplicate, Entry, IngestOutcome
from fieldwarden.engine.ports.duties import SHARDS, shard_of
from fieldwarden.engine.ports.hub import Hub, Pending, Settlement
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.engine.testing import MemoryHub
from tests.builders import BEGUN
from tests.patience import within

AWKWARD = 'tab\t line\n back\\slash "quote" {brace} ünïcødé \u2028'


def ident(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


A, B, C = ident(1), ident(2), ident(3)
ACCOUNT = RowRef("crm", "public.account", "1")
PARTY = RowRef("erp", "public.party", "P-1")


def said(row: RowRef, position: str = "p1", **fields: Value) -> Contribution:
    return Contribution(*row, position, Stamp(position, 1), dict(fields))


def record(id: str = A, *rows: Contribution, version: int = 1, **golden: Value) -> Record:
    return Record(id, "customer", version, dict(golden), list(rows))


@pytest.fixture
async def elsewhere(hub: Hub, request: pytest.FixtureRequest) -> AsyncIterator[Hub]:
    """The same hub as another process has it."""
    other: Hub = PostgresHub(request.getfixturevalue("hub_dsn")) if isinstance(hub, PostgresHub) else hub
    yield other
    await other.close()


async def commit(hub: Hub, source: str = "crm", *, position: str = "1", **parts: Any) -> list[Duplicate]:
    """One ingest transaction that loads what it changes, as the pipeline does."""
    outcome = IngestOutcome(**parts)
    lease = await hub.lease(source)
    async with hub.ingest(lease) as tx:
        await tx.records([each.id for each in outcome.records])
        return list(await tx.commit(outcome, position=position, rulebook="book"))


async def load(hub: Hub, *ids: str) -> dict[str, Record]:
    lease = await hub.lease("reader")
    async with hub.ingest(lease) as tx:
        return await tx.records(ids)


def settled(claim: Pending, status: str = "done", **more: Any) -> Settlement:
    """`held` as (row, field, value)."""
    held: dict[RowRef, dict[str, Any]] = {}
    for row, name, value in more.pop("held", ()):
        held.setdefault(row, {})[name] = value
    more["held"] = held
    return Settlement(claim.record.id, claim.mark, claim.revision, status, **more)  # type: ignore[arg-type]


# --- ingest ------------------------------------------------------------------------------------------------------


async def test_what_is_committed_is_read_back_unchanged(hub: Hub) -> None:
    row = said(RowRef("crm", AWKWARD, AWKWARD), AWKWARD, name=AWKWARD, note=None, empty="")
    row.stamps["name"] = Stamp("p2", None)
    row.lag["note"] = "p0"
    row.carried["name"] = AWKWARD.upper()
    stored = record(A, row, name=AWKWARD, note=None)
    await commit(
        hub,
        position=AWKWARD,
        records=[stored],
        links=[(row.ref, A)],
        match_keys={A: ("customer", [("tax_id", AWKWARD), ("tax_id", "x")])},
    )
    lease = await hub.lease("crm")
    assert lease.position == AWKWARD
    async with hub.ingest(lease) as tx:
        assert await tx.links([row.ref, ACCOUNT]) == {row.ref: A}
        assert await tx.matches("customer", [("tax_id", AWKWARD), ("tax_id", "y")]) == {("tax_id", AWKWARD): [A]}
        assert await tx.matches("contact", [("tax_id", AWKWARD)]) == {}
        assert await tx.records([A, B]) == {A: stored}
        assert await tx.rows_of("crm", AWKWARD, None, 10) == [row.ref]
    assert await load(hub, A) == {A: stored}


async def test_leaving_without_commit_changes_nothing(hub: Hub) -> None:
    await commit(hub, records=[record(A, name="one")])
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        (await tx.records([A]))[A].golden["name"] = "changed in memory only"
        await tx.saw([ACCOUNT])
    with pytest.raises(ZeroDivisionError):
        async with hub.ingest(lease):
            raise ZeroDivisionError
    assert (await load(hub, A))[A].golden == {"name": "one"}
    assert (await hub.lease("crm")).position == "1"


async def test_an_older_lease_can_no_longer_commit(hub: Hub) -> None:
    old = await hub.lease("crm")
    new = await hub.lease("crm")
    assert new.epoch > old.epoch
    with pytest.raises(Fenced):
        async with hub.ingest(old):
            raise AssertionError("entered")
    async with hub.ingest(new) as tx:
        await tx.commit(IngestOutcome(records=[record(A)]), position="2", rulebook="book")
    assert list(await load(hub, A)) == [A]


async def test_a_lease_names_the_committed_position_and_an_empty_one_leaves_it(hub: Hub) -> None:
    assert (await hub.lease("crm")).position is None
    await commit(hub, position="")
    assert (await hub.lease("crm")).position is None
    await commit(hub, position="7")
    await commit(hub, position="")
    assert (await hub.lease("crm")).position == "7"
    assert (await hub.lease("erp")).position is None


async def test_a_source_is_read_once_it_has_streamed_until_it_is_read_again(hub: Hub) -> None:
    assert await hub.unread(["crm", "erp"]) == ["crm", "erp"]
    lease = await hub.lease("crm")
    for state, unread in (
        ("snapshot", ["crm", "erp"]),
        ("streaming", ["erp"]),
        (None, ["erp"]),
        ("snapshot", ["crm", "erp"]),
        (None, ["crm", "erp"]),
        ("streaming", ["erp"]),
    ):
        async with hub.ingest(lease) as tx:
            await tx.commit(IngestOutcome(), position="1", rulebook="book", state=state)
        assert await hub.unread(["crm", "erp"]) == unread
    await hub.note("erp", "halted", "why")
    assert await hub.unread(["crm", "erp"]) == ["erp"]
    await hub.note("crm", "retrying", "why")
    assert await hub.unread(["crm"]) == []


async def test_a_source_that_will_be_read_again_is_unread_at_once(hub: Hub) -> None:
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(), position="1", rulebook="book", state="streaming")
    for name in ("crm", "never leased"):
        assert await hub.begin_again(name, 2, None, BEGUN)
        assert not await hub.begin_again(name, 2, None, BEGUN), "it has begun"
    assert await hub.unread(["crm", "never leased"]) == ["crm", "never leased"]
    with pytest.raises(Fenced):
        async with hub.ingest(lease):
            pass
    for _ in range(2):
        again = await hub.lease("crm")
        assert (again.position, again.baseline, again.anew) == ("1", 2, True), "whoever goes on after a crash knows it"
    assert await hub.unread(["crm"]) == ["crm"]
    async with hub.ingest(again) as tx:
        await tx.commit(IngestOutcome(), position="", rulebook="book")
    assert (await hub.lease("crm")).anew, "until something of it is durable"
    again = await hub.lease("crm")
    async with hub.ingest(again) as tx:
        await tx.commit(IngestOutcome(), position="2", rulebook="book", state="streaming")
    assert await hub.unread(["crm"]) == []
    after = await hub.lease("crm")
    assert (after.position, after.baseline, after.anew) == ("2", 2, False)


async def test_links_move_and_go(hub: Hub) -> None:
    await commit(hub, records=[record(A), record(B)], links=[(ACCOUNT, A), (PARTY, A)])
    await commit(hub, links=[(ACCOUNT, B)], unlinks=[PARTY])
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        assert await tx.links([ACCOUNT, PARTY]) == {ACCOUNT: B}
        assert await tx.links([]) == {}


async def test_records_that_turn_out_alike_are_told_once(hub: Hub) -> None:
    def keys(*ids: str, value: str = "x") -> dict[str, Any]:
        return {"match_keys": {id: ("customer", [("tax_id", value)]) for id in ids}}

    def alike(*ids: str) -> list[Duplicate]:
        return [Duplicate("customer", "tax_id", ids)]

    assert await commit(hub, records=[record(A)], **keys(A)) == []
    assert await commit(hub, records=[record(B)], **keys(B, value="y")) == []
    assert await commit(hub, records=[record(B, version=2)], **keys(B)) == alike(A, B)
    assert await commit(hub, records=[record(B, version=3)], **keys(B)) == [], "that is known"
    assert await commit(hub, records=[record(B, version=4)], **keys(B, value="y")) == []
    assert await commit(hub, records=[record(B, version=5)], **keys(B)) == alike(A, B), "anew"


async def test_two_records_that_begin_alike_in_one_commit_are_told(hub: Hub) -> None:
    pair = ("tax_id", "x")
    keys = {id: ("customer", [pair]) for id in (A, B)}
    asked = {"customer": {pair: ()}}
    assert await commit(hub, records=[record(A), record(B)], match_keys=keys, asked=asked) == [
        Duplicate("customer", "tax_id", (A, B))
    ]


async def test_what_is_retired_is_nobodys_duplicate(hub: Hub) -> None:
    gone = record(A)
    gone.retired = True
    pair = ("tax_id", "x")
    assert await commit(hub, records=[gone], match_keys={A: ("customer", [pair])}) == []
    assert await commit(hub, records=[record(B)], match_keys={B: ("customer", [pair])}) == []
    assert await commit(hub, records=[record(C)], match_keys={C: ("customer", [pair])}) == [
        Duplicate("customer", "tax_id", (B, C))
    ]


async def test_match_keys_of_a_record_are_replaced_as_a_whole(hub: Hub) -> None:
    await commit(hub, records=[record(A), record(B)], match_keys={A: ("customer", [("tax_id", "1"), ("name", "x")])})
    await commit(hub, records=[record(A, version=2), record(B)], match_keys={
        A: ("customer", [("tax_id", "2")]), B: ("customer", [("tax_id", "2")]),
    })  # fmt: skip
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        asked = [("tax_id", "1"), ("tax_id", "2"), ("name", "x"), ("tax_id", "2")]
        assert await tx.matches("customer", asked) == {("tax_id", "2"): [A, B]}


async def test_rows_of_a_stream_come_in_key_order_page_by_page(hub: Hub) -> None:
    keys = ["", "10", "2", "2\x01", "Z", "a", "É"]
    rows = [RowRef("crm", "s", key) for key in keys]
    await commit(hub, records=[record(A)], links=[(row, A) for row in [*rows, RowRef("crm", "t", "1"), PARTY]])
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        first = await tx.rows_of("crm", "s", None, 3)
        rest = await tx.rows_of("crm", "s", first[-1].key, 9)
    assert [row.key for row in first + rest] == sorted(keys)


async def test_a_reread_finds_what_it_did_not_see(hub: Hub) -> None:
    one, two, three = (RowRef("crm", "s", str(number)) for number in (1, 2, 3))
    await commit(hub, records=[record(A)], links=[(one, A), (two, A), (PARTY, A)])
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        await tx.saw([one, one])
        await tx.commit(IngestOutcome(links=[(three, A)]), position="2", rulebook="book")
    async with hub.ingest(lease) as tx:
        # `three` was linked after the re-read began: it may be a row of ours that the re-read could not show.
        assert await tx.unseen([one, two, three, PARTY, RowRef("crm", "s", "unknown")]) == {two}
        await tx.saw([two])
        assert await tx.unseen([one, two, three]) == set()
    again = await hub.lease("crm")
    async with hub.ingest(again) as tx:
        assert await tx.unseen([one, two, three]) == {one, two, three}, "one that begins anew has seen nothing yet"


async def test_rows_that_are_set_aside_are_missed_too_unless_they_came_since(hub: Hub) -> None:
    before, since = RowRef("crm", AWKWARD, "1"), RowRef("crm", AWKWARD, "2")
    await commit(hub, set_aside=[aside("data", before)])
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        outcome = IngestOutcome(set_aside=[aside("behind", before), aside("data", since)])
        await tx.commit(outcome, position="2", rulebook="book")
    async with hub.ingest(lease) as tx:
        assert await tx.rows_of("crm", AWKWARD, None, 10) == [before, since]
        assert await tx.unseen([before, since]) == {before}


async def test_two_sources_commit_side_by_side(hub: Hub) -> None:
    await commit(hub, "crm", records=[record(A), record(B)])
    leases = [await hub.lease("crm"), await hub.lease("erp")]

    async def add(index: int) -> None:
        for _ in range(20):
            async with hub.ingest(leases[index]) as tx:
                found = await tx.records([B, A])
                for each in found.values():
                    each.version += 1
                entries = [Entry(each.id, each.version, b"{}") for each in found.values()]
                outcome = IngestOutcome(records=list(found.values()), entries=entries, dirty=[("billing", A)])
                await tx.commit(outcome, position="2", rulebook="book")

    await asyncio.gather(add(0), add(1))
    found = await load(hub, A, B)
    assert {id: each.version for id, each in found.items()} == {A: 41, B: 41}


# --- changes set aside -------------------------------------------------------------------------------------------

CHILD = RowRef("crm", "public.contact", "9")


def aside(kind: str, row: RowRef = CHILD, **more: Any) -> SetAside:
    return SetAside(row, "contact", kind, AWKWARD, b'{"stream":"s","n":"\\u0000"}', "p1", **more)  # type: ignore[arg-type]


async def may_go_on(hub: Hub, source: str, limit: int) -> list[SetAside]:
    """Of the first `limit` that wait in a source."""
    found, _ = await hub.releasable(source, limit)
    return found


async def released(hub: Hub, limit: int = 10) -> list[tuple[str, str]]:
    return [(kept.row.key, kept.kind) for kept in await may_go_on(hub, "crm", limit)]


async def test_a_deletion_that_is_held_goes_on_only_when_a_person_says_so(hub: Hub) -> None:
    """And what stands behind it waits with it."""
    await commit(hub, set_aside=[aside("brake"), aside("behind")], records=[record(A)], links=[(ACCOUNT, A)])
    assert await released(hub) == []
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        assert [[each.kind for each in found] for found in (await tx.letters([CHILD])).values()] == [
            ["brake", "behind"]
        ]
    assert list(await hub.held_up([CHILD])) == [CHILD]


async def test_rows_of_a_stream_that_stand_for_live_records_are_counted(hub: Hub) -> None:
    retired = record(B)
    retired.retired = True
    others = [RowRef("crm", "public.account", str(number)) for number in (2, 3)]
    links = [(ACCOUNT, A), (others[0], A), (others[1], B), (PARTY, A)]
    await commit(hub, records=[record(A), retired], links=links)
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        assert await tx.live("crm", "public.account") == 2
        assert await tx.live("crm", "public.nothing") == 0


async def test_what_waits_for_a_person_goes_on_once_it_is_to_be_tried_again(hub: Hub) -> None:
    await commit(hub, set_aside=[aside("data", awaits=ACCOUNT)], records=[record(A)], links=[(ACCOUNT, A)])
    assert await may_go_on(hub, "crm", 10) == [], "that the row named is known is no reason"
    async with hub.ingest(await hub.lease("crm")) as tx:
        ((letter,),) = (await tx.letters([CHILD])).values()
    await commit(hub, retried=[letter.id])
    (found,) = await may_go_on(hub, "crm", 10)
    assert (found.id, found.released) == (letter.id, True)
    found.released = False
    await commit(hub, set_aside=[found])
    assert await may_go_on(hub, "crm", 10) == [], "it was tried in vain"


async def test_a_set_aside_change_blocks_its_row_and_comes_back_whole(hub: Hub) -> None:
    kept = aside("parent", awaits=ACCOUNT, candidates=(A, B))
    await commit(hub, set_aside=[kept], records=[record(A)], links=[(ACCOUNT, A)])
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        letters = await tx.letters([CHILD, ACCOUNT, CHILD])
        assert [(row, [each[1:] for each in found]) for row, found in letters.items()] == [
            (CHILD, [("parent", "p1", False, ACCOUNT)])
        ]
        assert await tx.letters([]) == {}
    (found,) = await may_go_on(hub, "crm", 10)
    kept.id = found.id
    assert found == kept
    await commit(hub, released=[found.id])
    assert await released(hub) == []
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        assert await tx.letters([CHILD]) == {}


async def test_an_unreadable_value_holds_up_nothing_and_is_tried_again_when_a_person_says_so(hub: Hub) -> None:
    await commit(hub, set_aside=[aside("unreadable"), aside("parent", awaits=ACCOUNT, moves=True), aside("behind")])
    assert await released(hub) == []
    await commit(hub, records=[record(A)], links=[(ACCOUNT, A)])
    assert await released(hub) == [("9", "parent"), ("9", "behind")]
    async with hub.ingest(await hub.lease("crm")) as tx:
        letters = await tx.letters([CHILD])
    assert [(each.kind, each.moves, each.blocks) for each in letters[CHILD]] == [
        ("unreadable", False, False),
        ("parent", True, True),
        ("behind", False, True),
    ]


async def test_what_waits_is_released_when_its_row_is_linked_with_all_that_stands_behind(hub: Hub) -> None:
    waiting = aside("reference", awaits=ACCOUNT)
    other = RowRef("crm", "public.contact", "10")
    await commit(hub, set_aside=[waiting, aside("behind"), aside("data", other), aside("behind", other)])
    assert await released(hub) == []
    await commit(hub, records=[record(A)], links=[(ACCOUNT, A)])
    assert await released(hub) == [("9", "reference"), ("9", "behind")]
    assert await released(hub, 1) == [("9", "reference")]
    assert await may_go_on(hub, "erp", 10) == []


async def test_what_waits_is_looked_through_page_by_page(hub: Hub) -> None:
    third = RowRef("crm", "public.account", "3")
    stuck, other = RowRef("crm", "public.contact", "10"), RowRef("crm", "public.contact", "11")
    waiting = [
        aside("parent", stuck, awaits=third),
        aside("data", other),
        aside("parent", awaits=ACCOUNT),
        *(aside("behind", row) for row in (stuck, CHILD, other, CHILD)),
    ]
    await commit(hub, set_aside=waiting, records=[record(A)], links=[(ACCOUNT, A)])
    pages = []
    after: int | None = 0
    while after is not None:
        found, after = await hub.releasable("crm", 2, after)
        pages.append([(kept.row.key, kept.kind) for kept in found])
        await commit(hub, released=[kept.id for kept in found])
    assert pages == [[("9", "parent")], [("9", "behind")], [("9", "behind")], []]
    await commit(hub, records=[record(B)], links=[(third, B)])
    assert await released(hub) == [("10", "parent"), ("10", "behind")]


async def test_no_page_lets_a_change_overtake_one_of_its_row_that_became_ready_meanwhile(hub: Hub) -> None:
    other = RowRef("crm", "public.contact", "10")
    await commit(hub, set_aside=[aside("parent", awaits=ACCOUNT), aside("data", other), aside("behind")])
    found, after = await hub.releasable("crm", 1)
    assert found == []
    assert after is not None
    await commit(hub, records=[record(A)], links=[(ACCOUNT, A)])
    assert (await hub.releasable("crm", 1, after))[0] == []
    assert await released(hub) == [("9", "parent"), ("9", "behind")]


async def test_a_change_that_still_waits_holds_up_those_behind_it(hub: Hub) -> None:
    third = RowRef("crm", "public.account", "3")
    first, second = aside("parent", awaits=ACCOUNT), aside("reference", awaits=third)
    await commit(hub, set_aside=[first, aside("behind"), second, aside("behind")])
    await commit(hub, records=[record(A)], links=[(ACCOUNT, A)])
    assert await released(hub) == [("9", "parent"), ("9", "behind")]


async def test_who_holds_up_a_row_is_told_by_its_first_letter(hub: Hub) -> None:
    other = CHILD._replace(key="77")
    await commit(hub, set_aside=[aside("unreadable", other), aside("data"), aside("behind")])
    async with hub.ingest(await hub.lease("crm")) as tx:
        letters = (await tx.letters([CHILD]))[CHILD]
    assert await hub.held_up([CHILD, other, ACCOUNT]) == {CHILD: letters[0].id}
    assert await hub.held_up([]) == {}


async def test_a_change_set_aside_again_keeps_its_place(hub: Hub) -> None:
    await commit(hub, set_aside=[aside("parent", awaits=ACCOUNT), aside("behind")])
    await commit(hub, records=[record(A)], links=[(ACCOUNT, A)])
    first, _ = await may_go_on(hub, "crm", 10)
    await commit(hub, set_aside=[aside("data", id=first.id)])
    assert await released(hub) == []
    await commit(hub, released=[first.id])
    assert await released(hub) == [("9", "behind")]


# --- deliveries --------------------------------------------------------------------------------------------------


async def due(hub: Hub, target: str = "erp") -> list[str]:
    return [claim.record.id for claim in await hub.claim(target, 10)]


async def test_claims_show_the_record_and_lock_nothing(hub: Hub) -> None:
    stored = record(A, said(ACCOUNT, name="x"), name="x")
    await commit(hub, records=[stored, record(B)], dirty=[("erp", A), ("billing", B)])
    (claim,) = await hub.claim("erp", 10)
    assert (claim.record, claim.attempts, claim.last_result) == (stored, 0, "")
    assert await due(hub) == [A]
    assert await due(hub, "billing") == [B]
    assert await hub.claim("nobody", 10) == []
    await hub.settle("erp", [settled(claim)])
    assert await due(hub) == []
    assert await due(hub, "billing") == [B]


async def test_a_claim_shows_what_other_processes_have_made_of_the_record_since(hub: Hub, elsewhere: Hub) -> None:
    assert await hub.claim("erp", 10) == []
    await commit(hub, records=[record(A, said(ACCOUNT), name="one")], dirty=[("erp", A)])
    newer = record(A, said(ACCOUNT), said(PARTY), version=2, name="two")
    await commit(elsewhere, "erp", records=[newer], links=[(PARTY, A)])
    [claim] = await hub.claim("erp", 10)
    assert claim.record == newer, "else a row would be created for it, and it has one"
    await hub.settle("erp", [settled(claim)])
    assert await elsewhere.claim("erp", 10) == []


async def test_a_claim_shows_the_rows_that_other_processes_have_created_since(hub: Hub, elsewhere: Hub) -> None:
    assert await hub.claim("erp", 10) == []
    await commit(hub, records=[record(A, said(ACCOUNT), name="one")], dirty=[("erp", A)])
    [claim] = await elsewhere.claim("erp", 10)
    await elsewhere.settle("erp", [settled(claim, links=(PARTY,), held=[(PARTY, "name", "one")])])
    await commit(elsewhere, "billing", suspect=[("erp", A)])
    [again] = await hub.claim("erp", 10)
    assert [row.ref for row in again.record.rows] == [ACCOUNT, PARTY]


async def test_a_mark_made_after_the_claim_survives_its_settling(hub: Hub) -> None:
    await commit(hub, records=[record(A)], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await commit(hub, records=[record(A, version=2, name="new")], dirty=[("erp", A)])
    await hub.settle("erp", [settled(claim)])
    (again,) = await hub.claim("erp", 10)
    assert again.mark > claim.mark
    assert again.record.golden == {"name": "new"}


async def test_a_suspicion_marks_only_what_is_not_marked(hub: Hub) -> None:
    await commit(hub, records=[record(A), record(B)], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await commit(hub, suspect=[("erp", A), ("erp", B)])
    marks = {each.record.id: each.mark for each in await hub.claim("erp", 10)}
    assert marks[A] == claim.mark
    assert B in marks


async def test_the_shards_of_a_target_are_claimed_apart_and_hold_all_of_it(hub: Hub) -> None:
    ids = [ident(number) for number in range(1, 41)]
    await commit(hub, records=[record(id) for id in ids], dirty=[("erp", id) for id in ids])
    first, *others = sorted(await hub.claim("erp", 100), key=lambda claim: claim.record.id)
    await hub.settle("erp", [settled(first, "retry", delay=0, reason="busy"), *map(settled, others[:20])])
    left = {first.record.id, *(claim.record.id for claim in others[20:])}
    shards = [{each.record.id for each in await hub.claim("erp", 100, [shard])} for shard in SHARDS]
    assert all(len(ids) >= 2 for ids in shards)
    assert sorted(id for ids in shards for id in ids) == sorted(left)
    for shard, found in zip(SHARDS, shards, strict=True):
        assert {shard_of(id) for id in found} == {shard}
    assert {each.record.id for each in await hub.claim("erp", 100, [1, 3])} == shards[1] | shards[3]


async def test_settling_in_one_shard_leaves_the_others_alone(hub: Hub) -> None:
    ids = [ident(number) for number in range(1, 41)]
    await commit(hub, records=[record(id) for id in ids], dirty=[("erp", id) for id in ids])
    await hub.settle("erp", [settled(each) for each in await hub.claim("erp", 100, [0])])
    assert {each.record.id for each in await hub.claim("erp", 100)} == {id for id in ids if shard_of(id) != 0}


async def test_oldest_first(hub: Hub) -> None:
    for id in (B, A, C):
        await commit(hub, records=[record(id)], dirty=[("erp", id)])
    if isinstance(hub, MemoryHub):
        hub.clock = lambda: 1
    assert await due(hub) == [B, A, C]


async def test_what_a_delivery_learnt_is_merged_into_the_record(hub: Hub) -> None:
    await commit(hub, records=[record(A, said(PARTY, name="old", city="x"), name="new")], links=[(PARTY, A)],
                 dirty=[("erp", A)])  # fmt: skip
    (claim,) = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(claim, held=[(PARTY, "name", AWKWARD), (PARTY, "city", "x")])])
    (row,) = (await load(hub, A))[A].rows
    assert row.fields == {"name": "old", "city": "x"}
    assert (row.sent, row.carried) == ({"name": AWKWARD}, {}), "what equals the row's own word is no overlay"
    assert await due(hub) == []


async def test_created_rows_are_linked_and_have_a_contribution(hub: Hub) -> None:
    await commit(hub, records=[record(A, name="x")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(claim, links=[PARTY], held=[(PARTY, "name", "x")])])
    (row,) = (await load(hub, A))[A].rows
    assert (row.ref, row.said, row.base, row.fields, row.sent) == (PARTY, "", Stamp("", None), {}, {"name": "x"})
    assert await hub.keys([A, B], "erp") == {A: [PARTY]}
    assert await hub.keys([A], "crm") == {}
    lease = await hub.lease("erp")
    async with hub.ingest(lease) as tx:
        assert await tx.links([PARTY]) == {PARTY: A}


async def test_settling_twice_changes_nothing_more(hub: Hub) -> None:
    await commit(hub, records=[record(A, name="x")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    settlement = settled(claim, links=[PARTY], held=[(PARTY, "name", "x")])
    await hub.settle("erp", [settlement])
    before = await load(hub, A)
    await hub.settle("erp", [settlement])
    assert await load(hub, A) == before


async def test_settling_merges_into_a_record_that_moved_on(hub: Hub) -> None:
    party, account = said(PARTY, name="old", city="x"), said(ACCOUNT, phone="1")
    await commit(hub, records=[record(A, party, account, name="new")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    newer = said(ACCOUNT, "p2", phone="2")
    await commit(hub, "erp", records=[record(A, party, newer, version=2, name="new")])
    await hub.settle("erp", [settled(claim, held=[(PARTY, "name", "new")], links=[RowRef("erp", "t", "1")])])
    rows = {row.ref: row for row in (await load(hub, A))[A].rows}
    assert rows[PARTY].sent == {"name": "new"}
    assert rows[ACCOUNT].fields == {"phone": "2"}, "the source's newer word was not overwritten"
    assert RowRef("erp", "t", "1") in rows
    assert await due(hub) == [], "nothing that the delivery went by has changed"


async def test_a_newer_word_about_a_written_row_wins_over_what_we_wrote(hub: Hub) -> None:
    await commit(hub, records=[record(A, said(PARTY, name="old"), name="new")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await commit(hub, "erp", records=[record(A, said(PARTY, "p2", name="theirs"), version=2, name="new")])
    await hub.settle("erp", [settled(claim, held=[(PARTY, "name", "new")])])
    found = (await load(hub, A))[A]
    assert found.rows[0].holds("name") == "theirs"
    assert await due(hub) == [A], "the verdict no longer stands, so the record is looked at again"


async def test_a_word_that_may_be_older_or_newer_than_our_write_is_looked_at_again(hub: Hub) -> None:
    await commit(hub, records=[record(A, said(PARTY, name="old", city="x"), name="new")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    repeated = said(PARTY, "p2", name="old", city="y")
    await commit(hub, "erp", records=[record(A, repeated, version=2, name="new")])
    await hub.settle("erp", [settled(claim, held=[(PARTY, "name", "new")])])
    (again,) = await hub.claim("erp", 10)
    assert again.record.rows[0].holds("name") == "old"
    echoed = said(PARTY, "p3", name="old", city="y")
    echoed.carried["name"] = "new"
    await commit(hub, "erp", records=[record(A, echoed, version=3, name="new")])
    await hub.settle("erp", [settled(again, held=[(PARTY, "name", "new")])])
    assert await due(hub) == [], "its source tells the same"


async def test_a_verdict_without_writes_is_looked_at_again_if_the_record_moved_on(hub: Hub) -> None:
    await commit(hub, records=[record(A, said(PARTY, name="x"), name="x")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await commit(hub, "erp", records=[record(A, said(PARTY, "p2", name="y"), name="x")], suspect=[("erp", A)])
    await hub.settle("erp", [settled(claim)])
    (again,) = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(again)])
    assert await due(hub) == []


async def test_a_created_row_that_belongs_to_another_record_meanwhile_stays_there(hub: Hub) -> None:
    await commit(hub, records=[record(A, name="x"), record(B, said(PARTY, name="x"))], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await commit(hub, "erp", links=[(PARTY, B)])
    await hub.settle("erp", [settled(claim, links=[PARTY], held=[(PARTY, "name", "x")])])
    assert (await load(hub, A))[A].rows == []
    lease = await hub.lease("erp")
    async with hub.ingest(lease) as tx:
        assert await tx.links([PARTY]) == {PARTY: B}


async def test_retries_count_equal_attempts_and_come_due_later(hub: Hub) -> None:
    await commit(hub, records=[record(A)], dirty=[("erp", A)])
    for result, attempts in (("a", 0), ("a", 1), ("b", 2), ("b", 1), ("", 2)):
        (claim,) = await hub.claim("erp", 10)
        assert claim.attempts == attempts
        await hub.settle("erp", [settled(claim, "retry", result=result, reason=AWKWARD)])
    (claim,) = await hub.claim("erp", 10)
    assert claim.last_result == ""
    await hub.settle("erp", [settled(claim, "retry", delay=3600.0)])
    assert await due(hub) == []
    await commit(hub, records=[record(A)], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    assert claim.attempts == 0, "a new change is tried at once, from the start"


async def test_a_parked_delivery_stays_until_the_record_changes(hub: Hub) -> None:
    await commit(hub, records=[record(A)], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(claim, "park", reason="why")])
    await commit(hub, suspect=[("erp", A)])
    assert await due(hub) == []
    await commit(hub, dirty=[("erp", A)])
    assert await due(hub) == [A]


@pytest.mark.parametrize("by", ["ingest", "settlement"])
async def test_a_delivery_waits_for_a_key_of_another_record(hub: Hub, by: str) -> None:
    await commit(hub, records=[record(A), record(B)], dirty=[("erp", A), ("billing", A)])
    for target in ("erp", "billing"):
        (claim,) = await hub.claim(target, 10)
        await hub.settle(target, [settled(claim, "wait", awaits=B)])
    assert await due(hub) == await due(hub, "billing") == []
    if by == "ingest":
        await commit(hub, "erp", records=[record(B, said(PARTY))], links=[(PARTY, B)])
    else:
        await commit(hub, records=[record(B)], dirty=[("erp", B)])
        (claim,) = await hub.claim("erp", 10)
        await hub.settle("erp", [settled(claim, links=[PARTY])])
    assert await due(hub) == [A]
    assert await due(hub, "billing") == [], "the key is one in erp"


async def test_what_is_parked_is_due_again_once_its_record_needs_nothing_any_more(hub: Hub) -> None:
    await commit(hub, records=[record(A), record(B)], dirty=[("erp", A), ("erp", B)])
    claims = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(claim, "park", reason="why", result="met") for claim in claims])
    assert await due(hub) == []
    await commit(hub, records=[record(A, version=2)], agreed=[("erp", A), ("crm", A)])
    [claim] = await hub.claim("erp", 10)
    assert (claim.record.id, claim.last_result) == (A, "met")
    await hub.settle("erp", [settled(claim)])
    assert await due(hub) == []


async def test_a_verdict_on_a_record_that_is_another_by_then_parks_nothing(hub: Hub) -> None:
    await commit(hub, records=[record(A)], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await commit(hub, "erp", records=[record(A, said(PARTY), version=2)], links=[(PARTY, A)])
    await hub.settle("erp", [settled(claim, "park", reason="another row holds its key")])
    assert await due(hub) == [A]


async def test_a_key_that_came_before_the_wait_was_settled_is_noticed(hub: Hub) -> None:
    clock = [0]
    if isinstance(hub, MemoryHub):
        hub.clock = lambda: clock[0]
    await commit(hub, records=[record(A), record(B)], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await commit(hub, "erp", records=[record(B, said(PARTY))], links=[(PARTY, B)])
    await hub.settle("erp", [settled(claim, "wait", awaits=B)])
    clock[0] += 1_000_000
    async with within():
        while await due(hub) != [A]:  # noqa: ASYNC110 (the server's clock decides)
            await asyncio.sleep(0.02)


async def test_many_settlements_at_once_each_by_its_own_fate(hub: Hub) -> None:
    ids = [ident(number) for number in range(10, 60)]
    await commit(hub, records=[record(id, name=id) for id in ids], dirty=[("erp", id) for id in ids])
    claims = {claim.record.id: claim for claim in await hub.claim("erp", 100)}
    assert sorted(claims) == ids
    moved = [record(id, said(ACCOUNT, "p2"), version=2, name=id) for id in ids[::3]]
    await commit(hub, records=moved, dirty=[("erp", id) for id in ids[::6]])
    statuses = ("done", "retry", "park", "done")
    settlements = []
    for number, (id, claim) in enumerate(claims.items()):
        row = RowRef("erp", "public.party", id)
        more: dict[str, Any] = {"links": [row], "held": [(row, "name", id)]} if number % 4 == 0 else {}
        settlements.append(settled(claim, statuses[number % 4], **more))
    await hub.settle("erp", settlements)
    fates = {settlement.record: settlement for settlement in settlements}
    remarked = set(ids[::6])
    retried = {id for id, fate in fates.items() if fate.status == "retry"}
    assert set(await _all_due(hub)) == remarked | retried
    for id, found in (await load(hub, *ids)).items():
        created = [row.ref for row in found.rows if row.system == "erp"]
        assert created == list(fates[id].links)
        assert (ACCOUNT in [row.ref for row in found.rows]) == (id in ids[::3])


async def _all_due(hub: Hub) -> list[str]:
    return [claim.record.id for claim in await hub.claim("erp", 100)]


async def test_nothing_to_settle_and_a_record_unknown_are_no_trouble(hub: Hub) -> None:
    await hub.settle("erp", [])
    await hub.settle("erp", [Settlement(A, 1, 1, "done")])


# --- PostgreSQL's own --------------------------------------------------------------------------------------------


async def test_notes_and_counts_of_a_source_are_kept(hub_dsn: str) -> None:
    hub = PostgresHub(hub_dsn)
    await hub.note("crm", "halted", "why")
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(), position="1", rulebook="b", changes=3, echoes=1, state="streaming")
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(), position="2", rulebook="b", changes=4)
    await hub.close()
    assert _faring(hub_dsn) == ("streaming", "", 7, 1)


async def test_words_beside_a_sources_state_come_with_the_commit_that_states_it(hub_dsn: str) -> None:
    hub = PostgresHub(hub_dsn)
    lease = await hub.lease("crm")
    for state, message, stands in (
        ("streaming", "one is parked", "one is parked"),
        (None, "", "one is parked"),
        ("streaming", "", ""),
    ):
        async with hub.ingest(lease) as tx:
            await tx.commit(IngestOutcome(), position="1", rulebook="b", state=state, message=message)
        assert _faring(hub_dsn)[:2] == ("streaming", stands)
    await hub.close()


def _faring(dsn: str) -> tuple[Any, ...]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select state, message, changes, echoes from fieldwarden.source").fetchone()
    assert row is not None
    return row
