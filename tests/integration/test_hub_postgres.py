"""The hub in PostgreSQL through what a database does to it: lost connections, lost replies, crashes, old servers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import string
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fieldwarden.engine.change import RawChange, Relation, RowRef, Value
from fieldwarden.engine.deciding.identity import LONGEST, match_pairs
from fieldwarden.engine.deciding.kept_changes import pack
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.hub.migrate import migrate
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.hub.views.overview import Overview, UnreadSource
from fieldwarden.engine.ledger.entries import GENESIS, Act, block_hash, leaf, merkle_root
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.ports.durable import Entry, IngestOutcome
from fieldwarden.engine.ports.duties import SHARDS
from fieldwarden.engine.ports.hub import Lease, Settlement
from fieldwarden.engine.ports.parts import Part
from fieldwarden.engine.ports.target import Intent
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.secret import revealed
from tests.builders import BEGUN, rulebook
from tests.contract.hub_builder import ask, may_go_on, settled
from tests.patience import until, within

A = "01900000-0000-7000-8000-000000000001"
B = "01900000-0000-7000-8000-000000000002"
C = "01900000-0000-7000-8000-000000000003"
ACCOUNT = RowRef("crm", "public.account", "1")
PARTY = RowRef("erp", "public.party", "P-1")


def record(id: str = A, **golden: str | None) -> Record:
    row = Contribution(*ACCOUNT, "p1", Stamp("p1", 1), dict(golden))
    return Record(id, "customer", 1, dict(golden), [row])


@pytest.fixture
def hub(postgres_hub: PostgresHub) -> PostgresHub:
    return postgres_hub


async def commit(hub: PostgresHub, position: str = "1", **parts: Any) -> None:
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(**parts), position=position, rulebook="book")


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


# --- faults ------------------------------------------------------------------------------------------------------


async def test_a_lost_connection_is_transient_and_the_next_transaction_works(hub: PostgresHub, hub_dsn: str) -> None:
    lease = await hub.lease("crm")

    async def interrupted() -> None:
        async with hub.ingest(lease) as tx:
            assert await tx.records([A]) == {}
            ask(
                hub_dsn, "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%ingest%'"
            )
            await tx.commit(IngestOutcome(records=[record()]), position="9", rulebook="book")

    with pytest.raises(TransientError) as caught:
        await interrupted()
    assert isinstance(caught.value.__cause__, psycopg.Error)
    async with hub.ingest(lease) as tx:
        assert await tx.records([A]) == {}
        await tx.commit(IngestOutcome(records=[record()]), position="1", rulebook="book")
    assert (await hub.lease("crm")).position == "1"


async def test_what_the_database_can_never_store_is_not_tried_for_ever(hub: PostgresHub) -> None:
    incompressible = "".join(random.Random(1).choices(string.ascii_letters, k=6000))
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        await commit(hub, records=[record()], match_keys={A: ("customer", [("name", incompressible)])})
    await commit(hub, records=[record()])


async def test_the_longest_match_values_are_stored_and_found(hub: PostgresHub) -> None:
    alphabet = [chr(0x20000 + number) for number in range(2000)]
    widest = "".join(random.Random(1).choices(alphabet, k=LONGEST))
    [customer] = rulebook().entities.values()
    for text in (widest, widest + "x", widest * 20):
        pairs = match_pairs(customer, {"tax_id": text})
        await commit(hub, records=[record()], match_keys={A: ("customer", pairs)})
        async with hub.ingest(await hub.lease("crm")) as tx:
            assert await tx.matches("customer", pairs) == {pairs[0]: [A]}
        ask(revealed(hub._dsn), "truncate record, match_key")


@pytest.mark.long
async def test_a_server_that_crashes_loses_nothing_committed(crashable_postgres: EmbeddedServer) -> None:
    server = crashable_postgres
    migrate(server.dsn())
    hub = PostgresHub(server.dsn())
    try:
        await commit(hub, records=[record(name="x")], links=[(ACCOUNT, A)], dirty=[("erp", A)])
        lease = await hub.lease("crm")
        async with hub.ingest(lease) as tx:
            await tx.saw([ACCOUNT])
            await tx.commit(IngestOutcome(), position="2", rulebook="book")
        await asyncio.to_thread(server.stop, "immediate")
        for attempt in (hub.lease("crm"), hub.claim("erp", 1), hub.releasable("crm", 1)):
            with pytest.raises(TransientError):
                await attempt
        await asyncio.to_thread(server.start)
        async with hub.ingest(lease) as tx:
            assert await tx.unseen([ACCOUNT]) == set(), "what was seen is not forgotten in a crash"
            assert list(await tx.records([A])) == [A]
        (claim,) = await hub.claim("erp", 10)
        assert claim.record.golden == {"name": "x"}
    finally:
        await hub.close()


async def test_when_the_reply_to_commit_is_lost_the_next_lease_tells(hub_dsn: str, tmp_path: Path) -> None:
    async with SwallowingProxy(hub_dsn, tmp_path) as proxy:
        hub = PostgresHub(proxy.dsn)
        try:
            lease = await hub.lease("crm")
            await commit_one(hub, lease, "1", record())
            proxy.swallow = True
            with pytest.raises(TransientError):
                await commit_one(hub, lease, "2", record(B))
            proxy.swallow = False
            assert (await hub.lease("crm")).position == "2", "it did take effect"
            assert ask(hub_dsn, "select count(*) from record") == [(2,)]
        finally:
            await hub.close()


async def commit_one(hub: PostgresHub, lease: Lease, position: str, *records: Record) -> None:
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(records=list(records)), position=position, rulebook="book")


@pytest.mark.long
async def test_a_deadlock_is_transient(hub: PostgresHub, hub_dsn: str) -> None:
    await commit(hub, records=[record(A), record(B)])
    leases = [await hub.lease("crm"), await hub.lease("erp")]
    met = asyncio.Barrier(2)

    async def cross(index: int) -> None:
        async with hub.ingest(leases[index]) as tx:
            await tx.records([(A, B)[index]])
            await met.wait()
            await tx.records([(B, A)[index]])
            await tx.commit(IngestOutcome(), position="2", rulebook="book")

    outcomes = await asyncio.gather(cross(0), cross(1), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "TransientError"]


async def test_cancelling_a_transaction_leaves_the_hub_usable(hub: PostgresHub, hub_dsn: str) -> None:
    lease = await hub.lease("crm")
    with psycopg.connect(hub_dsn, options="-c search_path=fieldwarden") as other:
        other.execute("select from source where name = 'crm' for update")

        async def blocked() -> None:
            async with hub.ingest(lease):
                raise AssertionError("entered")

        task = asyncio.create_task(blocked())
        waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
        await until(lambda: ask(hub_dsn, waits), "the transaction to wait for the lock")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(), position="1", rulebook="book")


class SwallowingProxy:
    """Stands between a client and the server; with `swallow`, it passes a COMMIT on and keeps the reply."""

    def __init__(self, dsn: str, folder: Path) -> None:
        given = psycopg.conninfo.conninfo_to_dict(dsn)
        self._server = f"{given['host']}/.s.PGSQL.{given['port']}"
        self._listening = str(folder / ".s.PGSQL.5432")
        self._tasks: set[asyncio.Task[None]] = set()
        self.dsn = psycopg.conninfo.make_conninfo(dsn, host=str(folder), port=5432)
        self.swallow = False

    async def __aenter__(self) -> SwallowingProxy:
        self._listener = await asyncio.start_unix_server(self._serve, self._listening)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        reader, writer = await asyncio.open_unix_connection(self._server)
        committing = asyncio.Event()

        async def replies() -> None:
            while (data := await reader.read(65536)) and not committing.is_set():
                back.write(data)

        replying = asyncio.create_task(replies())
        try:
            while not replying.done() and (data := await client.read(65536)):
                if self.swallow and b"COMMIT" in data:
                    committing.set()
                writer.write(data)
                if committing.is_set():
                    await replying
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            replying.cancel()
            for end in (writer, back):
                end.close()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()


# --- plans -------------------------------------------------------------------------------------------------------


@pytest.mark.long
async def test_hot_statements_planned_on_empty_tables_stay_fast_on_full_ones(hub: PostgresHub, hub_dsn: str) -> None:
    """Two thousand records come, are delivered and change again, on the connections that began with nothing."""
    ids = [f"01900000-0000-7000-8000-{number:012x}" for number in range(2000)]
    lease = await hub.lease("crm")
    async with within(60):
        for round_ in range(4):
            async with hub.ingest(lease) as tx:
                known = await tx.records(ids)
                records = list(known.values()) or [record(id, name="x") for id in ids]
                outcome = IngestOutcome(records=records, dirty=[("erp", id) for id in ids])
                await tx.commit(outcome, position=str(round_), rulebook="book")
            claims = await hub.claim("erp", 2000)
            held: dict[RowRef, dict[str, Value]] = {ACCOUNT: {"name": str(round_)}}
            done = [Settlement(each.record.id, each.mark, each.revision, "done", held=held) for each in claims]
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
    done = Settlement(A, claim.mark, claim.revision, "done", held={PARTY: {"name": "x"}}, links=[PARTY])
    await hub.settle("erp", [done])
    noted = "select revision, contributions, (select sent from crosswalk where system = 'erp') from record"
    ((revision, contributions, sent),) = ask(hub_dsn, noted)
    assert (revision, sent) == (1, '{"name":"x"}'), "the record itself is not rewritten"
    assert "public.party" not in contributions
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        known = await tx.records([A])
        assert [(row.ref, row.sent) for row in known[A].rows] == [(ACCOUNT, {}), (PARTY, {"name": "x"})]
        outcome = IngestOutcome(records=list(known.values()))
        await tx.commit(outcome, position="2", rulebook="book")
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
    async with other.ingest(await other.lease("billing")) as tx:
        (moved,) = (await tx.records([A])).values()
        moved.golden["name"] = "newer"
        await tx.commit(IngestOutcome(records=[moved]), position="1", rulebook="book")
    await other.close()
    done = Settlement(A, stale.mark, stale.revision, "done", held={PARTY: {"name": "x"}}, links=[PARTY])
    await hub.settle("erp", [done])
    (again,) = await hub.claim("erp", 10)
    assert again.record.golden == {"name": "newer"}
    assert again.record.rows[1].sent == {"name": "x"}, "and what was written is known"


# --- what people see ---------------------------------------------------------------------------------------------


@pytest.fixture
async def overview(hub_dsn: str) -> AsyncIterator[Overview]:
    overview = Overview(hub_dsn)
    yield overview
    await overview.close()


ACT = Act("discarded", "ada@desk", "typed twice", 1)


def aside(key: str, kind: str = "data") -> SetAside:
    relation = Relation("public.account", ("id", "name"), ("text", "text"))
    raw = RawChange(relation, "update", (key, "Jane Doe"), "p1", 1)
    row = RowRef("crm", "public.account", key)
    return SetAside(row, "customer", kind, "not a date", pack(raw), "p1")  # type: ignore[arg-type]


async def test_dead_letters_are_listed_chosen_retried_and_discarded(hub: PostgresHub, overview: Overview) -> None:
    await commit(
        hub,
        records=[record(A), record(B)],
        dirty=[("erp", A), ("erp", B)],
        set_aside=[aside("1"), aside("1", "behind"), aside("2")],
    )
    first, second = await hub.claim("erp", 10)
    await hub.settle("erp", [
        Settlement(first.record.id, first.mark, first.revision, "park", reason="refused"),
        Settlement(second.record.id, second.mark, second.revision, "wait", awaits=first.record.id),
    ])  # fmt: skip
    letters = await overview.dead_letters()
    assert [letter.kind for letter in letters if letter.system == "crm"] == ["data", "behind", "data"]
    (parked,) = await overview.dead_letters(kind="delivery")
    assert (parked.system, parked.entity, parked.record) == ("erp", "customer", first.record.id)
    assert len(await overview.dead_letters(kind="waiting")) == 1
    assert await overview.dead_letters(entity="contact") == []
    assert len(await overview.dead_letters(system="crm", limit=2)) == 2
    assert "Jane" not in repr(letters)
    change = next(letter for letter in letters if letter.key == "2")
    raw = await overview.values_of(change.id)
    assert raw is not None
    assert raw.values == ("2", "Jane Doe")
    assert await overview.values_of(parked.id) is None

    assert await overview.retry([change.id, parked.id, "77", "erp:nonsense", "nonsense"], ACT, "book") == 2
    assert [kept.row.key for kept in await may_go_on(hub, "crm", 10)] == ["2"]
    assert [claim.record.id for claim in await hub.claim("erp", 10)] == [first.record.id]
    heads = [letter.id for letter in letters if letter.key == "1" and letter.kind == "data"]
    assert await overview.discard(heads, ACT, "book") == 1
    assert [kept.row.key for kept in await may_go_on(hub, "crm", 10)] == ["1", "2"]
    assert (await overview.dead_letters(ids=heads)) == []


async def test_the_state_of_everything(hub: PostgresHub, overview: Overview) -> None:
    await commit(hub, "5", records=[record(A), record(B)], dirty=[("erp", A)], set_aside=[aside("1")])
    (source,) = await overview.sources()
    assert (source.name, source.position, source.state) == ("crm", "5", "new")
    (target,) = await overview.targets()
    assert (target.name, target.due, target.waiting, target.parked) == ("erp", 1, 0, 0)
    assert target.oldest is not None
    await commit(hub, "6", dirty=[("erp", A), ("erp", B)])
    assert [each.due for each in await overview.targets()] == [2], "a record marked twice is one record"
    assert [(count.entity, count.live, count.retired) for count in await overview.records()] == [("customer", 2, 0)]
    assert [(count.system, count.kind, count.number) for count in await overview.set_aside()] == [("crm", "data", 1)]
    await overview.remember_rulebook("hash", "files")
    await overview.remember_rulebook("hash", "files")


async def test_what_is_to_be_tried_again_later_is_not_due_for_long(overview: Overview, hub_dsn: str) -> None:
    """It was marked an hour ago, and the next attempt is a minute away: nothing stands still."""
    with psycopg.connect(hub_dsn, autocommit=True, options="-c search_path=fieldwarden") as connection:
        for record, wait in (
            ("01900000-0000-7000-8000-000000000001", "1 minute"),
            ("01900000-0000-7000-8000-000000000002", "-1 minute"),
        ):
            connection.execute(
                "insert into dirty (target, record, mark, since, due) select 'crm', %s, nextval('mark'),"
                " clock_timestamp() - interval '1 hour', clock_timestamp() + %s::interval",
                [record, wait],
            )
            (target,) = await overview.targets()
            assert target.oldest is not None
            assert (target.oldest_due is None) == (wait == "1 minute")


async def test_what_a_target_has_not_finished_is_told(hub: PostgresHub, overview: Overview) -> None:
    """Two deliveries are put off for one reason, one of them in doubt; that both ends is told by nothing being left."""
    assert (await overview.put_off(), await overview.unanswered()) == ([], [])
    await commit(hub, records=[record(A), record(B)], dirty=[("erp", A), ("erp", B)])
    made = Intent("erp/party/1/create", A, "public.party", "create", None, None, 1, {"name": "Jane Doe"})
    await hub.intend("erp", [made])
    claims = await hub.claim("erp", 10)
    await hub.settle("erp", [settled(claim, "again", reason="erp is busy") for claim in claims])
    (off,), (open_writes,) = await overview.put_off(), await overview.unanswered()
    assert (off.target, off.reason, off.number) == ("erp", "erp is busy", 2)
    assert (open_writes.target, open_writes.number) == ("erp", 1)
    assert "Jane" not in repr(open_writes)
    await hub.settle("erp", [settled(claim, answered=[made.key]) for claim in await hub.claim("erp", 10)])
    assert (await overview.put_off(), await overview.unanswered()) == ([], [])


async def test_what_holds_up_deliveries_is_known_step_by_step(hub: PostgresHub, overview: Overview) -> None:
    streams = ["account"]

    async def seen() -> list[UnreadSource]:
        return await overview.unread({"crm": streams, "erp": ["party"]})

    async def move(position: str) -> None:
        lease = await hub.lease("crm", "crm#1")
        parts = {name: Part(part.epoch, position) for name, part in (await hub.take("crm", ["t/0", "t/1"])).items()}
        async with hub.ingest(lease) as tx:
            await tx.commit(IngestOutcome(), position="", rulebook="book", parts=parts)

    erp = UnreadSource("erp", told=False, again=False, partitions=())
    assert await seen() == [UnreadSource("crm", told=False, again=False, partitions=()), erp]
    await hub.read_until("crm", {"t/0": "0002", "t/1": "0002"})
    assert await seen() == [UnreadSource("crm", told=True, again=False, partitions=("t/0", "t/1")), erp]
    await move("0002")
    assert await seen() == [erp]
    await hub.begin_again("crm", 2, {"t/0": "0003", "t/1": "0003"}, BEGUN)
    assert await seen() == [UnreadSource("crm", told=False, again=True, partitions=()), erp]
    await hub.read_until("crm", {"t/0": "0004", "t/1": "0003"}, 2, streams)
    assert await seen() == [UnreadSource("crm", told=True, again=True, partitions=("t/0",)), erp]
    await move("0004")
    assert await seen() == [UnreadSource("crm", told=True, again=True, partitions=()), erp]
    await hub.swept("crm", 2)
    assert await seen() == [erp]
    streams.append("contact")
    assert await seen() == [UnreadSource("crm", told=True, again=False, partitions=(), later=True), erp]


def test_every_statement_is_used_and_every_used_one_exists() -> None:
    folder = Path(PostgresHub.__module__.replace(".", "/")).parent
    code = "\n".join(path.read_text() for path in (Path(__file__).parents[2] / folder).rglob("*.py"))
    assert [name for name in QUERIES if f'"{name}"' not in code] == []
