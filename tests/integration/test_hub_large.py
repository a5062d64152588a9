"""Large records in the hub: how much of them is read at once, and that their notes come with them."""

from __future__ import annotations

import tracemalloc

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.record import Contribution, Record, Stamp
from tests.contract.hub_builder import commit, ident, settled

MIB = 1 << 20
IDS = [ident(number) for number in range(1, 7)]


def record(number: int, note: str) -> Record:
    row = Contribution("crm", "public.account", str(number), "p1", Stamp("p1", 1), {"note": note})
    return Record(IDS[number], "customer", 1, {"note": note}, [row], large=True)


def party(number: int) -> RowRef:
    return RowRef("erp", "public.party", f"P-{number}")


async def test_a_claim_reads_no_more_than_its_bound_of_large_records_and_notes(postgres_hub: PostgresHub) -> None:
    """Of records that were just created in a target, each with a note as large as itself, a claim takes some, and the
    next claims take the others."""
    hub, size = postgres_hub, 6 * MIB
    for number in range(len(IDS)):
        await commit(hub, records=[record(number, chr(97 + number) * size)], dirty=[("erp", IDS[number])])
        (claim,) = await hub.claim("erp", 10)
        row = party(number)
        sent = "n" * number + "!" * size
        await hub.settle("erp", [settled(claim, learnt=[(row, "note", sent)], links=(row,))])
    assert await hub.claim("erp", 10) == []
    await commit(hub, dirty=[("erp", id) for id in IDS])
    seen: dict[str, str | None] = {}
    while len(seen) < len(IDS):
        tracemalloc.start()
        try:
            claims = await hub.claim("erp", 10)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(claims) == 2, "each is 18 MiB with its note, and past 32 MiB no further one is read"
        assert peak < 40 * MIB
        for claim in claims:
            number = IDS.index(claim.record.id)
            told = claim.record.row(party(number))
            assert told is not None
            assert told.sent == {"note": "n" * number + "!" * size}
            assert claim.record.golden == {"note": chr(97 + number) * size}
            seen[claim.record.id] = told.sent["note"]
        await hub.settle("erp", [settled(claim) for claim in claims])
