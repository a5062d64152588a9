"""What every hub keeps of a source's parts and of those who share them: lanes, rekeys, and our own transactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.errors import Fenced, IdentityMoved, PartitionLost
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.ports.durable import Entry, IngestOutcome, Rekey
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import AT_ONCE, NO_PARTS, Hub, Lease
from fieldwarden.engine.ports.parts import LOG, Baseline, Part
from fieldwarden.engine.testing import MemoryHub
from tests.builders import BEGUN
from tests.contract.hub_builder import A, B, may_go_on, record

P0, P1 = "crm.public.account/0", "crm.public.account/1"
OLD, NEW = RowRef("crm", "public.account", "1"), RowRef("crm", "public.account", "2")


async def commit(hub: Hub, lease: Lease, parts: Mapping[str, Part] = NO_PARTS, **outcome: Any) -> None:
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(**outcome), rulebook="book", parts=parts)


async def rows(hub: PostgresHub, query: str) -> list[Any]:
    async with hub._reading.transaction() as connection:
        return await (await connection.execute(query.encode())).fetchall()


def waiting(row: RowRef) -> SetAside:
    return SetAside(row, "customer", "rekey", "its key is not known yet", b"{}", "5", awaits=row)


async def test_a_partition_is_taken_with_the_position_at_which_it_was_left(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    taken = await hub.take("crm", [P0, P1])
    assert {name: part.position for name, part in taken.items()} == {P0: None, P1: None}
    await commit(hub, lease, {P0: Part(taken[P0].epoch, "0007")})
    again = await hub.take("crm", [P0])
    assert again[P0].position == "0007"
    assert again[P0].epoch > taken[P0].epoch
    assert (await hub.take("erp", [P0]))[P0].position is None


async def test_whoever_lost_a_partition_commits_nothing_at_all(hub: Hub) -> None:
    zombie = await hub.lease(Lane("crm", 1))
    lost = await hub.take("crm", [P0, P1])
    taken = await hub.take("crm", [P1])
    moved = {name: Part(part.epoch, "0009") for name, part in lost.items()}
    with pytest.raises(PartitionLost):
        await commit(hub, zombie, moved, records=[record(A)])
    async with hub.ingest(zombie) as tx:
        assert await tx.records([A]) == {}
    await commit(hub, zombie, {P0: Part(lost[P0].epoch, "0003")})
    await commit(hub, await hub.lease(Lane("crm", 2)), {P1: Part(taken[P1].epoch, "0004")})
    assert {name: part.position for name, part in (await hub.take("crm", [P0, P1])).items()} == {
        P0: "0003",
        P1: "0004",
    }


async def test_what_is_said_of_a_partition_stands_until_something_else_is_said_by_whoever_reads_it(hub: Hub) -> None:
    async def message() -> str:
        if isinstance(hub, PostgresHub):
            [(found,)] = await rows(hub, "select message from partition")
            return str(found)
        return str(hub.partitions["crm", P0].message)  # type: ignore[attr-defined]

    lease = await hub.lease(Lane("crm", 1))
    lost = (await hub.take("crm", [P0]))[P0].epoch
    await commit(hub, lease, {P0: Part(lost, None, "a column is gone")})
    await commit(hub, lease, {P0: Part(lost, "0002")})
    assert await message() == "a column is gone"
    part = (await hub.take("crm", [P0]))[P0]
    await commit(hub, lease, {P0: Part(part.epoch, None, "")})
    with pytest.raises(PartitionLost):
        await commit(hub, lease, {P0: Part(lost, None, "it is still gone")})
    assert await message() == ""
    assert part.position == "0002"


async def test_lanes_of_one_source_do_not_fence_each_other_but_a_lane_fences_itself(hub: Hub) -> None:
    first, second = await hub.lease(Lane("crm", 1)), await hub.lease(Lane("crm", 2))
    await commit(hub, first)
    await commit(hub, second)
    await hub.lease(Lane("crm", 1))
    with pytest.raises(Fenced):
        await commit(hub, first)
    await commit(hub, second)


async def test_each_lane_has_a_chain_of_its_own(hub: Hub) -> None:
    for number, worker in enumerate((1, 2, 1)):
        await commit(hub, await hub.lease(Lane("crm", worker)), entries=[Entry(A, number + 1, b'{"n":1}')])
    heights = [(block.lane, block.height) for block in hub.blocks] if isinstance(hub, MemoryHub) else None
    assert heights in (None, [("crm#1", 0), ("crm#2", 0), ("crm#1", 1)])


async def test_a_source_of_partitions_is_read_once_each_has_come_to_the_end_of_its_first_rows(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    taken = await hub.take("crm", [P0, P1])
    await commit(hub, lease, {P0: Part(taken[P0].epoch, "0002")})
    assert await hub.unread(["crm"]) == ["crm"]
    await hub.read_until("crm", {P0: "0002", P1: "0005"})
    assert await hub.unread(["crm"]) == ["crm"]
    await commit(hub, lease, {P1: Part(taken[P1].epoch, "0005")})
    assert await hub.unread(["crm", "erp"]) == ["erp"]
    await hub.read_until("crm", {P0: "0099"})
    assert await hub.unread(["crm"]) == []
    await hub.begin_again("crm", 2, {}, BEGUN)
    assert await hub.unread(["crm"]) == ["crm"]
    await hub.read_until("crm", {}, 2)
    await hub.swept("crm", 2)
    assert await hub.unread(["crm"]) == []


async def test_a_partition_that_nobody_has_taken_yet_holds_up_the_reading_too(hub: Hub) -> None:
    await hub.read_until("crm", {P1: "0001"})
    assert await hub.unread(["crm"]) == ["crm"]
    part = (await hub.take("crm", [P1]))[P1]
    await commit(hub, await hub.lease(Lane("crm", 1)), {P1: Part(part.epoch, "0001")})
    assert await hub.unread(["crm"]) == []


async def test_a_stream_that_is_mapped_once_the_others_are_read_is_not_read_with_them(hub: Hub) -> None:
    both = {"crm": ["public.account", "public.contact"], "erp": ["public.party"]}
    await hub.read_until("crm", {}, 1, ["public.account"])
    assert (await hub.baseline("crm")).streams == ("public.account",)
    assert await hub.unread(["crm"]) == []
    assert await hub.unread(["crm"], {"crm": ["public.account"]}) == []
    assert await hub.unread(["crm", "erp"], both) == ["crm", "erp"]
    await hub.read_until("crm", {}, 1, both["crm"])
    assert await hub.unread(["crm"], both) == ["crm"], "it takes more than a word"
    await hub.begin_again("crm", 2, {}, BEGUN)
    await hub.read_until("crm", {}, 2, both["crm"])
    await hub.swept("crm", 2)
    assert await hub.unread(["crm"], both) == []


async def test_a_hub_that_has_not_noted_the_streams_goes_on_and_notes_those_it_is_told_of_next(hub: Hub) -> None:
    await hub.read_until("crm", {})
    assert await hub.unread(["crm"], {"crm": ["public.account"]}) == []
    await hub.read_until("crm", {}, 7, ["public.contact"])
    await hub.read_until("crm", {}, 1, ["public.account"])
    assert (await hub.baseline("crm")).streams == ("public.account",)
    assert await hub.unread(["crm"], {"crm": ["public.account", "public.contact"]}) == ["crm"]


async def test_a_source_that_reads_its_rows_by_itself_since_looks_after_its_streams_itself(hub: Hub) -> None:
    await hub.read_until("crm", {}, 1, ["public.account"])
    await hub.begin_again("crm", 2, None, BEGUN)
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(), rulebook="book", state="streaming")
    assert await hub.unread(["crm"], {"crm": ["public.contact"]}) == []


async def test_our_own_transactions_are_known_by_system_and_name(hub: Hub) -> None:
    await hub.announce("crm", "812", 5_000_000)
    await hub.announce("crm", "812", 6_000_000)
    async with hub.ingest(await hub.lease(Lane("crm", 1))) as tx:
        assert await tx.announced("crm", ["811", "812"]) == {"812": 6_000_000}
        assert await tx.announced("erp", ["812"]) == {}


async def test_our_own_transactions_are_forgotten_once_no_stream_can_still_bring_them(hub: Hub) -> None:
    await hub.announce("crm", "1", 0)
    await hub.announce("crm", "2", 40 * 86_400_000_000)
    async with hub.ingest(await hub.lease(Lane("crm", 1))) as tx:
        assert list(await tx.announced("crm", ["1", "2"])) == ["2"]


async def test_what_waits_for_a_rekey_goes_on_when_it_is_told_and_only_once(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    await commit(hub, lease, set_aside=[waiting(NEW)])
    assert await may_go_on(hub, "crm", 10) == []
    await commit(hub, lease, rekeyed=[Rekey(OLD, NEW, "0007", True)])
    [kept] = await may_go_on(hub, "crm", 10)
    async with hub.ingest(lease) as tx:
        assert await tx.rekeyed([OLD, NEW]) == {NEW}
        assert await tx.departed([OLD, NEW]) == {OLD: "0007"}
        assert await tx.still_aside([kept.id, kept.id + 1]) == {kept.id}
        await tx.commit(IngestOutcome(arrived=[NEW], released=[kept.id]), rulebook="book")
    async with hub.ingest(lease) as tx:
        assert await tx.rekeyed([NEW]) == set()
        assert await tx.departed([OLD]) == {OLD: "0007"}
        assert await tx.still_aside([kept.id]) == set()


async def test_a_new_baseline_takes_every_partition_away_and_is_told_only_by_its_own_number(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    taken = await hub.take("crm", [P0, P1])
    await hub.read_until("crm", {P0: "0005", P1: "0005"})
    assert await hub.baseline("crm") == Baseline(1, True, True)
    assert await hub.begin_again("crm", 2, {P0: "1.7"}, BEGUN)
    assert await hub.baseline("crm") == Baseline(2, False, False, parts={P0: 2})
    with pytest.raises(Fenced):
        await commit(hub, lease)
    lease = await hub.lease(Lane("crm", 1))
    assert (lease.baseline, (await hub.lease(Lane("crm", 2))).baseline) == (2, 2), "every lane's is its source's"
    with pytest.raises(PartitionLost):
        await commit(hub, lease, {P0: Part(taken[P0].epoch, "0009")})
    again = await hub.take("crm", [P0])
    assert again[P0].position == "1.7"
    for number in (1, 0):
        await hub.read_until("crm", {}, number)
        assert await hub.unread(["crm"]) == ["crm"]
    await hub.read_until("crm", {P0: "1.8"}, 2)
    assert await hub.unread(["crm"]) == ["crm"]
    assert not (await hub.baseline("crm")).heard
    await commit(hub, lease, {P0: Part(again[P0].epoch, "1.8")})
    assert (await hub.baseline("crm")).heard, "a partition of the baseline before holds up nothing any more"
    await hub.swept("crm", 1)
    assert not (await hub.baseline("crm")).swept
    assert await hub.unread(["crm"]) == ["crm"], "rows that are gone still look as if they were there"
    await hub.swept("crm", 2)
    assert (await hub.baseline("crm")).swept
    assert await hub.unread(["crm"]) == []


async def test_of_two_that_begin_a_new_baseline_at_once_one_does(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    part = (await hub.take("crm", [P0]))[P0]
    assert await hub.begin_again("crm", 2, {P0: "1.7"}, BEGUN)
    lease, part = await hub.lease(Lane("crm", 1)), (await hub.take("crm", [P0]))[P0]
    for number in (2, 1):
        assert not await hub.begin_again("crm", number, {P0: "1.9"}, BEGUN)
    await commit(hub, lease, {P0: Part(part.epoch, "1.8")})
    assert (await hub.take("crm", [P0]))[P0].position == "1.8"
    assert await hub.baseline("crm") == Baseline(2, False, False, parts={P0: 2})
    assert await hub.begin_again("crm", 3, {P0: "2.1"}, BEGUN)


async def test_once_a_baseline_is_swept_nothing_is_unseen_any_more_for_whoever_still_looks(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    await commit(hub, lease, records=[record(A), record(B)], links=[(OLD, A), (NEW, B)])
    await hub.begin_again("crm", 2, {}, BEGUN)
    await hub.read_until("crm", {}, 2)
    lease = await hub.lease(Lane("crm", 1))
    async with hub.ingest(lease) as tx:
        assert await tx.unseen([OLD, NEW]) == {OLD, NEW}
        await tx.saw([OLD, NEW])
        await tx.commit(IngestOutcome(), rulebook="book")
    await hub.swept("crm", 2)
    async with hub.ingest(lease) as tx:
        assert await tx.unseen([OLD, NEW]) == set()
    assert not (await rows(hub, "select from seen") if isinstance(hub, PostgresHub) else hub.seen)  # type: ignore[attr-defined]
    await hub.begin_again("crm", 3, {}, BEGUN)
    async with hub.ingest(await hub.lease(Lane("crm", 1))) as tx:
        assert await tx.unseen([OLD, NEW]) == {OLD, NEW}


async def test_whoever_sees_a_row_learns_whether_somebody_has_done_so_before(hub: Hub) -> None:
    first, second = await hub.lease(Lane("crm", 1)), await hub.lease(Lane("crm", 2))
    async with hub.ingest(first) as tx:
        assert await tx.saw([OLD]) == {OLD}
        await tx.commit(IngestOutcome(), rulebook="book")
    async with hub.ingest(second) as tx:
        assert await tx.saw([OLD, NEW]) == {NEW}


async def test_what_is_ambiguous_in_one_source_may_be_considered_again(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    elsewhere = RowRef("erp", "public.party", "1")
    kinds = {OLD: "ambiguous", NEW: "data", elsewhere: "ambiguous"}
    aside = [SetAside(row, "customer", kind, "", b"{}", "5") for row, kind in kinds.items()]  # type: ignore[arg-type]
    await commit(hub, lease, set_aside=aside)
    assert await may_go_on(hub, "crm", 10) == []
    await hub.reconsider("crm")
    [kept] = await may_go_on(hub, "crm", 10)
    assert (kept.row, kept.released) == (OLD, True)
    assert await may_go_on(hub, "erp", 10) == []
    await commit(hub, lease, set_aside=[kept])
    assert await may_go_on(hub, "crm", 10) == [], "tried in vain, it waits for a person again"


async def test_a_baseline_that_was_left_half_done_holds_up_nothing_once_its_source_reads_all_rows_by_itself(
    hub: Hub,
) -> None:
    await hub.begin_again("crm", 2, {P0: "1.7"}, BEGUN)
    await hub.read_until("crm", {P0: "1.8"}, 2)
    await hub.begin_again("crm", 3, None, BEGUN)
    direct = await hub.lease(Lane("crm"))
    async with hub.ingest(direct) as tx:
        await tx.commit(IngestOutcome(), rulebook="book", state="streaming")
    assert await hub.unread(["crm"]) == []


async def test_whoever_reads_a_system_can_tell_which_parts_were_read_and_in_which_baseline(hub: Hub) -> None:
    lease, _ = await hub.lease(Lane("crm", 1)), await hub.lease(Lane("crm"))
    taken = await hub.take("crm", [P0, P1])
    await commit(hub, lease, {P0: Part(taken[P0].epoch, None, "it stands still")})
    assert (await hub.baseline("crm")).parts == {}
    await commit(hub, lease, {P0: Part(taken[P0].epoch, "0001")})
    assert (await hub.baseline("crm")).parts == {P0: 1}
    assert (await hub.baseline("erp")).parts == {}
    await hub.begin_again("crm", 2, None, BEGUN)
    assert (await hub.baseline("crm")).parts == {P0: 1}, "its source reads its rows by itself, and has read none"
    lease, taken = await hub.lease(Lane("crm", 1)), await hub.take("crm", [P1])
    await commit(hub, lease, {P1: Part(taken[P1].epoch, "0001")})
    assert (await hub.baseline("crm")).parts == {P0: 1, P1: 2}


async def test_a_new_baseline_forgets_the_parts_that_it_does_not_name(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm"))
    part = (await hub.take("crm", [LOG]))[LOG]
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(), rulebook="book", state="streaming", parts={LOG: replace(part, position="77")})
    assert await hub.baseline("crm") == Baseline(1, True, True, heard=True, parts={LOG: 1})
    await hub.begin_again("crm", 2, {P0: "2.0"}, BEGUN)
    assert await hub.baseline("crm") == Baseline(2, False, False, parts={P0: 2})
    assert (await hub.take("crm", [LOG]))[LOG].position is None


async def test_what_the_parts_have_told_again_stays_told_for_whoever_goes_on_as_the_only_worker(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm"))
    await commit(hub, lease, records=[record(A), record(B)], links=[(OLD, A), (NEW, B)])
    await hub.begin_again("crm", 2, {P0: "2.0"}, BEGUN)
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        await tx.saw([OLD])
        await tx.commit(IngestOutcome(links=[(CHILD, A)]), rulebook="book")
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        known = [OLD, NEW, CHILD]
        assert await tx.unseen(known) == {NEW}, "the one was seen, and the other was created since"


async def test_what_was_decided_without_knowing_of_another_lanes_record_is_not_committed(hub: Hub) -> None:
    first, second = await hub.lease(Lane("crm", 1)), await hub.lease(Lane("crm", 2))
    pair = ("tax_id", "X")
    unknown: dict[str, Any] = {"customer": {pair: ()}}
    mine: dict[str, Any] = {"records": [record(A)], "match_keys": {A: ("customer", [pair])}, "asked": unknown}
    await commit(hub, first, **mine)
    with pytest.raises(IdentityMoved):
        await commit(hub, second, records=[record(B)], match_keys={B: ("customer", [pair])}, asked=unknown)
    async with hub.ingest(second) as tx:
        assert await tx.records([B]) == {}
    await commit(hub, second, asked={"customer": {pair: (A,), ("tax_id", "Y"): ()}})


CHILD = RowRef("crm", "public.contact", "9")


def named(row: RowRef, kind: Any = "parent") -> SetAside:
    return SetAside(CHILD, "contact", kind, "its parent row is not known yet", b"{}", "5", awaits=row)


async def test_what_names_a_row_by_a_key_given_up_goes_on_once_the_row_is_linked_under_a_later_one(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    last = RowRef("crm", "public.account", "3")
    await commit(hub, lease, set_aside=[named(OLD)], rekeyed=[Rekey(OLD, NEW, "7", True), Rekey(last, OLD, "1", True)])
    assert await may_go_on(hub, "crm", 10) == []
    await commit(hub, lease, rekeyed=[Rekey(NEW, last, "8", True)], records=[record(A)], links=[(last, A)])
    [kept] = await may_go_on(hub, "crm", 10)
    assert kept.awaits == OLD
    assert not kept.released
    async with hub.ingest(lease) as tx:
        assert await tx.next_keys([OLD, CHILD, last]) == {OLD: NEW, last: OLD}


async def test_keys_given_up_in_a_circle_lead_nowhere(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    circle = [Rekey(OLD, NEW, "7", True), Rekey(NEW, OLD, "8", True)]
    await commit(hub, lease, set_aside=[named(OLD, "reference")], rekeyed=circle)
    assert await may_go_on(hub, "crm", 10) == []


async def test_set_aside_changes_come_by_bytes_and_at_least_one_at_a_time(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    sizes = (AT_ONCE + 1, AT_ONCE // 2 + 1, AT_ONCE // 2 + 1, 1)
    rows = [RowRef("crm", "public.account", str(number)) for number in range(len(sizes))]
    for row, size in zip(rows, sizes, strict=True):
        large = SetAside(row, "customer", "behind", "", b'"%b"' % (b"x" * size), "5")
        await commit(hub, lease, set_aside=[large])
    taken = []
    while found := await may_go_on(hub, "crm", 10):
        taken.append([kept.row for kept in found])
        await commit(hub, lease, released=[kept.id for kept in found])
    assert taken == [rows[:1], rows[1:3], rows[3:]]


async def test_a_part_without_a_position_is_fenced_and_stays_where_it_is(hub: Hub) -> None:
    lease = await hub.lease(Lane("crm", 1))
    part = (await hub.take("crm", [P0]))[P0]
    await commit(hub, lease, {P0: Part(part.epoch, "0007")})
    await commit(hub, lease, {P0: Part(part.epoch, None)})
    assert (await hub.take("crm", [P0]))[P0].position == "0007"
    with pytest.raises(PartitionLost):
        await commit(hub, lease, {P0: Part(part.epoch, None)}, records=[record(A)])
