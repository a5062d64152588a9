"""The brake on mass deletion: what it counts, what it holds, and what ends that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from fieldwarden.engine.change import RawChange
from fieldwarden.engine.running.ingest.brake import Bounds
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, ScriptedSource
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import CUSTOMER, raw, rulebook
from tests.simulation.virtual_time import simulate
from tests.unit.engine.test_loops import account, kinds

MINUTE = 60_000_000
BOUNDS = Bounds(Decimal("0.2"), 3, 10 * MINUTE)
RULES = rulebook(CUSTOMER | {"delete": {"authority": ["crm"]}})


@pytest.mark.parametrize(
    ("told", "rows", "passed"),
    [(3, 3, False), (4, 20, False), (4, 19, True), (5, 20, True), (1000, 10_000, False)],
)
def test_both_bounds_have_to_be_passed(told: int, rows: int, passed: bool) -> None:
    assert BOUNDS.passed(told, rows) is passed


class World:
    """One hub whose CRM is read on and on; `now` in µs."""

    def __init__(self, rows: int = 10, rules: Rulebook = RULES) -> None:
        self.hub = MemoryHub()
        self.rules = rules
        self.now = 10**12
        self.changes: list[RawChange] = []
        self.tell([self.there(number) for number in range(rows)])

    @property
    def next(self) -> int:
        return len(self.changes) + 1

    def there(self, number: int) -> RawChange:
        return account(self.next, f"C-{number:05}", tax_id=f"T{number}", name="Acme")

    def gone(self, number: int) -> RawChange:
        return raw("public.account", "delete", self.next, id=f"C-{number:05}")

    def delete(self, *numbers: int, size: int = 100) -> None:
        self.tell([self.gone(number) for number in numbers], size=size)

    def truncate(self) -> None:
        self.tell([raw("public.account", "truncate", self.next)])

    def tell(self, changes: Sequence[RawChange], *, size: int = 100) -> None:
        for change in changes:
            self.changes.append(change)
            change.position = f"{len(self.changes):012d}"
        self.read(ScriptedSource("crm", self.changes, size=size))

    def read(self, source: ScriptedSource) -> None:
        async def main() -> None:
            stop = asyncio.Event()
            pipeline = Pipeline(self.rules, source, self.hub, Telemetry(), clock=lambda: self.now, deletes=BOUNDS)
            running = asyncio.create_task(pipeline.run(stop))
            await asyncio.sleep(30)
            stop.set()
            await running

        simulate(main())

    def approve(self) -> None:
        self.hub.released.update(id for id, kept in self.hub.set_aside.items() if kept.kind == "brake")
        self.tell([])

    @property
    def live(self) -> int:
        return sum(not self.hub.record(id).retired for id in self.hub.records)


def test_a_few_deletions_go_through() -> None:
    world = World()
    world.delete(1, 2, 3)
    assert (world.live, kinds(world.hub)) == (7, [])


def test_of_too_many_at_once_none_goes_through_and_all_else_flows() -> None:
    world = World()
    world.tell([*(world.gone(number) for number in range(8)), world.there(77)])
    assert (world.live, kinds(world.hub)) == (11, ["brake"] * 8)


def test_what_went_through_before_counts_while_the_window_lasts() -> None:
    world = World(rows=15)
    world.delete(*range(6), size=2)
    assert (world.live, kinds(world.hub)) == (13, ["brake"] * 4)
    again = World(rows=15)
    again.delete(0, 1, 2)
    again.now += 10 * MINUTE
    again.delete(3, 4, 5)
    assert (again.live, kinds(again.hub)) == (9, [])


def test_a_truncate_is_held_as_a_whole_and_a_single_delete_still_flows() -> None:
    world = World()
    world.truncate()
    assert (world.live, kinds(world.hub)) == (10, ["brake"] * 10)
    world.truncate()
    assert kinds(world.hub) == ["brake"] * 10, "what is held is held once"
    world.tell([world.there(77)])
    world.delete(77)
    assert (world.live, kinds(world.hub)) == (10, ["brake"] * 10)


def test_a_small_table_may_be_emptied() -> None:
    world = World(rows=3)
    world.truncate()
    assert (world.live, kinds(world.hub)) == (0, [])


def test_what_is_approved_is_decided_as_if_told_now() -> None:
    world = World()
    world.truncate()
    world.approve()
    assert (world.live, world.hub.set_aside) == (0, {})


def test_a_row_that_is_there_again_takes_its_deletion_off_the_list() -> None:
    world = World()
    world.truncate()
    world.tell([world.there(1), world.there(2)])
    assert (world.live, kinds(world.hub)) == (10, ["brake"] * 8)
    world.approve()
    assert world.live == 2


def test_a_table_that_is_emptied_and_filled_at_once_asks_nobody() -> None:
    world = World()
    world.tell([*(world.gone(number) for number in range(10)), *(world.there(number) for number in range(10))])
    assert (world.live, world.hub.set_aside) == (10, {})


def test_our_own_write_shows_too_that_the_row_is_there_again() -> None:
    world = World()
    world.truncate()
    ours = world.there(1)
    ours.echo = True
    world.tell([ours])
    assert kinds(world.hub) == ["brake"] * 9


def test_rows_that_a_reread_misses_are_held_too() -> None:
    world = World()
    # A snapshot that is longer than what was read before it shows only four of the ten.
    rows = [account(number + 1, f"C-{number % 4:05}", tax_id=f"T{number % 4}", name="Acme") for number in range(20)]
    world.read(ScriptedSource("crm", rows, snapshot=len(rows)))
    assert (world.live, kinds(world.hub)) == (10, ["brake"] * 6)
    world.approve()
    assert world.live == 4


def test_a_system_without_authority_is_not_asked() -> None:
    """Its deletions retire nothing while others hold the record."""
    world = World(rules=rulebook(CUSTOMER | {"delete": {"authority": ["erp"]}}))
    world.truncate()
    assert kinds(world.hub) == []
