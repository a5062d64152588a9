"""Hints: the rows that they name are looked at, and what is seen is decided and made durable before they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from structlog.testing import capture_logs

from fieldwarden.engine.change import UNKNOWN, RawChange, RowRef
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.engine.ports.source import Observation
from fieldwarden.engine.running.ingest.brake import Bounds
from fieldwarden.engine.running.ingest.looking import AT_ONCE
from fieldwarden.engine.testing import MemoryHub, ScriptedSource
from tests.builders import raw
from tests.unit.engine.test_loops import account, ahead, kinds, live

STREAM = "public.account"


def row(key: str) -> RowRef:
    return RowRef("crm", STREAM, key)


def hint(position: int, key: str = "C-1") -> RawChange:
    return raw(STREAM, "hint", position, id=key)


class Asked(ScriptedSource):
    """Notes what is looked at, and what was acknowledged by then. `before` is called first, and may raise."""

    def __init__(self, changes: Sequence[RawChange], before: Callable[[], None] = lambda: None, **more: Any) -> None:
        super().__init__("crm", changes, **more)
        self.looks: list[list[str]] = []
        self.known: list[int] = []
        self._before = before

    async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
        self.looks.append([each.key for each in rows])
        self.known.append(len(self.acknowledged))
        self._before()
        return await super().look(rows)


def names(hub: MemoryHub) -> dict[str, Any]:
    """Of live records, by their row's key."""
    live_rows = {row.key: hub.record(id) for row, id in hub.crosswalk.items()}
    return {key: record.golden.get("name") for key, record in live_rows.items() if not record.retired}


def test_a_hint_brings_in_what_the_row_holds_now() -> None:
    hub, source = MemoryHub(), Asked([account(1, name="Old"), hint(2), hint(3, "C-2")])
    source.holds = {row("C-1"): account(0, name="New"), row("C-2"): account(0, "C-2", name="Other")}
    live(source, hub)
    assert names(hub) == {"C-1": "New", "C-2": "Other"}
    assert source.acknowledged[-1] == hub.partitions["crm", LOG].position


def test_the_hints_of_a_batch_are_one_look_at_each_row_once_and_a_long_one_is_cut() -> None:
    source = Asked([hint(n, f"C-{n % (AT_ONCE + 20)}") for n in range(2 * AT_ONCE)], size=5000)
    live(source, MemoryHub())
    assert [len(look) for look in source.looks] == [AT_ONCE, 20]
    assert len({key for look in source.looks for key in look}) == AT_ONCE + 20


def test_a_row_that_is_gone_by_the_look_is_deleted_and_one_that_nobody_knows_is_nothing() -> None:
    hub = MemoryHub()
    live(Asked([account(1, name="Acme"), hint(2), hint(3, "C-2")]), hub)
    assert names(hub) == {}
    assert [hub.record(id).retired for id in hub.records] == [True]
    assert hub.set_aside == {}


def test_hints_whose_rows_are_all_gone_meet_the_brake_on_mass_deletion() -> None:
    hub = MemoryHub()
    keys = [f"C-{n}" for n in range(10)]
    live(ScriptedSource("crm", [account(n, key, name=key) for n, key in enumerate(keys, 1)]), hub)
    source = Asked([*(account(n, key, name=key) for n, key in enumerate(keys, 1)), *(hint(99, key) for key in keys)])
    live(source, hub, deletes=Bounds(Decimal("0.2"), 3, 10**12))
    assert len(names(hub)) == 10
    assert kinds(hub) == ["brake"] * 10


def test_a_look_that_fails_is_tried_again_and_nothing_before_it_is_lost_and_no_hint_acknowledged() -> None:
    hub, fails = MemoryHub(), [TransientError("crm: no answer")] * 3
    seen: list[dict[str, Any]] = []

    def before() -> None:
        seen.append(names(hub))
        if fails:
            raise fails.pop()

    source = Asked([account(1, name="Acme"), hint(2, "C-2")], before)
    source.holds = {row("C-2"): account(0, "C-2", name="Other")}
    live(source, hub, 60)
    assert seen == [{"C-1": "Acme"}] * 4, "what stood before it is durable, however often it fails"
    assert source.known == [0] * 4
    assert names(hub) == {"C-1": "Acme", "C-2": "Other"}
    assert len(source.acknowledged) == 1


def test_what_a_look_saw_stands_behind_what_was_told_before_it_and_not_before_what_is_told_later() -> None:
    """A source that cannot say where its look stands among the row's changes."""
    hub = MemoryHub()
    source = Asked([account(1, name="1"), hint(2), account(3, name="2"), account(4, name="3")], size=2)
    source.holds = {row("C-1"): account(0, name="3")}
    live(source, hub)
    assert names(hub) == {"C-1": "3"}
    [id] = hub.records
    assert [each.said for each in hub.record(id).rows] == [f"{4:08}"]


def test_a_row_that_a_look_has_placed_as_gone_is_not_brought_back_by_what_was_done_before_the_look() -> None:
    class Placed(Asked):
        async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
            return [Observation(each, None, f"{3:08}!") for each in rows]

    hub = MemoryHub()
    live(Placed([account(1, name="1"), hint(3), account(2, name="late")], size=1), hub)
    assert names(hub) == {}
    live(ScriptedSource("crm", [hint(1)] * 3 + [account(4, name="again")], size=1), hub)
    assert names(hub) == {"C-1": "again"}


def test_a_row_that_was_deleted_is_there_again_if_it_is_seen() -> None:
    hub, source = MemoryHub(), Asked([account(1, name="1"), raw(STREAM, "delete", 2, id="C-1"), hint(3)])
    source.holds = {row("C-1"): account(0, name="again")}
    live(source, hub)
    assert names(hub) == {"C-1": "again"}


def test_what_was_seen_of_a_row_whose_changes_are_set_aside_is_no_news_once_newer_ones_have_come() -> None:
    """It waits behind them, at the place where it was seen."""
    hub = MemoryHub()
    late = account(2, phone="1", segment=UNKNOWN)
    late.at = 10**15
    source = Asked([account(1, name="1"), late, hint(3)])
    source.holds = {row("C-1"): account(0, name="seen", segment=UNKNOWN)}
    live(source, hub)
    assert kinds(hub) == ["data", "behind"]
    live(ScriptedSource("crm", [*source.changes, account(4, name="newest", phone="2")]), hub)
    assert (names(hub), kinds(hub)) == ({"C-1": "newest"}, [])


def test_rows_that_nothing_can_be_said_of_are_told_in_the_log_and_stay_as_they_are() -> None:
    class Mute(Asked):
        async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
            return []

    hub = MemoryHub()
    with capture_logs() as logs:
        live(Mute([account(1, name="Acme"), hint(2), hint(3, "C-2")]), hub)
    assert names(hub) == {"C-1": "Acme"}
    assert [each["count"] for each in logs if each["event"] == "source.hints_unanswered"] == [2]


def test_a_hint_whose_key_nobody_can_have_is_set_aside() -> None:
    hub = MemoryHub()
    live(Asked([hint(1, "k" * 3000), account(2, name="Acme")]), hub)
    assert (names(hub), kinds(hub)) == ({"C-1": "Acme"}, ["data"])


def test_a_row_gone_by_a_hint_is_deleted_also_while_all_rows_are_told_again() -> None:
    """What was told of it in this baseline came before the look."""
    hub, first = MemoryHub(), [account(1, name="Acme"), account(2, "C-2", name="Other")]
    live(ScriptedSource("crm", first, snapshot=2), hub)
    source = Asked(first)
    source.tell_again([account(3, name="Acme"), account(4, "C-2", name="Other"), hint(5)])
    source.holds = {row("C-2"): account(0, "C-2", name="Other")}
    live(source, hub)
    assert names(hub) == {"C-2": "Other"}
    assert source.opened == [f"{2:012d}"]


def test_what_was_told_or_seen_with_hints_while_all_rows_are_told_again_is_not_looked_for_once_more() -> None:
    hub, keys = MemoryHub(), [f"C-{n:04}" for n in range(AT_ONCE + 1)]
    told = [account(n, key, name=key) for n, key in enumerate(keys, 1)]
    live(ScriptedSource("crm", [*told, account(9000, "told", name="told")], snapshot=len(told) + 1), hub)
    source = Asked([*told, account(9000, "told", name="told")], size=5000)
    source.tell_again([account(9001, "told", name="told"), *(hint(9002, key) for key in keys)])
    source.holds = {row(key): account(0, key, name=key) for key in keys}
    live(source, hub)
    assert [len(look) for look in source.looks] == [AT_ONCE, 1]
    assert len(names(hub)) == len(keys) + 1


def test_a_change_of_the_future_does_not_make_what_is_seen_wait() -> None:
    hub, source = MemoryHub(), Asked([ahead(1, name="from the future"), hint(2)])
    source.holds = {row("C-1"): account(0, name="seen")}
    live(source, hub)
    assert (names(hub), kinds(hub)) == ({"C-1": "seen"}, [])


def test_a_hint_in_one_batch_with_a_truncate_is_looked_at_all_the_same() -> None:
    hub, source = MemoryHub(), Asked([account(1, name="1"), hint(2, "C-2"), raw(STREAM, "truncate", 3), hint(4, "C-3")])
    source.holds = {row("C-2"): account(0, "C-2", name="2"), row("C-3"): account(0, "C-3", name="3")}
    live(source, hub)
    assert (names(hub), source.looks) == ({"C-2": "2", "C-3": "3"}, [["C-2", "C-3"]])


def test_however_often_a_row_is_seen_otherwise_its_position_stays_short_and_the_newest_look_stands() -> None:
    hub, source = MemoryHub(), Asked([account(1, name="told"), *(hint(n) for n in range(2, 52))], size=1)

    def renamed() -> None:
        source.holds = {row("C-1"): account(0, name=f"seen {len(source.looks)}")} if len(source.looks) % 3 else {}

    source._before = renamed
    live(source, hub)
    assert names(hub) == {"C-1": "seen 50"}
    [id] = hub.records
    assert [len(each.said) for each in hub.record(id).rows] == [len(f"{1:08}!!{49:08x}")]


def test_a_look_that_meets_a_bug_at_one_row_sets_that_one_aside_until_it_is_mended() -> None:
    hub, source = MemoryHub(), Asked([hint(1), hint(2, "C-2"), hint(3, "C-3")])
    source.holds = {row(key): account(0, key, name=f"Company {key}") for key in ("C-1", "C-2", "C-3")}
    broken = {"C-2"}

    def bug() -> None:
        if broken.intersection(source.looks[-1]):
            raise KeyError("nobody foresaw this")

    def mend() -> None:
        [kept] = hub.set_aside.values()
        assert (kept.row, kept.kind) == (row("C-2"), "data")
        assert "fingerprint" in kept.reason
        assert names(hub) == {"C-1": "Company C-1", "C-3": "Company C-3"}
        assert source.acknowledged
        broken.clear()
        hub.released.add(kept.id)

    source._before = bug
    live(source, hub, during=mend)
    assert names(hub)["C-2"] == "Company C-2"
    assert not hub.set_aside
