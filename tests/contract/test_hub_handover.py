"""What stands behind another record's row, and when it is due again: the same suite against both hubs."""

from __future__ import annotations

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.ports.hub import Hub
from tests.contract.hub_builder import PARTY, A, B, C, commit, due, record, said, settled


async def parked_behind_another(hub: Hub) -> int:
    """A is parked behind B, which has a row in erp; the revision of B."""
    await commit(hub, records=[record(A), record(C)], dirty=[("erp", A), ("erp", C)])
    await commit(hub, "erp", records=[record(B, said(PARTY))], links=[(PARTY, B)])
    ((_, revision),) = (await hub.standing_for([PARTY])).values()
    one, other = sorted(await hub.claim("erp", 10), key=lambda claim: claim.record.id)
    await hub.settle("erp", [settled(one, "park", reason="B has it", awaits=B, awaits_at=revision), settled(other)])
    assert await due(hub) == []
    return revision


async def test_the_records_behind_rows_are_told_as_they_are_now(hub: Hub) -> None:
    await commit(hub, "erp", records=[record(B, said(PARTY, name="x"))], links=[(PARTY, B)])
    found = await hub.standing_for([PARTY, RowRef("erp", "public.party", "unknown")])
    assert found.keys() == {PARTY}
    assert (found[PARTY][0].id, found[PARTY][0].rows[0].fields) == (B, {"name": "x"})
    assert await hub.standing_for([]) == {}


async def test_what_is_parked_behind_a_record_is_due_once_a_delivery_to_that_frees_what_it_held(hub: Hub) -> None:
    await parked_behind_another(hub)
    await commit(hub, records=[record(B, said(PARTY), version=2)], dirty=[("erp", B)])
    (claim,) = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(claim)])
    assert await due(hub) == [], "nothing was written"
    await commit(hub, records=[record(B, said(PARTY), version=3)], dirty=[("erp", B)])
    (claim,) = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(claim, frees=True)])
    assert await due(hub) == [A]


async def test_what_is_parked_behind_a_record_is_due_once_its_system_tells_of_that(hub: Hub) -> None:
    await parked_behind_another(hub)
    await commit(hub, "erp", records=[record(B, version=2)], agreed=[("erp", B)])
    assert await due(hub) == [A]


async def test_what_has_moved_since_it_stood_in_the_way_parks_nothing(hub: Hub) -> None:
    await commit(hub, records=[record(A)], dirty=[("erp", A)])
    await commit(hub, "erp", records=[record(B, said(PARTY))], links=[(PARTY, B)])
    ((_, revision),) = (await hub.standing_for([PARTY])).values()
    (claim,) = await hub.claim("erp", 10)
    await commit(hub, "erp", records=[record(B, version=2)])
    await hub.settle("erp", [settled(claim, "park", reason="B has it", awaits=B, awaits_at=revision)])
    assert await due(hub) == [A]
