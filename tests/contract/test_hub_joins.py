"""Records that became one, in every hub: the suite against PostgreSQL and the one in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.ports.durable import AlikePair, Join
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import MANY_ALIKE, Hub
from fieldwarden.engine.record import Record
from tests.contract.hub_builder import ACCOUNT, PARTY, A, B, C, commit, ident, load, record, said, settled

TAX = ("tax_id", "1")


def keyed(*ids: str) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    return {id: ("customer", [TAX]) for id in ids}


def emptied(gone: Record) -> Record:
    return Record(gone.id, gone.entity, gone.version + 1, {}, [], retired=True)


async def joined(hub: Hub) -> None:
    """B turned out to be A."""
    await commit(hub, records=[record(A, said(ACCOUNT)), record(B, said(PARTY))], links=[(ACCOUNT, A), (PARTY, B)])
    await commit(
        hub,
        records=[record(A, said(ACCOUNT), said(PARTY)), emptied(record(B))],
        links=[(PARTY, A)],
        joined=[Join("customer", B, A, (PARTY,))],
    )


async def test_the_id_of_a_joined_record_stands_for_the_one_that_goes_on(hub: Hub) -> None:
    await joined(hub)
    assert await hub.keys([B, C], "erp") == {B: [PARTY]}
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        assert tx.joins
        assert await tx.joined([A, B, C]) == {B: A}


async def test_what_was_joined_before_goes_on_with_it(hub: Hub) -> None:
    await commit(hub, records=[record(A), record(B), record(C)])
    await commit(hub, records=[], joined=[Join("customer", C, B, ())])
    await commit(hub, records=[], joined=[Join("customer", B, A, ())])
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        assert await tx.joined([B, C]) == {B: A, C: A}


async def test_nothing_was_joined_in_a_new_hub(hub: Hub) -> None:
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        assert (tx.joins, tx.parted) == (False, False)
        assert (await tx.joined([A]), await tx.apart([A, B])) == ({}, set())


async def test_a_row_created_for_a_record_that_was_joined_meanwhile_is_the_others(hub: Hub) -> None:
    row = RowRef("billing", "public.customer", "9")
    await commit(hub, records=[record(A), record(B, name="x")], dirty=[("billing", B)])
    (claim,) = await hub.claim("billing", 10)
    await commit(hub, records=[record(A, name="x"), emptied(record(B))], joined=[Join("customer", B, A, ())])
    await hub.settle("billing", [settled(claim, links=[row], learnt=[(row, "name", "x")])])
    records = await load(hub, A, B)
    assert [each.ref for each in records[A].rows] == [row]
    assert records[B].rows == []
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        assert await tx.links([row]) == {row: A}


async def test_who_waits_for_a_joined_record_is_due_again(hub: Hub) -> None:
    await commit(hub, records=[record(A), record(B), record(C)], dirty=[("erp", C)])
    (claim,) = await hub.claim("erp", 10)
    await hub.settle("erp", [replace(settled(claim), status="wait", awaits=B)])
    assert await hub.claim("erp", 10) == []
    await commit(hub, records=[], joined=[Join("customer", B, A, ())])
    assert [each.record.id for each in await hub.claim("erp", 10)] == [C]


async def test_pairs_that_several_carry_are_looked_into_once_and_again_when_one_of_them_changes(hub: Hub) -> None:
    pair = AlikePair("customer", *TAX, (A, B))
    await commit(hub, records=[record(A), record(B)], match_keys=keyed(A, B))
    assert await hub.alike(10) == [pair]
    await commit(hub, considered=[pair])
    assert await hub.alike(10) == []
    await commit(hub, records=[record(A)], match_keys=keyed(A))
    assert await hub.alike(10) == [pair]
    await commit(hub, records=[record(A)], match_keys={A: ("customer", [])})
    assert await hub.alike(10) == []


async def test_of_a_value_that_very_many_carry_no_more_are_told_than_it_takes_to_know(hub: Hub) -> None:
    ids = [ident(number) for number in range(1, MANY_ALIKE + 4)]
    await commit(hub, records=[record(id) for id in ids], match_keys=keyed(*ids))
    assert [pair.records for pair in await hub.alike(10)] == [tuple(ids[: MANY_ALIKE + 1])]


@pytest.mark.parametrize("first", [True, False], ids=["comes first", "stands behind"])
async def test_who_is_found_by_the_id_of_a_joined_record_is_to_follow(hub: Hub, first: bool) -> None:
    values = [f"{B}\x1f7", f"{A}\x1f7"] if first else [f"7\x1f{B}", f"7\x1f{A}"]
    pairs = {id: ("invoice", [("key", value)]) for id, value in zip((C, ident(4)), values, strict=True)}
    await commit(hub, records=[record(A), record(B), record(C), record(ident(4))], match_keys=pairs)
    await commit(hub, joined=[Join("customer", B, A, (), (("invoice", "key", B, first),))])
    assert await hub.following(10) == [C]
    await commit(hub, followed=[C])
    assert await hub.following(10) == []
