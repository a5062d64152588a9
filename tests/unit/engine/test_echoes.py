"""Our own writes are known for ours however golden moves meanwhile, and nothing else is taken for one of them."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.contribution import begin, hear, tell, unlike_ours
from fieldwarden.engine.deciding.echoes import Places, made, moved
from fieldwarden.engine.delivering.settling import noted, settle
from fieldwarden.engine.record import REMEMBERED, UNDERWAY, Contribution, Record, Stamp
from tests.builders import ACCOUNT, PARTY, said

LIMIT = frozenset({"limit"})
PLACES: Places = {(ACCOUNT.system, ACCOUNT.stream): (LIMIT, True)}


class World:
    """One record whose owner moves its limit, and the row of another system that we write it to, as far as the ledger
    asks whose a value is there."""

    def __init__(self, golden: str | None = "A", told: str | None = "A") -> None:
        owner = Contribution(PARTY.system, PARTY.stream, PARTY.key, "1", Stamp("1", 1), {"limit": golden})
        self.record = Record("1", "customer", 2, {"limit": golden}, [owner])
        self.stands = told
        """What the row holds there; None: it is not there."""
        self.log: list[tuple[str, bool]] = []
        self.claimed: Record | None = None
        self.learnt: dict[RowRef, dict[str, Value]] = {}
        self.links: list[RowRef] = []
        self.position = 1
        self.foreign = 0
        if told is not None:
            self.record.rows.append(begin(said(ACCOUNT, 1, limit=told)))
            hear(self.record.rows[1], said(ACCOUNT, 1, limit=told), frozenset(), {})

    @property
    def row(self) -> Contribution | None:
        return self.record.row(ACCOUNT)

    def golden(self, value: str | None) -> None:
        before, self.record.golden["limit"] = self.record.golden["limit"], value
        if before != value:
            moved(self.record, "limit", before, PLACES)

    def write(self) -> None:
        """Claim and write, guarded by what the row should hold."""
        self.claimed = msgspec.json.decode(msgspec.json.encode(self.record), type=Record)
        self.learnt, self.links = {}, []
        golden, row = self.record.golden["limit"], self.row
        expected = None if row is None else row.holds("limit")
        if row is None:
            self.links = [ACCOUNT]
        if expected == golden:
            return
        if self.stands == expected:
            self._stores(golden or "", ours=True)
        if self.stands == golden:
            self.learnt = {ACCOUNT: {"limit": golden}}

    def settle(self) -> None:
        """What was written becomes known; without this, it is lost with a crash."""
        if self.claimed is not None:
            settled = settle(self.record, self.claimed, ACCOUNT.system, self.learnt, self.links)
            self.record.rows = settled.rows or self.record.rows
        self.claimed = None

    def touch(self) -> None:
        """We write another field of the row."""
        if self.stands is not None:
            self.log.append((self.stands, True))

    def meddle(self) -> None:
        """A trigger stores something in a transaction of ours: each time another value, for a write of ours takes one
        that comes again for the one that it was meant to replace."""
        if self.stands is not None and self.foreign < REMEMBERED:
            self.foreign += 1
            self._stores(f"666{self.foreign}", ours=False)

    def echo(self) -> None:
        """The next of what happened to the row comes, under our mark."""
        if not self.log:
            return
        value, ours = self.log.pop(0)
        self.position += 1
        change = replace(said(ACCOUNT, self.position, limit=value), echo=True)
        row = self.row
        if row is None:
            row = begin(change)
            self.record.rows.append(row)
        if not row.said:
            made(row, self.record.rows, LIMIT)
        found = unlike_ours(row, change, LIMIT, self.record.golden, ["limit"])
        assert found == ([] if ours else ["limit"]), (value, row)
        hear(row, change, frozenset(), self.record.golden)
        for name in found:
            tell(row, name, self.record.golden[name])
        assert len(row.known.get("limit", ())) <= UNDERWAY

    def does(self, *acts: str) -> None:
        for act in acts:
            if act in "ABCD":
                self.golden(act)
            else:
                getattr(self, act)()

    def _stores(self, value: str, *, ours: bool) -> None:
        self.stands = value
        self.log.append((value, ours))


ACTS = ["A", "B", "C", "D", "write", "write", "write", "settle", "settle", "touch", "meddle", "echo", "echo", "echo"]


@settings(max_examples=400, derandomize=True, database=None)
@given(told=st.sampled_from(["A", "0", None]), acts=st.lists(st.sampled_from(ACTS), max_size=60))
@example(told="A", acts=["B", "write", "C", "echo"])
@example(
    told="A", acts=["B", "write", "settle", "A", "write", "settle", "B", "write", "settle", "echo", "echo", "echo"]
)
def test_whatever_comes_under_our_mark_is_ours_exactly_where_we_wrote_it(told: str | None, acts: list[str]) -> None:
    world = World(told=told)
    world.does(*acts)
    while world.log:
        world.echo()


@pytest.mark.parametrize(
    "acts",
    [
        ("B", "write", "C", "echo"),
        ("B", "write", "C", "D", "echo"),
        ("B", "write", "settle", "C", "write", "D", "echo", "echo"),
        ("B", "write", "touch", "C", "settle", "write", "touch", "D", "echo", "echo", "echo", "echo"),
        ("B", "write", "settle", "A", "write", "settle", "B", "write", "settle", "C", "echo", "echo", "echo"),
    ],
)
def test_an_echo_is_ours_though_golden_has_moved_on_before_the_write_was_settled(acts: tuple[str, ...]) -> None:
    World().does(*acts)


def test_a_row_made_with_a_former_golden_value_is_ours_whether_that_was_settled_or_not() -> None:
    for end in (("echo",), ("settle", "echo"), ("write", "settle", "echo")):
        World(told=None).does("write", "B", *end)


def test_a_note_of_a_created_row_knows_what_it_may_have_been_made_with() -> None:
    world = World(told=None)
    world.does("B")
    noted(world.record.rows, [(ACCOUNT, {"limit": "B"})])
    world.log = [("A", True), ("B", True)]
    world.does("echo", "echo")


def test_where_every_write_has_come_back_nothing_is_noted_and_a_strangers_value_is_told() -> None:
    """However often golden goes to and fro before our writes come back."""
    world = World()
    for _ in range(3 * UNDERWAY):
        world.does("B", "write", "settle", "A", "write", "settle", "echo", "echo")
    assert world.row is not None
    assert world.row.known == {}
    world.does("meddle", "echo")
    assert world.foreign == 1


def test_where_nothing_is_on_its_way_a_moving_golden_value_is_not_noted() -> None:
    world = World()
    for value in "BCDABCD":
        world.does(value, "write", "settle", "echo")
        assert world.row is not None
        assert (world.row.known, world.record.rows[0].former) == ({}, {})


def test_our_write_seen_without_its_mark_ends_what_was_before_it() -> None:
    world = World()
    world.does("B", "write", "settle", "C", "write", "settle")
    assert world.row is not None
    hear(world.row, said(ACCOUNT, 2, limit="C"), frozenset(), world.record.golden)
    assert (world.row.sent, world.row.known) == ({}, {})


def test_golden_values_are_noted_until_every_system_has_its_row() -> None:
    world = World(told=None)
    for number in range(100):
        world.golden(str(number))
    assert len(world.record.rows[0].former["limit"]) == UNDERWAY
    world.does("write", "settle", "echo", "A")
    assert world.record.rows[0].former == {}
