"""An unexpected error is narrowed down to the record that meets it, which is parked; all else goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

import pytest
from structlog.testing import capture_logs

from fieldwarden.engine import bugs, failpoints
from fieldwarden.engine.change import RawChange
from fieldwarden.engine.deciding.kept_changes import pack, unpack
from fieldwarden.engine.errors import Fenced, SchemaDrift, ValueRefused
from fieldwarden.engine.guard import GuardViolation
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.hub import Lease, Settlement
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.engine.ports.target import Write, WriteResult
from fieldwarden.engine.testing import MemoryHub, MemoryTarget, ScriptedSource
from fieldwarden.engine.testing.vendor import Manners, Vendor, VendorTarget
from tests.unit.engine.test_delivering import marks, running
from tests.unit.engine.test_loops import account, ahead, deliver, kinds, live

Arm = Callable[[str], None]


@pytest.fixture
def arm() -> Iterator[Arm]:
    yield failpoints.arm
    failpoints.arm("")


def names(hub: MemoryHub) -> list[str]:
    return sorted(str(hub.record(id).golden.get("name")) for id in hub.records)


def accounts(*keys: str) -> list[RawChange]:
    return [account(n, key, tax_id=f"T{key}", name=f"Company {key}") for n, key in enumerate(keys, 1)]


@pytest.mark.parametrize("where", ["ingest.mapping", "ingest.deciding"])
def test_a_change_that_meets_a_bug_is_set_aside_and_all_else_goes_on(arm: Arm, where: str) -> None:
    hub = MemoryHub()
    arm(f"{where}:B:bug")
    source = ScriptedSource("crm", [*accounts("A", "B", "C", "D"), account(5, "B", name="again")])
    with capture_logs() as logs:
        live(source, hub)
    assert names(hub) == ["Company A", "Company C", "Company D"]
    first, *_ = hub.set_aside.values()
    assert (first.row.key, first.kind) == ("B", "data")
    assert "a bug in Fieldwarden met this change (fingerprint " in first.reason
    found = [each for each in logs if each["event"] == "bug.found"]
    assert len(found) == 1, "told once"
    assert found[0]["kind"] == "InjectedBug"
    assert found[0]["fingerprint"] in first.reason
    assert "Company B" not in str(logs)
    assert source.acknowledged[-1] == hub.partitions["crm", LOG].position


def test_many_bugs_in_one_batch_park_each_its_own_change(arm: Arm) -> None:
    hub = MemoryHub()
    arm("ingest.deciding:B:bug")
    changes = [account(n, "B" if n % 2 else f"A{n}", tax_id=f"T{n}", name=f"{n}") for n in range(1, 41)]
    live(ScriptedSource("crm", changes), hub)
    assert len(hub.records) == 20
    assert len(hub.set_aside) == 20


def test_what_was_set_aside_for_a_bug_goes_on_when_a_person_says_so(arm: Arm) -> None:
    hub = MemoryHub()
    arm("ingest.deciding:B:bug")

    def mend() -> None:
        failpoints.arm("")
        hub.released.update(hub.set_aside)

    live(ScriptedSource("crm", accounts("A", "B")), hub, during=mend)
    assert names(hub) == ["Company A", "Company B"]
    assert hub.set_aside == {}


class PickyHub(MemoryHub):
    """A hub that cannot keep one value, as PostgreSQL cannot keep every text."""

    def apply(self, lease: Lease, outcome: IngestOutcome, rulebook: str) -> None:
        if any(record.golden.get("name") == "Company C" for record in outcome.records):
            raise ValueError("cannot be stored: Company C")
        super().apply(lease, outcome, rulebook)


def test_a_commit_that_fails_for_one_records_data_is_made_without_it() -> None:
    hub = PickyHub()
    source = ScriptedSource("crm", accounts("A", "B", "C", "D", "E"))
    with capture_logs() as logs:
        live(source, hub)
    assert names(hub) == ["Company A", "Company B", "Company D", "Company E"]
    assert [kept.row.key for kept in hub.set_aside.values()] == ["C"]
    assert "Company C" not in str(logs) + str([kept.reason for kept in hub.set_aside.values()])
    assert source.acknowledged[-1] == hub.partitions["crm", LOG].position


class BrokenHub(MemoryHub):
    def apply(self, lease: Lease, outcome: IngestOutcome, rulebook: str) -> None:
        raise ZeroDivisionError


def test_what_cannot_be_narrowed_down_stops_the_process_with_nothing_acknowledged() -> None:
    hub = BrokenHub()
    source = ScriptedSource("crm", accounts("A", "B"))
    with pytest.raises(ZeroDivisionError):
        live(source, hub)
    assert source.acknowledged == []
    assert hub.set_aside == {}


def test_a_bug_among_what_is_tried_again_holds_up_nothing_else(arm: Arm) -> None:
    hub = MemoryHub()
    live(ScriptedSource("crm", [ahead(1, "B"), ahead(2, "A")]), hub)
    for kept in hub.set_aside.values():
        kept.payload = b"{}" if kept.row.key == "B" else kept.payload.replace(b"1000000000000000", b"1")
    hub.released.update(hub.set_aside)
    live(ScriptedSource("crm", []), hub)
    assert [hub.record(id).rows[0].key for id in hub.records] == ["A"]
    assert kinds(hub) == ["data"]
    assert hub.released == set()


# --- deliveries ----------------------------------------------------------------------------------------------


def parked(hub: MemoryHub) -> list[str]:
    return [mark.reason for (name, _), mark in hub.dirty.items() if name == "billing" and mark.status == "parked"]


def stocked(*keys: str) -> MemoryHub:
    hub = MemoryHub()
    live(ScriptedSource("crm", accounts(*keys)), hub)
    return hub


def written(target: MemoryTarget) -> list[str]:
    return sorted(str(row.values["name"]) for row in target.rows.get("public.customer", {}).values())


def test_a_record_whose_planning_meets_a_bug_is_parked_and_the_others_are_delivered(arm: Arm) -> None:
    hub, target = stocked("A", "B", "C"), MemoryTarget("billing")
    [culprit] = [id for id in hub.records if hub.record(id).golden["name"] == "Company B"]
    arm(f"delivery.planning:{culprit}:bug")
    deliver(hub, target)
    assert written(target) == ["Company A", "Company C"]
    assert len(parked(hub)) == 1
    assert "a bug in Fieldwarden met this delivery (fingerprint " in parked(hub)[0]


@pytest.mark.parametrize("error", [ZeroDivisionError(), GuardViolation("outside the rules")])
def test_a_record_whose_write_meets_a_bug_is_parked_and_the_others_are_delivered(error: Exception) -> None:
    def fail(writes: Sequence[Write]) -> None:
        if any(write.values.get("name") == "Company B" for write in writes):
            raise error

    hub, target = stocked("A", "B", "C", "D"), MemoryTarget("billing", before=fail)
    deliver(hub, target)
    assert written(target) == ["Company A", "Company C", "Company D"]
    assert len(parked(hub)) == 1


class Stumbling(VendorTarget):
    """A connector that meets a bug at one record: once what stands before it in its call is made, or all of it is."""

    made_all = False
    calls: list[list[str]]

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        self.calls.append(sorted(str(write.values["name"]) for write in writes))
        broken = False
        for write in writes:
            if write.values.get("name") != "Company B":
                self.vendor.do(write)
            elif not self.made_all:
                raise ZeroDivisionError
            else:
                broken = True
        if broken:
            raise ZeroDivisionError
        for write in writes:
            yield WriteResult(write.token, "unknown")


@pytest.mark.parametrize("made_all", [True, False])
def test_a_bug_in_a_call_that_leaves_doubt_is_its_records_and_what_became_of_the_others_is_looked_up(
    made_all: bool,
) -> None:
    hub, target = stocked("A", "B", "C"), Stumbling(Vendor("billing", Manners(unique=False, settles_within=5.0)))
    target.made_all, target.calls = made_all, []
    running(hub, target, 60)
    rows = sorted(str(row.values["name"]) for row in target.vendor.rows["public.customer"].values())
    assert rows == ["Company A", "Company C"]
    assert len(parked(hub)) == 1
    assert "a bug in Fieldwarden met this delivery (fingerprint " in parked(hub)[0]
    assert [status for status, _ in marks(hub)] == ["parked"], "the others are done"
    assert target.calls[0] == ["Company A", "Company B", "Company C"]
    assert all(len(call) == 1 for call in target.calls[1:]), "and each is by itself from then on"


def test_where_the_first_of_several_calls_finds_the_target_busy_the_others_are_not_made() -> None:
    asked: list[list[str]] = []

    class Busy(VendorTarget):
        async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
            asked.append([write.record for write in writes])
            if len(writes) > 1:
                raise ZeroDivisionError
            for write in writes:
                yield WriteResult(write.token, "busy", pause=100.0)

    hub = stocked("A", "B", "C")
    running(hub, Busy(Vendor("billing", Manners(unique=False, settles_within=1.0))), 60)
    assert [len(call) for call in asked] == [3, 1]
    assert marks(hub) == [("due", 0)] * 3


class ForgetfulHub(MemoryHub):
    """A hub that cannot keep what one delivery learnt."""

    async def settle(self, target: str, settlements: Sequence[Settlement]) -> None:
        for each in settlements:
            if each.links and self.record(each.record).golden["name"] == "Company B":
                raise ValueError("cannot be stored")
        await super().settle(target, settlements)


def test_a_delivery_that_cannot_be_settled_is_parked_and_the_others_are_settled() -> None:
    hub, target = ForgetfulHub(), MemoryTarget("billing")
    live(ScriptedSource("crm", accounts("A", "B", "C")), hub)
    deliver(hub, target)
    assert [mark.status for (name, _), mark in hub.dirty.items() if name == "billing"] == ["parked"]
    assert len(target.rows["public.customer"]) == 3


# --- what an error means ---------------------------------------------------------------------------------------


class DatabaseError(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("value 'secret' does not fit")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyError("name"), True),
        (ValueRefused("too long"), True),
        (DatabaseError("22021"), True),
        (DatabaseError("54000"), True),
        (DatabaseError(None), True),
        (DatabaseError("42P01"), False),
        (Fenced("another worker"), False),
        (SchemaDrift("a column is gone"), False),
        (MemoryError(), False),
    ],
)
def test_which_errors_one_record_may_be_to_blame_for(error: Exception, expected: bool) -> None:
    assert bugs.of_one_record(error) is expected


def met(key: str) -> bugs.Bug:
    try:
        _ = dict[str, str]()[key]
    except KeyError as error:
        return bugs.bug_of(error)
    raise AssertionError


def test_a_fingerprint_is_that_of_the_code_and_not_of_the_values() -> None:
    assert met("Jane").fingerprint == met("Joe").fingerprint
    assert "Jane" not in str(met("Jane"))


@pytest.mark.parametrize("text", ["a\0b", "\\0", "\0\\", "plain", "a\\\0c"])
def test_what_is_set_aside_is_kept_to_the_letter_even_where_postgres_cannot_hold_it(text: str) -> None:
    change = account(1, name=text, phone="1")
    packed = pack(change)
    assert b"\\u0000" not in packed
    assert unpack(packed).values == change.values
