"""The loops at their edges: what is set aside and released, retried, halted, parked; and what is acknowledged when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fieldwarden.engine.change import UNKNOWN, RawChange, Relation, RowRef, Undecoded, Value
from fieldwarden.engine.deciding.kept_changes import pack
from fieldwarden.engine.deciding.known import Mapped
from fieldwarden.engine.delivering.conclusion import ATTEMPTS
from fieldwarden.engine.errors import DecodeError, IdentityMoved, SourceGap, TargetBusy, TransientError
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Settlement
from fieldwarden.engine.ports.source import Batch, Source, Start
from fieldwarden.engine.ports.target import Write
from fieldwarden.engine.running.delivery import Delivery
from fieldwarden.engine.running.ingest.brake import Bounds
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.ingest.vanished import unseen
from fieldwarden.engine.running.retry import backoff, judge
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, MemoryTarget, PartitionedSource, ScriptedSource
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import BEGUN, BILLING, CRM, CUSTOMER, raw, rulebook, whole
from tests.simulation.virtual_time import simulate

RULES = rulebook()


def account(position: int, key: str = "C-1", **columns: Any) -> RawChange:
    return whole("public.account", position, key, **columns)


def party(position: int, key: str = "P-1", **columns: Any) -> RawChange:
    return whole("public.party", position, key, "street", "city", **columns)


def address(position: int, party_id: str, key: str = "A-1") -> RawChange:
    return raw("public.address", "update", position, id=key, party_id=party_id, street="Main St", city="Rome")


def live(
    source: Source,
    hub: MemoryHub,
    seconds: float = 30.0,
    *,
    during: Callable[[], None] = lambda: None,
    beside: Callable[[], Awaitable[None]] | None = None,
    rules: Rulebook = RULES,
    worker: int | None = None,
    deletes: Bounds | None = None,
) -> Telemetry:
    """Run one pipeline for some virtual seconds; `during` is called half-way, `beside` runs along."""
    telemetry = Telemetry()

    async def main() -> None:
        hub.clock = lambda: int(asyncio.get_running_loop().time() * 1e6)
        stop = asyncio.Event()
        pipeline = Pipeline(
            rules, source, hub, telemetry, clock=hub.clock, chance=lambda: 0.5, worker=worker, deletes=deletes
        )
        along = asyncio.ensure_future(beside()) if beside is not None else None
        running = asyncio.create_task(pipeline.run(stop))
        await asyncio.sleep(seconds / 2)
        during()
        await asyncio.sleep(seconds / 2)
        stop.set()
        await running
        if along is not None:
            along.cancel()

    simulate(main())
    return telemetry


def kinds(hub: MemoryHub) -> list[str]:
    return [kept.kind for _, kept in sorted(hub.set_aside.items())]


def ahead(position: int, key: str = "C-1", **columns: Any) -> RawChange:
    """A change whose time lies in the future."""
    change = account(position, key, **columns)
    change.at = 10**15
    return change


def test_what_is_set_aside_holds_up_later_changes_of_that_row_that_do_not_tell_of_all_of_it() -> None:
    hub = MemoryHub()
    changes = [ahead(1, phone="1"), account(2, name="Acme", phone=UNKNOWN), account(3, "C-2", name="Other")]
    live(ScriptedSource("crm", changes), hub)
    assert kinds(hub) == ["data", "behind"]
    assert [hub.record(id).golden["name"] for id in hub.records] == ["Other"]


def test_no_value_stands_in_the_reason() -> None:
    hub = MemoryHub()
    live(ScriptedSource("erp", [party(1, credit_limit="1.005")]), hub)
    [kept] = hub.set_aside.values()
    assert "1.005" not in kept.reason
    assert "credit_limit" in kept.reason


def test_a_child_row_waits_for_its_parent_and_goes_on_with_it() -> None:
    hub = MemoryHub()
    live(ScriptedSource("erp", [address(1, "P-1"), party(2, tax_id="T1")], size=1), hub)
    assert hub.set_aside == {}
    [id] = hub.records
    assert hub.record(id).golden["city"] == "Rome"


def test_a_second_row_with_the_same_match_key_waits_for_a_steward() -> None:
    hub = MemoryHub()
    live(ScriptedSource("crm", [account(1, tax_id="DE 1"), account(2, "C-2", tax_id="de-1")]), hub)
    assert kinds(hub) == ["ambiguous"]
    assert len(hub.records) == 1


def test_a_change_dated_in_the_future_is_set_aside() -> None:
    hub = MemoryHub()
    change = account(1, name="Acme")
    change.at = 10**15
    live(ScriptedSource("crm", [change]), hub)
    assert kinds(hub) == ["data"]


def test_nothing_is_acknowledged_that_is_not_durable() -> None:
    def crash(step: str) -> None:
        if step == "ingest.before_commit":
            raise TransientError("the hub is down")

    hub = MemoryHub(crash=crash)
    source = ScriptedSource("crm", [account(1, name="Acme")])
    live(source, hub)
    assert source.acknowledged == []
    assert len(source.opened) > 3


def test_a_source_is_read_no_further_ahead_than_what_the_hub_can_take() -> None:
    """Memory is bounded by batches: one in hand, one mapped behind it, one that waits to be queued."""

    def crash(step: str) -> None:
        if step == "ingest.before_commit":
            raise TransientError("the hub is down")

    begun: list[int] = []
    changes = [account(n, f"C-{n}", name="Acme") for n in range(1, 1001)]
    live(ScriptedSource("crm", changes, size=10, fail=begun.append), MemoryHub(crash=crash))
    assert len(begun) > 3  # it was tried again
    assert max(begun) <= 20


def test_an_unknown_commit_is_settled_by_the_position_in_the_hub() -> None:
    crashes = iter([True])

    def crash(step: str) -> None:
        if step == "ingest.after_commit" and next(crashes, False):
            raise TransientError("the answer was lost")

    hub = MemoryHub(crash=crash)
    source = ScriptedSource("crm", [account(1, name="Acme")])
    live(source, hub, during=lambda: source.extend([account(2, name="Acme Ltd")]))
    assert source.opened == [None, "000000000001"]
    assert [entry.version for entry in hub.entries] == [1, 2]


def test_a_source_that_does_not_open_holds_up_no_end() -> None:
    """As when Kafka's group waits for a member that is gone."""
    source = ScriptedSource("crm", [])

    async def never(start: Start) -> None:
        await asyncio.Event().wait()

    source.open = never  # type: ignore[method-assign]

    async def main() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(Pipeline(RULES, source, MemoryHub(), Telemetry()).run(stop))
        await asyncio.sleep(1)
        stop.set()
        async with asyncio.timeout(1):
            await running

    simulate(main())


def test_a_gap_halts_the_source_and_says_so() -> None:
    def gap(_: int) -> None:
        raise SourceGap("changes are gone", suggestion="re-baseline")

    hub = MemoryHub()
    source = ScriptedSource("crm", [account(1)], fail=gap)
    telemetry = live(source, hub)
    assert hub.sources["crm"].state == "halted"
    assert source.opened == [None]
    assert [connector.state for connector in telemetry.connectors()] == ["stopped"]


def truncate(position: int) -> RawChange:
    change = account(position)
    change.operation, change.values = "truncate", ()
    return change


def test_a_truncate_is_a_delete_of_every_row_and_repeating_it_is_none() -> None:
    hub = MemoryHub()
    changes = [account(1, tax_id="T1"), account(2, "C-2", tax_id="T2"), truncate(3)]
    live(ScriptedSource("crm", changes), hub)
    assert [hub.record(id).retired for id in hub.records] == [True, True]
    entries = len(hub.entries)
    live(ScriptedSource("crm", [*changes, truncate(4)]), hub)
    assert len(hub.entries) == entries


def test_a_truncate_reaches_rows_that_are_set_aside() -> None:
    hub = MemoryHub()
    live(ScriptedSource("crm", [account(1, tax_id="T1"), ahead(2, name="x"), truncate(3)]), hub)
    assert hub.set_aside == {}, "a row that is gone has nothing more to say"
    assert [hub.record(id).retired for id in hub.records] == [True]


def test_a_truncate_reaches_rows_that_were_never_linked() -> None:
    hub = MemoryHub()
    gone = address(2, "P-1")
    gone.operation, gone.values = "truncate", ()
    live(ScriptedSource("erp", [address(1, "P-1"), gone, party(3, tax_id="T1")], size=1), hub)
    assert hub.set_aside == {}
    [id] = hub.records
    assert hub.record(id).golden.get("city") is None
    assert [row.live for row in hub.record(id).rows] == [True], "the address was never linked, and is gone"


def test_a_key_that_a_deleted_row_had_is_taken_over() -> None:
    """`delete where n = 1; update set n = n - 1`: every row keeps its own record."""
    gone = account(4)
    gone.operation = "delete"
    moved = []
    for n in (2, 3):
        change = account(3 + n, f"C-{n - 1}", tax_id=f"T{n}", name=f"name {n}")
        change.old_values = account(1, f"C-{n}").values
        moved.append(change)
    hub = MemoryHub()
    rows = [account(n, f"C-{n}", tax_id=f"T{n}", name=f"name {n}") for n in (1, 2, 3)]
    live(ScriptedSource("crm", [*rows, gone, *moved]), hub)
    live_rows = {row.key: row.fields["name"] for id in hub.records for row in hub.record(id).rows if row.live}
    assert live_rows == {"C-1": "name 2", "C-2": "name 3"}
    assert sorted(hub.record(id).golden.get("name") or "" for id in hub.records if not hub.record(id).retired) == [
        "name 2",
        "name 3",
    ]


def test_two_rows_may_swap_their_keys() -> None:
    swapped = []
    for n, other in ((1, 2), (2, 1)):
        change = account(2 + n, f"C-{other}", tax_id=f"T{n}", name=f"name {n}")
        change.old_values = account(1, f"C-{n}").values
        swapped.append(change)
    hub = MemoryHub()
    rows = [account(n, f"C-{n}", tax_id=f"T{n}", name=f"name {n}") for n in (1, 2)]
    live(ScriptedSource("crm", [*rows, *swapped]), hub)
    assert {row.key: row.fields["name"] for id in hub.records for row in hub.record(id).rows} == {
        "C-2": "name 1",
        "C-1": "name 2",
    }
    assert {row.key: hub.record(id).golden["tax_id"] for row, id in hub.crosswalk.items()} == {"C-2": "T1", "C-1": "T2"}


def test_a_row_that_is_set_aside_keeps_its_later_changes_back_under_a_new_key_too() -> None:
    hub = MemoryHub()
    moved = account(2, "C-9", tax_id="T1", name="Acme")
    moved.old_values = account(1).values
    live(ScriptedSource("crm", [ahead(1, tax_id="T1"), moved]), hub)
    assert kinds(hub) == ["data", "behind"]
    assert hub.records == {}
    hub.released.add(min(hub.set_aside))
    hub.set_aside[min(hub.set_aside)].payload = pack(account(1, tax_id="T1"))
    live(ScriptedSource("crm"), hub)
    assert hub.set_aside == {}
    assert [row.key for row in hub.crosswalk] == ["C-9"]


def test_a_row_may_refer_to_itself() -> None:
    fields = CUSTOMER["fields"] | {"parent": {"type": "ref(customer)", "strategy": "first_non_null", "order": ["crm"]}}
    columns = {name: name for name in CUSTOMER["fields"]} | {"parent": "parent_id"}
    streams = {"public.account": CRM["streams"]["public.account"] | {"fields": columns}}
    rules = rulebook(CUSTOMER | {"fields": fields}, crm=CRM | {"streams": streams})
    hub = MemoryHub()
    live(ScriptedSource("crm", [account(1, tax_id="T1", parent_id="C-1")]), hub, rules=rules)
    [id] = hub.records
    assert hub.record(id).golden["parent"] == id


def test_a_key_too_long_for_the_hub_is_bad_data() -> None:
    hub = MemoryHub()
    live(ScriptedSource("crm", [account(1, "x" * 3000), account(2, "C-2", name="Other")]), hub)
    assert kinds(hub) == ["data"]
    assert len(hub.records) == 1


def test_a_reread_finds_out_what_is_gone() -> None:
    hub = MemoryHub()
    live(ScriptedSource("crm", [account(1, tax_id="T1"), account(2, "C-2", tax_id="T2")], snapshot=2), hub)
    reread = ScriptedSource("crm", [account(0, tax_id="T0")] * 2 + [account(3, tax_id="T1")], snapshot=3)
    live(reread, hub)
    assert sorted(hub.record(id).retired for id in hub.records) == [False, True]


def test_a_key_that_changes_keeps_its_record() -> None:
    hub = MemoryHub()
    moved = account(2, "C-9", tax_id="T1", name="Acme")
    moved.old_values = account(1).values
    live(ScriptedSource("crm", [account(1, tax_id="T1", name="Acme"), moved]), hub)
    [id] = hub.records
    assert [row.key for row in hub.record(id).rows] == ["C-9"]
    assert [row.key for row in hub.crosswalk] == ["C-9"]


# --- deliveries ----------------------------------------------------------------------------------------------


def deliver(hub: MemoryHub, target: MemoryTarget, rounds: int = 12, rules: Rulebook = RULES) -> None:
    async def main() -> None:
        hub.clock = lambda: int(asyncio.get_running_loop().time() * 1e6)
        for system in ("crm", "billing", "erp"):
            await hub.lease(Lane(system))
            hub.sources[system].read = True
        delivery = Delivery(rules, "billing", target, hub, Telemetry(), chance=lambda: 0.5)
        for _ in range(rounds):
            await delivery.step()
            await asyncio.sleep(40)

    simulate(main())


def hub_with(*changes: RawChange) -> MemoryHub:
    hub = MemoryHub()
    live(ScriptedSource("crm", list(changes)), hub)
    return hub


def test_a_record_is_created_once_even_if_the_answer_was_lost() -> None:
    hub = hub_with(account(1, tax_id="T1", name="Acme"))
    answers = iter([TransientError("timed out")])

    def lose(_: object) -> None:
        for error in answers:
            raise error

    target = MemoryTarget("billing", after=lose)
    with pytest.raises(TransientError):
        deliver(hub, target, 1)
    deliver(hub, target, 1)
    assert len(target.rows["public.customer"]) == 1
    assert not [key for key in hub.dirty if key[0] == "billing"]


def test_a_burst_of_changes_to_one_record_costs_one_write() -> None:
    hub = hub_with(*(account(n, tax_id="T1", name=f"Acme {n}") for n in range(1, 200)))
    target = MemoryTarget("billing")
    deliver(hub, target)
    assert target.written == 1


def test_a_row_the_target_refuses_is_parked_and_the_others_go_on() -> None:
    def reject(write: Write) -> str:
        return "its own constraint" if write.values.get("tax_id") == "T1" else ""

    hub = hub_with(account(1, tax_id="T1"), account(2, "C-2", tax_id="T2"))
    target = MemoryTarget("billing", reject=reject)
    deliver(hub, target)
    [dirty] = [mark for (name, _), mark in hub.dirty.items() if name == "billing"]
    assert (dirty.status, dirty.reason) == ("parked", "its own constraint")
    assert [row.values["tax_id"] for row in target.rows["public.customer"].values()] == ["T2"]


@pytest.mark.parametrize(("refused", "frees"), [(True, False), (False, True)])
def test_only_a_write_that_was_made_may_free_a_value(
    refused: bool, frees: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two rows that are in each other's way would rouse each other without end."""
    was, now = account(1, tax_id="T1", phone="1"), account(2, tax_id="T1", phone="2")
    hub = hub_with(was)
    target = MemoryTarget("billing", reject=lambda write: "taken" if refused and write.operation == "update" else "")
    deliver(hub, target)
    told: list[Settlement] = []

    async def settle(_hub: MemoryHub, _target: str, settlements: Sequence[Settlement]) -> None:
        told.extend(settlements)

    monkeypatch.setattr(MemoryHub, "settle", settle)
    live(ScriptedSource("crm", [was, now]), hub)
    deliver(hub, target, 1)
    assert [each.frees for each in told] == [frees]


def test_a_target_that_rewrites_is_parked_after_a_few_equal_attempts() -> None:
    hub = hub_with(account(1, tax_id="T1", segment="big"))
    writes: list[Write] = []
    target = MemoryTarget("billing", rewrite=lambda _s, _n, value: value.upper() if value else value)
    target.before = writes.extend
    deliver(hub, target, rules=rulebook(billing=BILLING | {"mode": "target"}))
    [dirty] = [mark for (name, _), mark in hub.dirty.items() if name == "billing"]
    assert (dirty.status, dirty.reason) == (
        "parked",
        "billing rewrites segment: after 4 equal attempts it holds another value",
    )
    assert len(writes) <= 4 * ATTEMPTS


def block_edited_in_billing(rules: Rulebook) -> tuple[MemoryHub, dict[str, Value]]:
    """Of an address in billing the CRM changes the street and somebody the city; what then stands there."""
    first = account(1, tax_id="T1", street="Main St", city="Rome")
    hub, target = hub_with(first), MemoryTarget("billing")
    deliver(hub, target, rules=rules)
    [row] = target.rows["public.customer"].values()
    live(ScriptedSource("crm", [first, account(2, tax_id="T1", street="High St", city="Rome")]), hub)
    row.values["city"] = "Oslo"
    deliver(hub, target, rules=rules)
    return hub, row.values


def test_a_block_of_which_a_part_was_edited_meanwhile_waits_for_that_change_and_is_left_whole() -> None:
    """Its own parts hold what we expected and were not written: no habit of the target, however often it is tried."""
    hub, values = block_edited_in_billing(RULES)
    assert (values["street"], values["city"]) == ("Main St", "Oslo")
    [dirty] = [mark for (name, _), mark in hub.dirty.items() if name == "billing"]
    assert (dirty.status, dirty.reason) == ("due", "city, street changed in billing meanwhile; waiting for that change")


def test_of_a_system_that_nobody_hears_the_block_is_put_right_whole() -> None:
    hub, values = block_edited_in_billing(rulebook(billing=BILLING | {"mode": "target"}))
    assert (values["street"], values["city"]) == ("High St", "Rome")
    assert not [mark for (name, _), mark in hub.dirty.items() if name == "billing"]


@pytest.mark.parametrize(
    ("error", "verdict"),
    [(TransientError("x"), "retry"), (SourceGap("x"), "halt"), (DecodeError("x"), "halt"), (KeyError(), "bug")],
)
def test_what_is_tried_again_stands_in_one_table(error: Exception, verdict: str) -> None:
    assert judge(error) == verdict


def test_backoff_doubles_up_to_a_bound_and_honours_what_the_target_asks() -> None:
    pauses = [backoff(attempt, 1.0) for attempt in range(1, 12)]
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert max(pauses) == 30.0
    assert backoff(1, 0.0, TargetBusy("x", retry_after=17)) == 17


# --- sources of many partitions ----------------------------------------------------------------------------------


def release(hub: MemoryHub) -> None:
    assert kinds(hub) == ["data", "behind"]
    hub.released.add(min(hub.set_aside))


def partitioned(hub: MemoryHub, *changes: RawChange) -> PartitionedSource:
    source = PartitionedSource("crm", {"crm.account/0": list(changes)})
    source.give(["crm.account/0"])
    return source


def test_our_own_write_is_known_by_its_transaction_and_time_where_the_source_cannot_mark_it() -> None:
    hub = MemoryHub()
    changes = [account(n, f"C-{n}", phone="1") for n in (1, 2, 3)]
    for n, transaction, at in ((1, "7", 5_000_000), (2, "8", 5_000_000), (3, "7", 2_900_000)):
        written = account(n + 3, f"C-{n}", phone="2")
        written.echo, written.transaction, written.at = None, transaction, at
        changes.append(written)
    asyncio.run(hub.announce("crm", "7", 4_900_000))
    live(partitioned(hub, *changes), hub)
    carried = {row.key: hub.record(id).rows[0].carried for row, id in hub.crosswalk.items()}
    assert carried == {"C-1": {"phone": "2"}, "C-2": {}, "C-3": {}}


def test_what_cannot_be_decoded_is_set_aside_with_its_bytes_and_tried_again_when_a_person_says_so() -> None:
    hub = MemoryHub()
    broken = raw("public.account", "update", 1, id="C-1")
    broken.undecoded = Undecoded("no schema 7 in the registry", b"C-1", b"\x00\x00\x00\x00\x07")
    later = account(2, name="Acme", phone=UNKNOWN)
    source = partitioned(hub, broken, later, account(3, "C-2", name="Other"))

    async def again(raw: RawChange) -> RawChange:
        if raw.undecoded is None:
            return raw
        assert raw.undecoded == broken.undecoded
        assert raw.place == "crm.account/0@0"
        return replace(account(1, name="mended"), position=raw.position, place=raw.place)

    source.again = again  # type: ignore[method-assign]
    live(source, hub, during=lambda: release(hub))
    assert hub.set_aside == {}
    assert sorted(str(hub.record(id).golden["name"]) for id in hub.records) == ["Acme", "Other"]


def test_a_row_whose_key_cannot_be_read_holds_up_no_other() -> None:
    hub = MemoryHub()
    broken = raw("public.account", "update", 1, id=UNKNOWN)
    broken.undecoded = Undecoded("not JSON", b"{", b"{")
    live(partitioned(hub, broken, account(2, name="Acme")), hub)
    assert kinds(hub) == ["data"]
    [kept] = hub.set_aside.values()
    assert kept.row.key.startswith("key with SHA-256 ")
    assert len(hub.records) == 1


def test_a_partition_that_stands_still_is_told_of_with_its_reason() -> None:
    hub = MemoryHub()
    source = partitioned(hub, account(1, name="Acme"))
    cut = source._cut

    def held() -> Batch:
        batch = cut()
        why = "public.account has no column name any more"
        batch.parts = {name: replace(part, message=why) for name, part in batch.parts.items()}
        return batch

    source._cut = held  # type: ignore[method-assign]
    live(source, hub)
    assert hub.partitions["crm", "crm.account/0"].message == "public.account has no column name any more"


def test_when_everything_was_told_again_rows_that_were_not_are_gone() -> None:
    hub = MemoryHub()
    live(partitioned(hub, account(1, name="Acme"), account(2, "C-2", name="Other")), hub, worker=1)
    again = [account(0, name="unread"), account(0, name="unread"), account(3, name="Acme"), account(4, "C-3")]

    async def tell_again() -> None:
        await hub.begin_again("crm", 2, {"crm.account/0": f"{2:016x}"}, BEGUN)
        await hub.read_until("crm", {"crm.account/0": f"{4:016x}"}, 2)

    asyncio.run(tell_again())
    live(partitioned(hub, *again), hub, worker=1)
    retired = {row.key: hub.record(id).retired for row, id in hub.crosswalk.items()}
    assert retired == {"C-1": False, "C-2": True, "C-3": False}, "one that was told just as before is there"
    assert asyncio.run(hub.baseline("crm")).swept


def test_a_row_that_was_left_out_when_everything_was_told_again_is_not_gone_while_its_system_holds_it() -> None:
    hub = MemoryHub()
    rows = [account(1, name="Acme"), account(2, "C-2", name="Other"), account(3, "C-3", name="Third")]
    live(partitioned(hub, *rows), hub, worker=1)

    async def tell_again() -> None:
        await hub.begin_again("crm", 2, {"crm.account/0": f"{3:016x}"}, BEGUN)
        await hub.read_until("crm", {"crm.account/0": f"{4:016x}"}, 2)

    asyncio.run(tell_again())
    source = partitioned(hub, *rows, account(4, name="Acme"))
    source.holds = {RowRef("crm", "public.account", "C-3"): account(0, "C-3", name="Third, by now")}
    live(source, hub, worker=1)
    assert {row.key: hub.record(id).retired for row, id in hub.crosswalk.items()} == {
        "C-1": False,
        "C-2": True,
        "C-3": False,
    }
    assert asyncio.run(hub.baseline("crm")).swept


def test_a_row_that_another_worker_hears_of_while_it_is_swept_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = MemoryHub()
    live(partitioned(hub, account(1, "C-1", name="Acme"), account(2, "C-2", tax_id="T2")), hub, worker=1)

    async def meanwhile(*args: Any) -> AsyncIterator[list[Mapped]]:
        async for page in unseen(*args):
            async with hub.ingest(await hub.lease(Lane("crm", 2))) as tx:
                await tx.saw([item.row for item in page if item.row.key == "C-1"])
                await tx.commit(IngestOutcome(), rulebook="book")
            yield page

    async def begin() -> None:
        await hub.begin_again("crm", 2, {"crm.account/0": f"{2:016x}"}, BEGUN)
        await hub.read_until("crm", {}, 2)

    asyncio.run(begin())
    monkeypatch.setattr("fieldwarden.engine.running.ingest.release.unseen", meanwhile)
    live(partitioned(hub), hub, worker=1)
    assert {row.key: hub.record(id).retired for row, id in hub.crosswalk.items()} == {"C-1": False, "C-2": True}


def retold(hub: MemoryHub, first: RawChange, again: RawChange) -> list[bool]:
    """After the first, a new baseline in which only the second is told; whether a record was ever read as retired."""
    looks: list[bool] = []

    async def look() -> None:
        while True:
            if not await hub.unread(["crm"]):
                looks.append(any(hub.record(id).retired for id in hub.records))
            await asyncio.sleep(0.01)

    async def begin() -> None:
        await hub.begin_again("crm", 2, {"crm.account/0": f"{1:016x}"}, BEGUN)
        await hub.read_until("crm", {"crm.account/0": f"{2:016x}"}, 2)

    live(partitioned(hub, first), hub, worker=1)
    asyncio.run(begin())
    live(partitioned(hub, first, again), hub, worker=1, beside=look)
    return looks


def test_a_row_that_got_another_key_unnoticed_is_never_delivered_as_deleted() -> None:
    """Told under its new key it is ambiguous, until the sweep has found that the old one is gone."""
    hub = MemoryHub()
    looks = retold(hub, account(1, "K1", tax_id="T1"), account(2, "K2", tax_id="T1"))
    assert looks, "the system is read in the end"
    assert not any(looks)
    assert hub.set_aside == {}
    [id] = hub.records
    assert {row.key: row.live for row in hub.record(id).rows} == {"K1": False, "K2": True}


def test_a_batch_that_another_lane_forestalled_is_decided_again_at_once() -> None:
    moved = iter([True])

    def crash(step: str) -> None:
        if step == "ingest.before_write" and next(moved, False):
            raise IdentityMoved("another lane has created a customer that this batch looked for")

    hub = MemoryHub(crash=crash)
    source = ScriptedSource("crm", [account(1, tax_id="T1"), account(2, tax_id="T1", name="Acme")])
    live(source, hub, 2.0)
    assert len(source.opened) == 1
    assert [hub.record(id).golden["name"] for id in hub.records] == ["Acme"]


def rekey(position: int, old: str, new: str, stream: str = "public.account") -> RawChange:
    relation = Relation(stream, ("id",), ("text",))
    return RawChange(relation, "rekey", (new,), "", position, old_values=(old,), follows_rekey=True)


def arriving(change: RawChange) -> RawChange:
    """The news under a new key, which waits for the word that the row has taken it."""
    change.follows_rekey = True
    return change


def over(hub: MemoryHub, system: str, *partitions: list[RawChange]) -> PartitionedSource:
    log = {f"{system}/{number}": told for number, told in enumerate(partitions)}
    source = PartitionedSource(system, log)
    source.give(list(log))
    return source


def test_a_child_that_names_its_parent_by_a_key_given_up_finds_it() -> None:
    hub = MemoryHub()
    moves = [party(1, tax_id="T1"), rekey(2, "P-1", "P-2", "public.party"), rekey(3, "P-2", "P-3", "public.party")]
    live(over(hub, "erp", moves), hub)
    live(over(hub, "erp", moves, [address(4, "P-1"), address(5, "P-3")]), hub)
    assert kinds(hub) == []
    [id] = hub.records
    assert [(row.key, row.live) for row in hub.record(id).rows] == [("P-3", True), ("A-1", True)]
    assert hub.record(id).golden["city"] == "Rome"


def test_a_child_that_waits_for_its_parent_goes_on_when_that_comes_under_another_key() -> None:
    hub = MemoryHub()
    live(over(hub, "erp", [address(4, "P-1")]), hub)
    assert kinds(hub) == ["parent"]
    parent = [rekey(2, "P-1", "P-2", "public.party"), arriving(party(3, "P-2", tax_id="T1"))]
    live(over(hub, "erp", [address(4, "P-1")], parent), hub)
    assert kinds(hub) == []
    [id] = hub.records
    assert hub.record(id).golden["city"] == "Rome"


def test_a_change_that_waits_for_a_rekey_that_never_comes_goes_on_when_a_person_says_so() -> None:
    hub = MemoryHub()
    told = [arriving(account(1, "C-2", tax_id="T1")), account(2, "C-2", name="Acme")]
    live(over(hub, "crm", told), hub)
    assert kinds(hub) == ["rekey", "behind"]
    hub.released.add(min(hub.set_aside))
    live(over(hub, "crm", told), hub)
    assert kinds(hub) == []
    assert [hub.record(id).golden["name"] for id in hub.records] == ["Acme"]


def test_what_came_further_than_its_rekey_does_not_wait_for_it_again() -> None:
    hub = MemoryHub()
    told = [rekey(1, "C-1", "C-2"), arriving(account(2, "C-2", tax_id="T1")), account(3, "C-3", tax_id="T1")]
    other = [account(1, "C-9", tax_id="T1")]
    live(over(hub, "crm", other, told), hub)
    assert kinds(hub) == ["ambiguous", "ambiguous"]
    gone = account(4, "C-9")
    gone.operation = "delete"
    live(over(hub, "crm", [*other, gone], told), hub)
    hub.released.add(min(hub.set_aside))
    live(over(hub, "crm", [*other, gone], told), hub)
    assert kinds(hub) == ["ambiguous"]
    assert {row.key for row in hub.crosswalk} == {"C-9", "C-2"}


def test_what_stands_before_a_truncate_is_not_stored_by_whoever_lost_the_partition() -> None:
    hub = MemoryHub()
    source = partitioned(hub, account(1, tax_id="T1"), truncate(2))
    cut = source._cut
    losses = iter([True])

    def lost() -> Batch:
        batch = cut()
        if bool(batch.parts) and next(losses, False):
            hub.partitions["crm", "crm.account/0"].epoch += 1
            source._log["crm.account/0"][:] = [account(1, tax_id="T2")]
        return batch

    source._cut = lost  # type: ignore[method-assign]
    live(source, hub)
    assert [hub.record(id).golden["tax_id"] for id in hub.records] == ["T2"]
