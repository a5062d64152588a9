"""What every hub does about deliveries: what is due, what is claimed, and what comes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.duties import SHARDS, Lane, shard_of
from fieldwarden.engine.ports.hub import Hub, Settlement
from fieldwarden.engine.record import Stamp
from fieldwarden.engine.testing import MemoryHub
from tests.contract.hub_builder import (
    ACCOUNT,
    AWKWARD,
    PARTY,
    A,
    B,
    C,
    commit,
    due,
    ident,
    load,
    record,
    said,
    settled,
)
from tests.patience import until


@pytest.fixture
async def elsewhere(hub: Hub, request: pytest.FixtureRequest) -> AsyncIterator[Hub]:
    """The same hub as another process has it."""
    other: Hub = PostgresHub(request.getfixturevalue("hub_dsn")) if isinstance(hub, PostgresHub) else hub
    yield other
    await other.close()


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
    await elsewhere.settle("erp", [settled(claim, links=(PARTY,), learnt=[(PARTY, "name", "one")])])
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
    await hub.settle("erp", [settled(claim, learnt=[(PARTY, "name", AWKWARD), (PARTY, "city", "x")])])
    (row,) = (await load(hub, A))[A].rows
    assert row.fields == {"name": "old", "city": "x"}
    assert (row.sent, row.carried) == ({"name": AWKWARD}, {}), "what equals the row's own word is no overlay"
    assert await due(hub) == []


async def test_created_rows_are_linked_and_have_a_contribution(hub: Hub) -> None:
    await commit(hub, records=[record(A, name="x")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(claim, links=[PARTY], learnt=[(PARTY, "name", "x")])])
    (row,) = (await load(hub, A))[A].rows
    assert (row.ref, row.said, row.base, row.fields, row.sent) == (PARTY, "", Stamp("", None), {}, {"name": "x"})
    assert await hub.keys([A, B], "erp") == {A: [PARTY]}
    assert await hub.keys([A], "crm") == {}
    lease = await hub.lease(Lane("erp"))
    async with hub.ingest(lease) as tx:
        assert await tx.links([PARTY]) == {PARTY: A}


async def test_settling_twice_changes_nothing_more(hub: Hub) -> None:
    await commit(hub, records=[record(A, name="x")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    settlement = settled(claim, links=[PARTY], learnt=[(PARTY, "name", "x")])
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
    await hub.settle("erp", [settled(claim, learnt=[(PARTY, "name", "new")], links=[RowRef("erp", "t", "1")])])
    rows = {row.ref: row for row in (await load(hub, A))[A].rows}
    assert rows[PARTY].sent == {"name": "new"}
    assert rows[ACCOUNT].fields == {"phone": "2"}, "the source's newer word was not overwritten"
    assert RowRef("erp", "t", "1") in rows
    assert await due(hub) == [], "nothing that the delivery went by has changed"


async def test_a_newer_word_about_a_written_row_wins_over_what_we_wrote(hub: Hub) -> None:
    await commit(hub, records=[record(A, said(PARTY, name="old"), name="new")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await commit(hub, "erp", records=[record(A, said(PARTY, "p2", name="theirs"), version=2, name="new")])
    await hub.settle("erp", [settled(claim, learnt=[(PARTY, "name", "new")])])
    found = (await load(hub, A))[A]
    assert found.rows[0].holds("name") == "theirs"
    assert await due(hub) == [A], "the verdict no longer stands, so the record is looked at again"


async def test_a_word_that_may_be_older_or_newer_than_our_write_is_looked_at_again(hub: Hub) -> None:
    await commit(hub, records=[record(A, said(PARTY, name="old", city="x"), name="new")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    repeated = said(PARTY, "p2", name="old", city="y")
    await commit(hub, "erp", records=[record(A, repeated, version=2, name="new")])
    await hub.settle("erp", [settled(claim, learnt=[(PARTY, "name", "new")])])
    (again,) = await hub.claim("erp", 10)
    assert again.record.rows[0].holds("name") == "old"
    echoed = said(PARTY, "p3", name="old", city="y")
    echoed.carried["name"] = "new"
    await commit(hub, "erp", records=[record(A, echoed, version=3, name="new")])
    await hub.settle("erp", [settled(again, learnt=[(PARTY, "name", "new")])])
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
    await hub.settle("erp", [settled(claim, links=[PARTY], learnt=[(PARTY, "name", "x")])])
    assert (await load(hub, A))[A].rows == []
    lease = await hub.lease(Lane("erp"))
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

    async def is_due() -> bool:
        return await due(hub) == [A]

    await until(is_due, "the delivery, by the server's clock")


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
        more: dict[str, Any] = {"links": [row], "learnt": [(row, "name", id)]} if number % 4 == 0 else {}
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
