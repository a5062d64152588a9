"""A vendor's system as a source: all rows, then what is new, however it is told, and nothing lost whatever happens."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fieldwarden.connectors.rest.description import Vendor
from fieldwarden.connectors.rest.reading.source import RestSource, reread
from fieldwarden.engine.change import RawChange
from fieldwarden.engine.errors import FieldwardenError, SourceGap
from fieldwarden.engine.ports.parts import Part
from fieldwarden.engine.ports.source import Batch, Start
from fieldwarden.engine.wanted import Wanted
from tests.integration.rest_server import Asked, Reply, Served, serving
from tests.integration.rest_shop import OBJECTS, Shop, session_of, shop_vendor
from tests.parts import first
from tests.patience import within

HOUR = 3_600_000_000
KINDS = pytest.mark.parametrize("kind", OBJECTS)


class Durable:
    """What a hub keeps: how far each part is, and of each row the newest that was told."""

    def __init__(self) -> None:
        self.baseline = 1
        self.parts: dict[str, Part] = {}
        self.rows: dict[tuple[str, str], RawChange] = {}
        self.snapshots: list[str | None] = []
        self.changes: list[RawChange] = []
        self.vanished: set[tuple[str, str]] = set()

    async def take(self, names: Sequence[str]) -> dict[str, Part]:
        return {name: self.parts.get(name, Part(1, None)) for name in names}

    def commit(self, batch: Batch) -> None:
        for name, part in batch.parts.items():
            held = self.parts.get(name)
            assert held is None or held.position is None or part.position is None or held.position < part.position
            self.parts[name] = Part(part.epoch, part.position, baseline=self.baseline)
        for change in batch.changes:
            key = (change.relation.stream, str(change.values[change.relation.columns.index("id")]))
            known = self.rows.get(key)
            if known is None or known.position < change.position:
                self.rows[key] = change
        self.changes += batch.changes
        self.snapshots.append(batch.snapshot)
        if batch.snapshot == "done" and self.baseline > 1:  # the engine looks for what was not told of
            told = f"{self.baseline:04x}"
            self.vanished = {key for key, each in self.rows.items() if each.position[:4] < told}

    def held(self, kind: str) -> dict[str, tuple[Any, Any]]:
        there = {id: each for (stream, id), each in self.rows.items() if stream == kind and each.operation != "delete"}
        kept = {id: each for id, each in there.items() if (kind, id) not in self.vanished}
        return {id: (_of(each, "name"), _of(each, "amount")) for id, each in kept.items()}


def _of(change: RawChange, column: str) -> Any:
    return change.values[change.relation.columns.index(column)]


def wanted(kind: str) -> dict[str, Wanted]:
    return {kind: Wanted(kind, ("id",), frozenset({"id", "name", "amount"}))}


@asynccontextmanager
async def reading(
    shop: Shop, served: Served, durable: Durable, *kinds: str, vendor: Vendor | None = None
) -> AsyncIterator[AsyncIterator[Batch]]:
    session = session_of(served, shop, vendor)
    objects = {name: each for kind in kinds for name, each in wanted(kind).items()}
    source = RestSource(session, objects, 0.0)
    try:
        await source.open(Start(durable.take, durable.baseline))
        yield aiter(source.batches())
    finally:
        await session.close()


async def until(batches: AsyncIterator[Batch], durable: Durable, done: Callable[[], bool]) -> None:
    async with within():
        while not done():
            durable.commit(await anext(batches))


# --- all rows, and what is new ---------------------------------------------------------------------------------


@KINDS
async def test_all_rows_are_observed_and_then_every_change_is_told(kind: str) -> None:
    shop, durable = Shop(), Durable()
    for number in range(8):
        shop.put(kind, f"c{number}", "there", f"{number}.10")
    with serving(shop) as served:
        async with reading(shop, served, durable, kind) as batches:
            await until(batches, durable, lambda: durable.held(kind) == shop.held(kind))
            assert {each.operation for each in durable.changes} == {"observe"}
            assert all(each.at is None for each in durable.changes)
            await until(batches, durable, lambda: "done" in durable.snapshots)
            shop.put(kind, "c1", "changed", "12345678901234567.89")
            shop.put(kind, "c9", "new")
            shop.delete(kind, "c2")
            await until(batches, durable, lambda: durable.held(kind) == shop.held(kind))
    assert durable.held(kind)["c1"] == ("changed", "12345678901234567.89")
    assert {each.operation for each in durable.changes} == {"observe", "update", "delete"}


@KINDS
async def test_the_first_rows_end_with_a_batch_that_says_so_also_where_there_are_none(kind: str) -> None:
    shop, durable = Shop(), Durable()
    with serving(shop) as served:
        async with reading(shop, served, durable, kind) as batches:
            await until(batches, durable, lambda: None in durable.snapshots)
    assert durable.snapshots == ["running", "done", None]


async def test_many_objects_are_read_before_the_first_change_of_any() -> None:
    shop, durable = Shop(), Durable()
    for kind in OBJECTS:
        shop.put(kind, "c1", kind)
    with serving(shop) as served:
        async with reading(shop, served, durable, *OBJECTS) as batches:
            await until(batches, durable, lambda: None in durable.snapshots)
    assert durable.snapshots == ["running"] * 7 + ["done", None]
    assert {kind: durable.held(kind) for kind in OBJECTS} == {kind: shop.held(kind) for kind in OBJECTS}


@KINDS
@pytest.mark.parametrize("seed", first(1, (4, 5, 1, 2, 3, 0)))
async def test_nothing_is_lost_whatever_people_do_meanwhile_and_wherever_the_reading_dies(kind: str, seed: int) -> None:
    """People edit at any request; the reader dies after any batch, before or after it is durable."""
    shop, durable, chance = Shop(), Durable(), random.Random(seed)
    for number in range(12):
        shop.put(kind, f"c{number:02d}", "there")
    left, longest = 60, 10

    def meanwhile(asked: Asked) -> Reply | None:
        nonlocal left
        for _ in range(chance.randrange(3)):
            left -= 1
            if left > 0:
                id = f"c{chance.randrange(16):02d}"
                shop.delete(kind, id) if chance.random() < 0.3 else shop.put(kind, id, f"name {left}")
        return Reply({}, 500) if left > 0 and chance.random() < 0.05 else None

    shop.before = meanwhile
    with serving(shop) as served:
        async with within():
            while left > 0 or durable.held(kind) != shop.held(kind):
                longest += 2  # a window is read anew from its beginning: some time it has to come to its end
                async with reading(shop, served, durable, kind) as batches:
                    for _ in range(chance.randrange(1, longest)):
                        batch = await anext(batches)
                        if chance.random() < 0.1:
                            break
                        durable.commit(batch)
    assert durable.held(kind) == shop.held(kind)


# --- traps -----------------------------------------------------------------------------------------------------


async def test_an_answer_that_is_full_is_not_taken_for_all_there_is() -> None:
    """The vendor tells of nine invoices in a window; twenty were changed."""
    shop, durable = Shop(), Durable()
    with serving(shop) as served:
        async with reading(shop, served, durable, "invoices") as batches:
            await until(batches, durable, lambda: "done" in durable.snapshots)
            shop.now += 100_000_000
            for number in range(20):
                shop.now += 5_000_000
                shop.put("invoices", f"i{number:02d}", "changed")
            await until(batches, durable, lambda: durable.held("invoices") == shop.held("invoices"))


async def test_more_deletions_than_are_told_of_at_once_are_a_gap() -> None:
    shop, durable = Shop(), Durable()
    for number in range(30):
        shop.put("invoices", f"i{number:02d}", "there")
    with serving(shop) as served:
        async with reading(shop, served, durable, "invoices") as batches:
            await until(batches, durable, lambda: "done" in durable.snapshots)
            for number in range(25):
                shop.delete("invoices", f"i{number:02d}")
            with pytest.raises(SourceGap) as gap:
                await until(batches, durable, lambda: False)
    assert gap.value.safe


async def test_old_events_after_new_ones_say_nothing_of_how_a_row_is() -> None:
    shop, durable = Shop(), Durable()
    with serving(shop) as served:
        async with reading(shop, served, durable, "products") as batches:
            await until(batches, durable, lambda: "done" in durable.snapshots)
            for name in ("first", "second", "third"):
                shop.put("products", "p1", name)
            shop.log.reverse()
            await until(batches, durable, lambda: durable.held("products") == shop.held("products"))
            for _ in range(8):
                durable.commit(await anext(batches))
    assert durable.held("products") == {"p1": ("third", "1.00")}


async def test_an_event_is_looked_into_once_though_windows_overlap() -> None:
    shop, durable = Shop(), Durable()
    with serving(shop) as served:
        async with reading(shop, served, durable, "products") as batches:
            await until(batches, durable, lambda: "done" in durable.snapshots)
            shop.put("products", "p1", "new")
            await until(batches, durable, lambda: bool(durable.held("products")))
            for _ in range(12):
                durable.commit(await anext(batches))
    assert [asked.path for asked in served.asked].count("/products/p1") == 1


@pytest.mark.parametrize("kind", ["customers", "orders"])
async def test_what_is_kept_no_longer_is_a_gap_and_a_new_baseline_finds_what_went_meanwhile(kind: str) -> None:
    shop, durable = Shop(), Durable()
    for number in range(5):
        shop.put(kind, f"c{number}", "there")
    with serving(shop) as served:
        async with reading(shop, served, durable, kind) as batches:
            await until(batches, durable, lambda: None in durable.snapshots)
        shop.delete(kind, "c3")
        shop.put(kind, "c4", "changed")
        shop.now += 2 * HOUR
        shop.oldest_delta = len(shop.log)
        with pytest.raises(SourceGap) as gap:
            async with reading(shop, served, durable, kind) as batches:
                await until(batches, durable, lambda: False)
        assert gap.value.safe
        durable.baseline = 2
        async with reading(shop, served, durable, kind) as batches:
            await until(batches, durable, lambda: durable.snapshots[-1] == "done")
    assert durable.vanished == {(kind, "c3")}
    assert durable.held(kind) == shop.held(kind)


async def test_a_search_that_lags_behind_does_not_bring_back_what_is_old() -> None:
    """The vendor's copy tells of an older version after the newer one."""
    shop, durable = Shop(), Durable()
    shop.put("customers", "c1", "old")
    old = dict(shop.rows["customers"]["c1"])
    with serving(shop) as served:
        async with reading(shop, served, durable, "customers") as batches:
            await until(batches, durable, lambda: "done" in durable.snapshots)
            shop.put("customers", "c1", "new")
            await until(batches, durable, lambda: durable.held("customers") == shop.held("customers"))
            lagging = Reply({"data": [old], "next": None})
            shop.before = lambda asked: lagging if asked.one("since") else None
            told = len(durable.changes)
            await until(batches, durable, lambda: len(durable.changes) > told)
    assert durable.held("customers") == {"c1": ("new", "1.00")}


async def test_versions_that_go_down_are_versions_all_the_same() -> None:
    """An ETag is compared with nothing: these get smaller with every change."""
    shop, durable = Shop(), Durable()
    with serving(shop) as served:
        async with reading(shop, served, durable, "orders") as batches:
            await until(batches, durable, lambda: "done" in durable.snapshots)
            for name in ("one", "two", "three"):
                shop.put("orders", "o1", name)
                await until(batches, durable, lambda: durable.held("orders") == shop.held("orders"))


async def test_a_page_that_repeats_for_ever_is_not_read_for_ever() -> None:
    shop, durable = Shop(), Durable()
    shop.before = lambda asked: Reply({"data": [{"id": "c1"}], "next": "again"})
    with serving(shop) as served:
        async with reading(shop, served, durable, "customers") as batches:
            with pytest.raises(FieldwardenError, match="same page again"):
                await until(batches, durable, lambda: False)


async def test_a_row_that_cannot_be_read_is_kept_as_it_came_and_read_once_it_can_be() -> None:
    shop, durable = Shop(), Durable()
    shop.put("customers", "c1", "Ann\0")
    shop.put("customers", "c2", "Bob")
    with serving(shop) as served:
        session = session_of(served, shop)
        source = RestSource(session, wanted("customers"), 0.0)
        await source.open(Start(durable.take, 1))
        await until(aiter(source.batches()), durable, lambda: "done" in durable.snapshots)
        (kept,) = [each for each in durable.changes if each.undecoded is not None]
        assert kept.undecoded is not None
        assert "cannot be stored" in kept.undecoded.reason
        assert kept.values == ("c1",)
        assert (await source.again(kept)) is kept
        assert kept.undecoded.value is not None
        mended = kept.undecoded.value.replace(b"\\u0000", b"")
        kept.undecoded = type(kept.undecoded)(kept.undecoded.reason, None, mended)
        assert _of(await source.again(kept), "name") == "Ann"
        await session.close()


async def test_rows_are_read_again_for_a_stream_that_came_later() -> None:
    shop, durable = Shop(), Durable()
    shop.put("customers", "c1", "there")
    with serving(shop) as served:
        async with reading(shop, served, durable, "customers") as batches:
            await until(batches, durable, lambda: None in durable.snapshots)
        part = durable.parts["customers"]
        assert part.position is not None
        assert reread(part.position, ["others"]) == part.position
        durable.parts["customers"] = Part(1, reread(part.position, ["customers"]))
        told = len(durable.changes)
        async with reading(shop, served, durable, "customers") as batches:
            await until(batches, durable, lambda: durable.snapshots[-1] == "done")
    assert [each.operation for each in durable.changes[told:]] == ["observe"]


def test_a_position_of_another_source_stays_as_it_is() -> None:
    assert reread("1.0/16B3748", ["customers"]) == "1.0/16B3748"


def test_the_vendor_of_these_tests_is_described_without_a_mistake() -> None:
    assert sorted(shop_vendor().objects) == sorted(OBJECTS)
