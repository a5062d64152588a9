"""What people are told of a hub: what is set aside, how everything is, and what holds up deliveries."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from fieldwarden.engine.change import RawChange, Relation, RowRef
from fieldwarden.engine.deciding.kept_changes import pack
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.hub.views.overview import Overview, UnreadSource
from fieldwarden.engine.ledger.entries import Act
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Settlement
from fieldwarden.engine.ports.parts import LOG, Part
from fieldwarden.engine.ports.target import Intent
from tests.builders import BEGUN
from tests.contract.hub_builder import may_go_on, settled
from tests.integration.hub_records import A, B, commit, record


@pytest.fixture
def hub(postgres_hub: PostgresHub) -> PostgresHub:
    return postgres_hub


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
    assert (source.name, source.state) == ("crm", "new")
    (part,) = await overview.partitions()
    assert (part.source, part.name, part.position, part.message, part.ours) == ("crm", LOG, "5", "", True)
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
        lease = await hub.lease(Lane("crm", 1))
        parts = {name: Part(part.epoch, position) for name, part in (await hub.take("crm", ["t/0", "t/1"])).items()}
        async with hub.ingest(lease) as tx:
            await tx.commit(IngestOutcome(), rulebook="book", parts=parts)

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
