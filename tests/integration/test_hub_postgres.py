"""The hub in PostgreSQL beyond the contract: its chain, its plans, and how marks and notes are kept."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.identity import LONGEST, match_pairs
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ledger.entries import GENESIS, block_hash, leaf, merkle_root
from fieldwarden.engine.ports.durable import Entry, IngestOutcome
from fieldwarden.engine.ports.duties import SHARDS, Lane
from fieldwarden.engine.ports.hub import Settlement
from fieldwarden.rules.secret import revealed
from tests.builders import rulebook
from tests.contract.hub_builder import ask
from tests.integration.hub_records import ACCOUNT, PARTY, A, B, C, commit, record
from tests.patience import within


@pytest.fixture
def hub(postgres_hub: PostgresHub) -> PostgresHub:
    return postgres_hub


# --- the ledger --------------------------------------------------------------------------------------------------


async def test_each_commit_with_entries_appends_one_chained_block(hub: PostgresHub, hub_dsn: str) -> None:
    bodies = [rb'{"a":"back\\slash"}', '{"b":"ünïcødé \u2028"}'.encode()]
    await commit(hub, records=[record()], entries=[Entry(A, n + 1, body) for n, body in enumerate(bodies)])
    await commit(hub, "2")
    await commit(hub, "3", entries=[Entry(A, 3, b"{}")])
    blocks = ask(hub_dsn, "select height, previous, root, hash, entries, at::text from ledger_block order by height")
    assert [(height, entries) for height, _, _, _, entries, _ in blocks] == [(0, 2), (1, 1)]
    assert blocks[0][5].startswith("2023-11-14 22:13:20.123456")
    root = merkle_root([leaf(A, 1, bodies[0]), leaf(A, 2, bodies[1])])
    first = block_hash("crm", 0, GENESIS, root, "book", 2, 1_700_000_000_123_456)
    assert [bytes(part) for part in blocks[0][1:4]] == [GENESIS, root, first]
    assert bytes(blocks[1][1]) == first
    stored = ask(hub_dsn, "select body from ledger_entry order by height, ordinal")
    assert [body.encode() for (body,) in stored] == [*bodies, b"{}"]


async def test_the_longest_match_values_are_stored_and_found(hub: PostgresHub) -> None:
    alphabet = [chr(0x20000 + number) for number in range(2000)]
    widest = "".join(random.Random(1).choices(alphabet, k=LONGEST))
    [customer] = rulebook().entities.values()
    for text in (widest, widest + "x", widest * 20):
        pairs = match_pairs(customer, {"tax_id": text})
        await commit(hub, records=[record()], match_keys={A: ("customer", pairs)})
        async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
            assert await tx.matches("customer", pairs) == {pairs[0]: [A]}
        ask(revealed(hub._dsn), "truncate record, match_key")


# --- plans -------------------------------------------------------------------------------------------------------


@pytest.mark.long
async def test_hot_statements_planned_on_empty_tables_stay_fast_on_full_ones(hub: PostgresHub, hub_dsn: str) -> None:
    """Two thousand records come, are delivered and change again, on the connections that began with nothing."""
    ids = [f"01900000-0000-7000-8000-{number:012x}" for number in range(2000)]
    lease = await hub.lease(Lane("crm"))
    async with within(60):
        for round_ in range(4):
            async with hub.ingest(lease) as tx:
                known = await tx.records(ids)
                records = list(known.values()) or [record(id, name="x") for id in ids]
                outcome = IngestOutcome(records=records, dirty=[("erp", id) for id in ids])
                await tx.commit(outcome, rulebook="book")
            claims = await hub.claim("erp", 2000)
            learnt: dict[RowRef, dict[str, Value]] = {ACCOUNT: {"name": str(round_)}}
            done = [Settlement(each.record.id, each.mark, each.revision, "done", learnt=learnt) for each in claims]
            await hub.settle("erp", done)
    assert ask(hub_dsn, "select count(*), min(revision) from record") == [(2000, 8)]
    assert ask(hub_dsn, "select count(*) from pending") == [(0,)]


# --- marks and notes ---------------------------------------------------------------------------------------------


async def test_a_mark_shrinks_to_what_is_left_of_it(hub: PostgresHub, hub_dsn: str) -> None:
    ids = [f"01900000-0000-7000-8000-{number:012x}" for number in range(0, 5 * len(SHARDS), len(SHARDS))]
    await commit(hub, records=[record(id) for id in ids], dirty=[("erp", id) for id in ids])
    some = await hub.claim("erp", 3)
    assert [claim.record.id for claim in some] == ids[:3], "a claim takes no more than it was asked for"
    done = [Settlement(claim.record.id, claim.mark, claim.revision, "done") for claim in some[:2]]
    done.append(Settlement(ids[2], some[2].mark, some[2].revision, "park", reason="why"))
    await hub.settle("erp", done)
    assert ask(hub_dsn, "select number, records::text from marked") == [(2, f"{{{ids[3]},{ids[4]}}}")]
    assert ask(hub_dsn, "select record::text, status, attempts from dirty") == [(ids[2], "parked", 1)]
    rest = await hub.claim("erp", 10)
    await hub.settle("erp", [Settlement(each.record.id, each.mark, each.revision, "done") for each in rest])
    assert ask(hub_dsn, "select status from pending") == [("parked",)]


async def test_marks_are_settled_by_a_process_that_did_not_claim_them(hub: PostgresHub, hub_dsn: str) -> None:
    await commit(hub, records=[record(A), record(B)], dirty=[("erp", A), ("erp", B)])
    claims = await hub.claim("erp", 10)
    other = PostgresHub(hub_dsn)
    await other.settle("erp", [
        Settlement(claims[0].record.id, claims[0].mark, claims[0].revision, "done"),
        Settlement(claims[1].record.id, claims[1].mark, claims[1].revision, "retry", result="x", delay=3600.0),
    ])  # fmt: skip
    await other.close()
    assert [claim.record.id for claim in claims] == [A, B]
    assert ask(hub_dsn, "select record::text, attempts from dirty order by record") == [(A, 0), (B, 1)], (
        "without the claim nobody knows what the verdict went by, so the record is looked at again"
    )
    assert ask(hub_dsn, "select * from marked") == []


async def test_a_created_row_is_noted_with_its_link_until_its_record_is_rewritten(
    hub: PostgresHub, hub_dsn: str
) -> None:
    await commit(hub, records=[record(A, name="x")], dirty=[("erp", A)])
    (claim,) = await hub.claim("erp", 10)
    done = Settlement(A, claim.mark, claim.revision, "done", learnt={PARTY: {"name": "x"}}, links=[PARTY])
    await hub.settle("erp", [done])
    noted = "select revision, contributions, (select sent from crosswalk where system = 'erp') from record"
    ((revision, contributions, sent),) = ask(hub_dsn, noted)
    assert (revision, sent) == (1, '{"name":"x"}'), "the record itself is not rewritten"
    assert "public.party" not in contributions
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        known = await tx.records([A])
        assert [(row.ref, row.sent) for row in known[A].rows] == [(ACCOUNT, {}), (PARTY, {"name": "x"})]
        outcome = IngestOutcome(records=list(known.values()))
        await tx.commit(outcome, rulebook="book")
    ((revision, contributions, sent),) = ask(hub_dsn, noted)
    assert (revision, sent) == (2, None)
    assert '"sent":{"name":"x"}' in contributions


async def test_what_this_process_committed_is_handed_on_as_another_process_would_read_it(
    hub: PostgresHub, hub_dsn: str
) -> None:
    await hub.claim("erp", 10)  # from here on the target is known to this process
    await commit(hub, records=[record(A, name="x"), record(B)], dirty=[("erp", A), ("erp", B)])
    await commit(hub, records=[record(C, name="z")], dirty=[("erp", C)])
    other = PostgresHub(hub_dsn)
    here, there = await hub.claim("erp", 10), await other.claim("erp", 10)
    await other.close()
    assert here == there
    assert len(here) == 3


async def test_a_record_that_another_process_moved_on_is_looked_at_again(hub: PostgresHub, hub_dsn: str) -> None:
    await hub.claim("erp", 10)
    await commit(hub, records=[record(A, name="x")], dirty=[("erp", A)])
    (stale,) = await hub.claim("erp", 10)
    other = PostgresHub(hub_dsn)
    async with other.ingest(await other.lease(Lane("billing"))) as tx:
        (moved,) = (await tx.records([A])).values()
        moved.golden["name"] = "newer"
        await tx.commit(IngestOutcome(records=[moved]), rulebook="book")
    await other.close()
    done = Settlement(A, stale.mark, stale.revision, "done", learnt={PARTY: {"name": "x"}}, links=[PARTY])
    await hub.settle("erp", [done])
    (again,) = await hub.claim("erp", 10)
    assert again.record.golden == {"name": "newer"}
    assert again.record.rows[1].sent == {"name": "x"}, "and what was written is known"


def test_every_statement_is_used_and_every_used_one_exists() -> None:
    folder = Path(PostgresHub.__module__.replace(".", "/")).parent
    code = "\n".join(path.read_text() for path in (Path(__file__).parents[2] / folder).rglob("*.py"))
    assert [name for name in QUERIES if f'"{name}"' not in code] == []
