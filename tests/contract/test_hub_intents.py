"""Writes that are about to be made: durable until their result is settled. The same suite against both hubs."""

from __future__ import annotations

import pytest

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.durable import Join
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.ports.target import Intent
from tests.contract.hub_builder import AWKWARD, PARTY, A, B, C, commit, due, load, record, said, settled


def intent(record: str = A, key: str = "erp/party/1/create") -> Intent:
    return Intent(key, record, "public.party", "create", None, AWKWARD, 3, {"name": AWKWARD, "note": None})


async def claimed(hub: Hub) -> Intent:
    """A and B are due, and A is about to be created."""
    await commit(hub, records=[record(A), record(B)], dirty=[("erp", A), ("erp", B)])
    await hub.intend("erp", [made := intent()])
    return made


async def test_an_intent_is_read_back_as_it_was_by_whoever_comes_next(hub: Hub, request: pytest.FixtureRequest) -> None:
    made = await claimed(hub)
    after: Hub = PostgresHub(request.getfixturevalue("hub_dsn")) if isinstance(hub, PostgresHub) else hub
    assert await after.intents("erp", [A, B]) == {A: [made]}
    assert await after.intents("billing", [A]) == {}
    assert await after.intents("erp", [B]) == {}
    await after.close()


async def test_one_of_the_same_key_stands_in_place_of_the_former(hub: Hub) -> None:
    await claimed(hub)
    again = Intent("erp/party/1/create", A, "public.party", "create", None, None, 4, {"name": "new"})
    await hub.intend("erp", [again])
    assert await hub.intents("erp", [A]) == {A: [again]}


async def test_one_that_is_made_again_for_the_record_that_goes_on_is_that_records(hub: Hub) -> None:
    made = await claimed(hub)
    await commit(hub, records=[record(B), record(C)], joined=[Join("customer", A, B, ())])
    await hub.intend("erp", [again := Intent(made.key, B, made.stream, "create", None, None, 4, {"name": "new"})])
    assert await hub.intents("erp", [B]) == {B: [again]}


async def test_the_settlement_that_names_it_forgets_it_and_no_other_does(hub: Hub) -> None:
    made = await claimed(hub)
    one, other = sorted(await hub.claim("erp", 10), key=lambda claim: claim.record.id)
    await hub.settle("erp", [settled(one, "again"), settled(other)])
    assert await hub.intents("erp", [A]) == {A: [made]}
    (one,) = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(one, links=[PARTY], answered=[made.key])])
    assert await hub.intents("erp", [A]) == {}


async def test_it_is_forgotten_too_where_the_record_has_moved_on_since_it_was_claimed(hub: Hub) -> None:
    made = await claimed(hub)
    (one, _) = sorted(await hub.claim("erp", 10), key=lambda claim: claim.record.id)
    await commit(hub, records=[record(A, version=2, name="newer")], dirty=[("erp", A)])
    await hub.settle("erp", [settled(one, links=[PARTY], answered=[made.key])])
    assert await hub.intents("erp", [A]) == {}


async def test_an_intent_of_a_record_that_was_joined_is_one_of_the_record_that_goes_on(hub: Hub) -> None:
    made = await claimed(hub)
    await commit(hub, records=[record(B), record(C)], joined=[Join("customer", A, B, ())])
    assert await hub.intents("erp", [B, C]) == {B: [made]}


async def test_again_is_no_attempt(hub: Hub) -> None:
    await claimed(hub)
    for status, attempts in (("retry", 0), ("again", 1), ("retry", 1), ("again", 2)):
        claim = next(each for each in await hub.claim("erp", 10) if each.record.id == A)
        assert claim.attempts == attempts
        await hub.settle("erp", [settled(claim, status, result="met" if status == "retry" else "")])
    claim = next(each for each in await hub.claim("erp", 10) if each.record.id == A)
    assert (claim.attempts, claim.last_result) == (2, "met")


async def test_what_is_claimed_already_is_left_out_and_settled_all_the_same(hub: Hub) -> None:
    await commit(hub, records=[record(A), record(B)], dirty=[("erp", A), ("erp", B)])
    await commit(hub, records=[record(C)], dirty=[("erp", C)])
    (first,) = await hub.claim("erp", 1)
    rest = await hub.claim("erp", 10, but=[first.record.id])
    assert sorted([first.record.id, *(each.record.id for each in rest)]) == [A, B, C]
    await hub.settle("erp", [settled(first)])
    assert sorted(await due(hub)) == sorted(each.record.id for each in rest)
    await hub.settle("erp", [settled(each) for each in rest])
    assert await due(hub) == []


async def test_what_the_target_calls_a_rows_version_is_kept_with_the_row(hub: Hub) -> None:
    await commit(hub, "erp", records=[record(A, said(PARTY, name="x"))], links=[(PARTY, A)], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(claim, row_versions={PARTY: '"7"'})])
    assert (await load(hub, A))[A].rows[0].row_version == '"7"'


async def test_the_version_of_a_created_row_is_kept_too(hub: Hub) -> None:
    new = RowRef("erp", "public.party", "P-9")
    await commit(hub, records=[record(A)], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(claim, links=[new], learnt=[(new, "name", "x")], row_versions={new: "1"})])
    (row,) = (await load(hub, A))[A].rows
    assert (row.ref, row.sent, row.row_version) == (new, {"name": "x"}, "1")
