"""Marks of one record and one target: in whatever order claims, newer marks and settlements meet, nothing of an older
claim outlives what a newer one has concluded. Against PostgreSQL and the hub in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Hub, Pending, Settlement
from fieldwarden.engine.record import Record
from fieldwarden.engine.testing import MemoryHub


def ident(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


A, UNKNOWN = ident(1), ident(2)
STATUSES = ("done", "retry", "wait", "park", "again")
AFTER = {"retry": "due", "again": "due", "wait": "waiting", "park": "parked"}


@pytest.fixture
def dsn(hub: Hub, request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("hub_dsn")) if isinstance(hub, PostgresHub) else ""


async def pending(hub: Hub, dsn: str, record: str = A) -> list[tuple[str, int]]:
    """Status and attempts of all that the hub has yet to do with a record."""
    if isinstance(hub, MemoryHub):
        return [(row.status, row.attempts) for (_, id), row in hub.dirty.items() if id == record]
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        query = "select status, attempts from fieldwarden.pending where record = %s order by mark"
        return await (await connection.execute(query, [record])).fetchall()


async def mark(hub: Hub, *records: str) -> None:
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        known = await tx.records(records)
        for id in records:
            known.setdefault(id, Record(id, "customer", 0, {}, [])).version += 1
        outcome = IngestOutcome(records=list(known.values()), dirty=[("erp", id) for id in records])
        await tx.commit(outcome, rulebook="book")


async def claim(hub: Hub, record: str = A) -> Pending:
    return next(each for each in await hub.claim("erp", 200) if each.record.id == record)


async def test_however_many_records_are_under_way_the_next_is_claimed(hub: Hub) -> None:
    """Each has a mark of its own, and they stand before all others."""
    ids = [ident(number) for number in range(1, 101)]
    for id in ids:
        await mark(hub, id)
    under_way: list[str] = []
    for _ in ids:
        (next_one,) = await hub.claim("erp", 1, but=under_way)
        under_way.append(next_one.record.id)
    assert sorted(under_way) == ids
    assert await hub.claim("erp", 1, but=under_way) == []


def verdict(claim: Pending, status: str) -> Settlement:
    awaits = UNKNOWN if status == "wait" else None
    id, mark, revision = claim.record.id, claim.mark, claim.revision
    return Settlement(id, mark, revision, status, reason="why", awaits=awaits, result="same")  # type: ignore[arg-type]


def orders() -> Iterator[tuple[str, ...]]:
    """Every order of these in which a claim comes before its settling and the first claim is of the first mark."""
    for order in itertools.permutations(("claim 1", "newer mark", "settle 1", "claim 2", "settle 2")):
        place = {step: number for number, step in enumerate(order)}
        begun = place["claim 1"] < place["newer mark"] < place["claim 2"]
        if begun and place["claim 1"] < place["settle 1"] and place["claim 2"] < place["settle 2"]:
            yield order


@pytest.mark.long
@pytest.mark.parametrize("company", [False, True], ids=["alone", "in a mark with another"])
@pytest.mark.parametrize("order", list(orders()), ids=", ".join)
async def test_the_newest_claim_has_the_last_word(hub: Hub, dsn: str, order: tuple[str, ...], company: bool) -> None:
    for number, (first, second) in enumerate(itertools.product(STATUSES, STATUSES)):
        one, other = ident(16 + number), ident(256 + number)
        await mark(hub, *([one, other] if company else [one]))
        claims: dict[str, Pending] = {}
        for step in order:
            what, _, of = step.partition(" ")
            if step == "newer mark":
                await mark(hub, one)
            elif what == "claim":
                claims[of] = await claim(hub, one)
            else:
                await hub.settle("erp", [verdict(claims[of], first if of == "1" else second)])
        assert claims["2"].attempts == 0, (first, second)
        left = [] if second == "done" else [(AFTER[second], 1 if second in ("retry", "park") else 0)]
        assert await pending(hub, dsn, one) == left, (first, second)
        assert await pending(hub, dsn, other) == ([("due", 0)] if company else []), (first, second)


async def test_a_claim_that_was_settled_already_is_settled_anew(hub: Hub, dsn: str) -> None:
    """Whoever comes again has no claim any more. That it is done or hopeless then only asks for another look: the
    record may have changed since, and a dead letter must not be about what nobody compared."""
    for number, (first, second) in enumerate(itertools.product(STATUSES, STATUSES)):
        one = ident(16 + number)
        await mark(hub, one)
        found = await claim(hub, one)
        await hub.settle("erp", [verdict(found, first)])
        await hub.settle("erp", [verdict(found, second)])
        expected = {"retry": "due", "again": "due", "wait": "waiting", "done": "due", "park": "due"}[second]
        assert [status for status, _ in await pending(hub, dsn, one)] == ([] if first == "done" else [expected])


@pytest.mark.parametrize("status", ["retry", "wait", "park"])
async def test_another_process_that_delivers_now_clears_what_the_former_left(hub: Hub, dsn: str, status: str) -> None:
    other: Hub = PostgresHub(dsn) if isinstance(hub, PostgresHub) else hub
    await mark(hub, A)
    old = await claim(hub)
    await mark(hub, A)
    new = await claim(other)
    await hub.settle("erp", [verdict(old, status)])
    await other.settle("erp", [verdict(new, "done")])
    assert await pending(hub, dsn) == []
    await other.close()
