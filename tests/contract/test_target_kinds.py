"""A target does what it states, neither more nor less: the same suite against every kind, the real one among them.

What it does not promise is looked for too: a kind that turns out to do more than it says hides what the loop is for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.ports.target import Intent, Write, answers
from fieldwarden.engine.testing.vendor import KINDS, Fate, Vendor, VendorTarget
from tests.contract.test_target_contract import (
    PARTY,
    Bench,
    MemoryBench,
    RealBench,
    SalesforceBench,
    VendorBench,
    create,
    made,
    one,
    salesforce,
    update,
)


@pytest.fixture(params=["memory", "salesforce", "postgres", *KINDS])
async def kind(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "salesforce":
        async with salesforce() as made:
            yield made
        return
    if request.param != "postgres":
        yield MemoryBench() if request.param == "memory" else VendorBench(KINDS[request.param])
        return
    real = RealBench(request.getfixturevalue("database"))
    async with real.world:
        yield real


@pytest.fixture(params=[name for name, manners in KINDS.items() if manners.capabilities.leaves_doubt])
def doubtful(request: pytest.FixtureRequest) -> Vendor:
    return Vendor("erp", KINDS[request.param])


def intent(write: Write) -> Intent:
    return Intent(
        write.idempotency_key,
        write.record,
        write.stream,
        write.operation,
        write.key,
        write.parent_key,
        1,
        dict(write.values),
    )


async def test_creating_twice_makes_one_row_where_the_target_says_so_and_two_where_it_does_not(kind: Bench) -> None:
    for version in (1, 2):
        write = create("r-1", name="Acme")
        write.version = version
        assert (await one(kind, write)).status == "applied"
    assert len(kind.rows(PARTY)) == (1 if kind.target.capabilities.creates_once else 2)


async def test_an_edit_meanwhile_is_written_over_only_where_the_target_cannot_compare(kind: Bench) -> None:
    created = await one(kind, create("r-1", name="Acme"))
    key = created.key or ""
    if isinstance(kind, SalesforceBench):
        # It looks before it writes, since it cannot compare while it writes: the edit comes in between.
        kind.org.before_write = lambda: kind.edit(PARTY, key, "name", "edited")
    else:
        await one(kind, replace(update(key, {"name": "Acme"}, name="edited"), row_version=created.row_version))
    late = replace(update(key, {"name": "Acme"}, name="ours"), row_version=created.row_version)
    result = await one(kind, late)
    compares = kind.target.capabilities.compares
    assert kind.rows(PARTY)[key]["name"] == ("edited" if compares else "ours")
    assert result.differing == ({"name": "edited"} if compares else {})


async def test_the_version_that_a_write_gave_is_the_one_that_the_next_is_made_for(kind: Bench) -> None:
    first = await one(kind, create("r-1", name="Acme"))
    if not first.row_version:
        return  # it has none: then `expected` is compared, as the contract of all has it
    key = first.key or ""
    second = await one(kind, replace(update(key, {}, name="B"), row_version=first.row_version))
    assert (second.status, second.row_version != first.row_version) == ("applied", True)
    late = await one(kind, replace(update(key, {}, name="C"), row_version=first.row_version))
    told = (late.status, late.seen, late.differing, late.row_version)
    assert told == ("conflict", True, {"name": "B"}, second.row_version)
    assert (await one(kind, replace(update(key, {}, name="C"), row_version=late.row_version))).status == "applied"


async def test_all_writes_are_answered_and_each_once(kind: Bench) -> None:
    key = await made(kind, "r-0", name="A")
    writes = [create("r-1", name="B"), update(key, {"name": "A"}, name="A2"), create("r-2", name="C")]
    results = await answers(kind.target, writes)
    assert sorted(result.token for result in results) == sorted(write.token for write in writes)


# --- where a write without an answer may do harm -----------------------------------------------------------------


async def test_results_come_as_they_come(doubtful: Vendor) -> None:
    writing = VendorTarget(doubtful).write([create("r-1", tax_id="T1"), create("r-2", tax_id="T2")])
    await anext(writing)
    assert len(doubtful.rows[PARTY]) == 1
    await anext(writing)
    assert len(doubtful.rows[PARTY]) == 2
    await writing.aclose()


async def test_a_line_that_is_cut_loses_no_result_that_was_given(doubtful: Vendor) -> None:
    fates: Iterator[Fate] = iter([Fate(), Fate(breaks=True)])
    target = VendorTarget(doubtful, lambda _: next(fates), patience=0.01)
    writing = target.write([create("r-1", tax_id="T1"), create("r-2", tax_id="T2")])
    assert (await anext(writing)).status == "applied"
    with pytest.raises(TransientError):
        await anext(writing)


async def test_a_create_whose_answer_was_lost_is_found_and_one_that_never_came_is_not(doubtful: Vendor) -> None:
    fates: Iterator[Fate] = iter([Fate(answers=None), Fate(lands=None)])
    target = VendorTarget(doubtful, lambda _: next(fates), patience=0.01)
    happened, never = create("r-1", tax_id="T1"), create("r-2", tax_id="T2")
    assert [each.status for each in await answers(target, [happened, never])] == ["unknown", "unknown"]
    found = {each.intent: each for each in await target.look_up([intent(happened), intent(never)])}
    [key] = doubtful.rows[PARTY]
    assert (found[happened.idempotency_key].row, found[happened.idempotency_key].values) == (key, {"tax_id": "T1"})
    assert found[never.idempotency_key].row is None


async def test_a_changed_row_is_looked_up_by_its_key(doubtful: Vendor) -> None:
    target = VendorTarget(doubtful)
    [made] = await answers(target, [create("r-1", tax_id="T1")])
    [found] = await target.look_up([intent(update(made.key or "", {}, tax_id="T9"))])
    assert (found.row, found.values, found.row_version) == (made.key, {"tax_id": "T1"}, made.row_version)
    [gone] = await target.look_up([intent(update("4711", {}, tax_id="T9"))])
    assert gone.row is None


async def test_a_call_made_again_under_its_key_makes_no_second_row_where_keys_are_known() -> None:
    vendor = Vendor("erp", KINDS["idempotency keys"])
    write = create("r-1", tax_id="T1")
    write.version = 3
    later = replace(create("r-1", tax_id="T1"), version=4, repeats=write.idempotency_key)
    first, second = await answers(VendorTarget(vendor), [write, later])
    assert first.key == second.key
    assert len(vendor.rows[PARTY]) == 1


async def test_a_busy_service_does_nothing_and_says_until_when(doubtful: Vendor) -> None:
    [result] = await answers(VendorTarget(doubtful, lambda _: Fate(busy=7.0)), [create("r-1", tax_id="T1")])
    assert (result.status, result.pause, doubtful.rows) == ("busy", 7.0, {})
