"""Large records in the hub: how much of them is read at once, and that their notes come with them."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator

import pytest

from engine.change import RowRef
from engine.hub.store import PostgresHub
from engine.ports import IngestOutcome, Pending, Settlement
from engine.record import Contribution, Record, Stamp

MIB = 1 << 20
IDS = [f"01900000-0000-7000-8000-{number:012x}" for number in range(1, 7)]


@pytest.fixture
async def hub(hub_dsn: str) -> AsyncIterator[PostgresHub]:
    hub = PostgresHub(hub_dsn, clock=lambda: 1_700_000_000_123_456)
    yield hub
    await hub.close()


def record(number: int, note: str) -> Record:
    row = Contribution("crm", "public.account", str(number), "p1", Stamp("p1", 1), {"note": note})
    return Record(IDS[number], "customer", 1, {"note": note}, [row], large=True)


def party(number: int) -> RowRef:
    return RowRef("erp", "public.party", f"P-{number}")


async def mark(hub: PostgresHub, *records: Record) -> None:
    async with hub.ingest(await hub.lease("crm")) as tx:
        known = await tx.records([each.id for each in records])
        outcome = IngestOutcome(
            records=[known.get(each.id, each) for each in records], dirty=[("erp", each.id) for each in records]
        )
        await tx.commit(outcome, position="", rulebook="book")


def settled(claim: Pending, number: int, note: str) -> Settlement:
    row = party(number)
    return Settlement(claim.record.id, claim.mark, claim.revision, "done", held={row: {"note": note}}, links=(row,))


async def test_a_claim_reads_no_more_than_its_bound_of_large_records_and_notes(hub: PostgresHub) -> None:
    """Of records that were just created in a target, each with a note as large as itself, a claim takes some, and the
    next claims take the others."""
    size = 6 * MIB
    for number in range(len(IDS)):
        await mark(hub, record(number, chr(97 + number) * size))
        (claim,) = await hub.claim("erp", 10)
        await hub.settle("erp", [settled(claim, number, "n" * number + "!" * size)])
    assert await hub.claim("erp", 10) == []
    async with hub.ingest(await hub.lease("crm")) as tx:
        await tx.commit(IngestOutcome(dirty=[("erp", id) for id in IDS]), position="", rulebook="book")
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
            row = claim.record.row(party(number))
            assert row is not None
            assert row.sent == {"note": "n" * number + "!" * size}
            assert claim.record.golden == {"note": chr(97 + number) * size}
            seen[claim.record.id] = row.sent["note"]
        await hub.settle("erp", [Settlement(c.record.id, c.mark, c.revision, "done") for c in claims])
