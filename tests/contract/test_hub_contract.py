"""What every hub keeps: the same suite against PostgreSQL and the one in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.errors import Fenced, PartitionLost
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.durable import Duplicate, Entry, IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Hub, Lease
from fieldwarden.engine.ports.parts import LOG, Part
from fieldwarden.engine.record import Stamp
from tests.builders import BEGUN
from tests.contract.hub_builder import (
    ACCOUNT,
    AWKWARD,
    PARTY,
    A,
    B,
    C,
    aside,
    commit,
    load,
    log,
    record,
    said,
)

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
    lease = await hub.lease(Lane("crm"))
    assert (await log(hub)).position == AWKWARD
    async with hub.ingest(lease) as tx:
        assert await tx.links([row.ref, ACCOUNT]) == {row.ref: A}
        assert await tx.matches("customer", [("tax_id", AWKWARD), ("tax_id", "y")]) == {("tax_id", AWKWARD): [A]}
        assert await tx.matches("contact", [("tax_id", AWKWARD)]) == {}
        assert await tx.records([A, B]) == {A: stored}
        assert await tx.rows_of("crm", AWKWARD, None, 10) == [row.ref]
    assert await load(hub, A) == {A: stored}


async def test_leaving_without_commit_changes_nothing(hub: Hub) -> None:
    await commit(hub, records=[record(A, name="one")])
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        (await tx.records([A]))[A].golden["name"] = "changed in memory only"
        await tx.saw([ACCOUNT])
    with pytest.raises(ZeroDivisionError):
        async with hub.ingest(lease):
            raise ZeroDivisionError
    assert (await load(hub, A))[A].golden == {"name": "one"}
    assert (await log(hub)).position == "1"


async def test_an_older_lease_can_no_longer_commit(hub: Hub) -> None:
    old = await hub.lease(Lane("crm"))
    new = await hub.lease(Lane("crm"))
    assert new.epoch > old.epoch
    with pytest.raises(Fenced):
        async with hub.ingest(old):
            raise AssertionError("entered")
    async with hub.ingest(new) as tx:
        await tx.commit(IngestOutcome(records=[record(A)]), rulebook="book")
    assert list(await load(hub, A)) == [A]


async def test_whoever_takes_the_part_is_told_the_committed_position_and_none_leaves_it(hub: Hub) -> None:
    assert (await log(hub)).position is None
    await commit(hub, position=None)
    assert (await log(hub)).position is None
    await commit(hub, position="7")
    await commit(hub, position=None)
    assert (await log(hub)).position == "7"
    assert (await log(hub, "erp")).position is None


async def test_an_older_worker_commits_nothing_whether_it_is_known_by_its_lease_or_by_the_part_it_took(
    hub: Hub,
) -> None:
    old, lost = await hub.lease(Lane("crm")), await log(hub)
    new, part = await hub.lease(Lane("crm")), await log(hub)
    for lease, taken, refused in ((old, lost, Fenced), (old, part, Fenced), (new, lost, PartitionLost)):
        with pytest.raises(refused):
            await moved(hub, lease, replace(taken, position="9"), records=[record(A)])
    assert await load(hub, A) == {}
    await moved(hub, new, replace(part, position="8"))
    assert (await log(hub)).position == "8"


async def moved(hub: Hub, lease: Lease, part: Part, **outcome: Any) -> None:
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(**outcome), rulebook="book", parts={LOG: part})


async def test_a_lease_tells_whether_any_part_of_its_source_was_ever_read(hub: Hub) -> None:
    assert not (await hub.lease(Lane("crm"))).begun
    await commit(hub, position=None)
    await commit(hub, "erp")
    assert not (await hub.lease(Lane("crm"))).begun
    assert (await hub.lease(Lane("erp"))).begun
    assert (await hub.lease(Lane("erp", 2))).begun, "its source's parts are every lane's"
    await hub.begin_again("crm", 2, None, BEGUN)
    assert (await hub.lease(Lane("crm"))).begun, "in a baseline before, nothing is known of that"


async def test_a_source_is_read_once_it_has_streamed_until_it_is_read_again(hub: Hub) -> None:
    assert await hub.unread(["crm", "erp"]) == ["crm", "erp"]
    lease = await hub.lease(Lane("crm"))
    for state, unread in (
        ("snapshot", ["crm", "erp"]),
        ("streaming", ["erp"]),
        (None, ["erp"]),
        ("snapshot", ["crm", "erp"]),
        (None, ["crm", "erp"]),
        ("streaming", ["erp"]),
    ):
        async with hub.ingest(lease) as tx:
            await tx.commit(IngestOutcome(), rulebook="book", state=state)
        assert await hub.unread(["crm", "erp"]) == unread
    await hub.note(Lane("erp"), "halted", "why")
    assert await hub.unread(["crm", "erp"]) == ["erp"]
    await hub.note(Lane("crm"), "retrying", "why")
    assert await hub.unread(["crm"]) == []


async def test_a_source_that_will_be_read_again_is_unread_at_once(hub: Hub) -> None:
    await commit(hub, state="streaming")
    lease = await hub.lease(Lane("crm"))
    for name in ("crm", "never leased"):
        assert await hub.begin_again(name, 2, None, BEGUN)
        assert not await hub.begin_again(name, 2, None, BEGUN), "it has begun"
    assert await hub.unread(["crm", "never leased"]) == ["crm", "never leased"]
    with pytest.raises(Fenced):
        async with hub.ingest(lease):
            pass
    for _ in range(2):
        number, part = (await hub.lease(Lane("crm"))).baseline, await log(hub)
        assert (part.position, part.baseline, number) == ("1", 1, 2), "whoever goes on after a crash knows it"
    assert await hub.unread(["crm"]) == ["crm"]
    await commit(hub, position=None)
    assert (await log(hub)).baseline == 1, "until something of it is durable"
    await commit(hub, position="2", state="streaming")
    assert await hub.unread(["crm"]) == []
    part = await log(hub)
    assert (part.position, part.baseline) == ("2", 2)


async def test_links_move_and_go(hub: Hub) -> None:
    await commit(hub, records=[record(A), record(B)], links=[(ACCOUNT, A), (PARTY, A)])
    await commit(hub, links=[(ACCOUNT, B)], unlinks=[PARTY])
    lease = await hub.lease(Lane("crm"))
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
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        asked = [("tax_id", "1"), ("tax_id", "2"), ("name", "x"), ("tax_id", "2")]
        assert await tx.matches("customer", asked) == {("tax_id", "2"): [A, B]}


async def test_rows_of_a_stream_come_in_key_order_page_by_page(hub: Hub) -> None:
    keys = ["", "10", "2", "2\x01", "Z", "a", "É"]
    rows = [RowRef("crm", "s", key) for key in keys]
    await commit(hub, records=[record(A)], links=[(row, A) for row in [*rows, RowRef("crm", "t", "1"), PARTY]])
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        first = await tx.rows_of("crm", "s", None, 3)
        rest = await tx.rows_of("crm", "s", first[-1].key, 9)
    assert [row.key for row in first + rest] == sorted(keys)


async def test_a_reread_finds_what_it_did_not_see(hub: Hub) -> None:
    one, two, three = (RowRef("crm", "s", str(number)) for number in (1, 2, 3))
    await commit(hub, records=[record(A)], links=[(one, A), (two, A), (PARTY, A)])
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        await tx.saw([one, one])
        await tx.commit(IngestOutcome(links=[(three, A)]), rulebook="book")
    async with hub.ingest(lease) as tx:
        # `three` was linked after the re-read began: it may be a row of ours that the re-read could not show.
        assert await tx.unseen([one, two, three, PARTY, RowRef("crm", "s", "unknown")]) == {two}
        await tx.saw([two])
        assert await tx.unseen([one, two, three]) == set()
    again = await hub.lease(Lane("crm"))
    async with hub.ingest(again) as tx:
        assert await tx.unseen([one, two, three]) == {one, two, three}, "one that begins anew has seen nothing yet"


async def test_rows_that_are_set_aside_are_missed_too_unless_they_came_since(hub: Hub) -> None:
    before, since = RowRef("crm", AWKWARD, "1"), RowRef("crm", AWKWARD, "2")
    await commit(hub, set_aside=[aside("data", before)])
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        outcome = IngestOutcome(set_aside=[aside("behind", before), aside("data", since)])
        await tx.commit(outcome, rulebook="book")
    async with hub.ingest(lease) as tx:
        assert await tx.rows_of("crm", AWKWARD, None, 10) == [before, since]
        assert await tx.unseen([before, since]) == {before}


async def test_two_sources_commit_side_by_side(hub: Hub) -> None:
    await commit(hub, "crm", records=[record(A), record(B)])
    leases = [await hub.lease(Lane("crm")), await hub.lease(Lane("erp"))]

    async def add(index: int) -> None:
        for _ in range(20):
            async with hub.ingest(leases[index]) as tx:
                found = await tx.records([B, A])
                for each in found.values():
                    each.version += 1
                entries = [Entry(each.id, each.version, b"{}") for each in found.values()]
                outcome = IngestOutcome(records=list(found.values()), entries=entries, dirty=[("billing", A)])
                await tx.commit(outcome, rulebook="book")

    await asyncio.gather(add(0), add(1))
    found = await load(hub, A, B)
    assert {id: each.version for id, each in found.items()} == {A: 41, B: 41}


# --- PostgreSQL's own --------------------------------------------------------------------------------------------


async def test_notes_and_counts_of_a_source_are_kept(hub_dsn: str) -> None:
    hub = PostgresHub(hub_dsn)
    await hub.note(Lane("crm"), "halted", "why")
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(), rulebook="b", changes=3, echoes=1, state="streaming")
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(), rulebook="b", changes=4)
    await hub.close()
    assert _faring(hub_dsn) == ("streaming", "", 7, 1)


async def test_words_beside_a_sources_state_come_with_the_commit_that_states_it(hub_dsn: str) -> None:
    hub = PostgresHub(hub_dsn)
    lease = await hub.lease(Lane("crm"))
    for state, message, stands in (
        ("streaming", "one is parked", "one is parked"),
        (None, "", "one is parked"),
        ("streaming", "", ""),
    ):
        async with hub.ingest(lease) as tx:
            await tx.commit(IngestOutcome(), rulebook="b", state=state, message=message)
        assert _faring(hub_dsn)[:2] == ("streaming", stands)
    await hub.close()


def _faring(dsn: str) -> tuple[Any, ...]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select state, message, changes, echoes from fieldwarden.source").fetchone()
    assert row is not None
    return row
