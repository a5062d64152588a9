"""The PostgreSQL source against a real server that has lost what it needs: gaps, and new baselines that mend them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fieldwarden.connectors.postgres.reading.position import WalPosition, row_position
from fieldwarden.engine.errors import EnvironmentUnfit, SourceGap
from fieldwarden.engine.ports.parts import Baseline
from fieldwarden.engine.testing.footholds import MemoryFootholds
from tests import patience
from tests.builders import reached, starting
from tests.integration.reading import (
    ACCOUNT,
    CRM,
    reading,
    run,
    stream,
    system,
    until,
)
from tests.integration.reading import source as direct


@pytest.mark.long
@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["select pg_drop_replication_slot('fieldwarden_test_crm')"], "is gone"),
        (
            [
                "select pg_drop_replication_slot('fieldwarden_test_crm')",
                "insert into account values (1)",
                "select pg_create_logical_replication_slot('fieldwarden_test_crm', 'pgoutput')",
            ],
            "made anew",
        ),
        (
            [
                "insert into account values (1)",
                "select pg_replication_slot_advance('fieldwarden_test_crm', pg_current_wal_lsn())",
            ],
            "moved on by somebody else",
        ),
        (["drop publication fieldwarden_test_crm"], "publication fieldwarden_test_crm is gone"),
        (["alter publication fieldwarden_test_crm drop table account"], r"no longer covers public\.account"),
    ],
)
async def test_gaps_halt_and_a_new_baseline_mends_them(database: str, statements: list[str], message: str) -> None:
    run(database, ACCOUNT)
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        position = reader.positions[-1]
    run(database, "create table other (id int primary key)", "alter publication fieldwarden_test_crm add table other")
    await until(database, "select not active from pg_replication_slots where database = current_database()")
    run(database, *statements)
    with pytest.raises(SourceGap, match=message) as caught:
        await direct(CRM, database).open(starting(position))
    assert "fieldwarden run --rebaseline crm" in caught.value.suggestion
    source = direct(CRM, database)
    async with reading(source, position, anew=2) as again:
        rows = len(await again.baseline())
        run(database, "insert into account values (9)")
        await again.count(rows + 1)
    async with reading(source, again.positions[-1]) as resumed:
        run(database, "insert into account values (10)")
        changes = await resumed.count(1)
    assert [change.values[0] for change in changes] == ["10"]


async def test_a_new_baseline_is_newer_than_what_was_read_at_higher_positions(database: str) -> None:
    """The server was restored, or is another: its log begins lower than what the hub has heard."""
    run(database, ACCOUNT, "insert into account values (1, 'before')")
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        ahead = replace(WalPosition.decode(reader.positions[-1]), end=1 << 60, server="7")
        said = row_position(ahead.baseline, ahead.end, 5)
    await until(database, "select not active from pg_replication_slots where database = current_database()")
    async with reading(direct(CRM, database), ahead.encode(), anew=2) as again:
        first = await again.step()
        assert (first.changes, first.snapshot) == ([], "running")
        assert WalPosition.decode(reached(first)).baseline == 2, "durable before any row that carries it"
        await again.baseline()
        run(database, "update account set name = 'after'")
        changes = await again.count(2)
    assert [change.values[1] for change in changes] == ["before", "after"]
    assert said < changes[0].position < changes[1].position
    async with reading(direct(CRM, database), again.positions[-1]) as resumed:
        run(database, "update account set name = 'resumed'")
        assert (await resumed.count(1))[0].position > changes[1].position


async def test_a_position_that_cannot_be_read_is_mended_by_a_new_baseline(database: str) -> None:
    run(database, ACCOUNT, "insert into account values (1, 'a')")
    with pytest.raises(EnvironmentUnfit) as caught:
        await direct(CRM, database).open(starting("from another connector"))
    assert "--rebaseline crm" in caught.value.suggestion
    async with reading(direct(CRM, database), "from another connector", anew=20001) as reader:
        [change] = await reader.baseline()
    assert change.position.startswith("4E21.")


async def test_a_stream_mapped_later_is_read_before_the_stream_goes_on(database: str) -> None:
    run(database, ACCOUNT, "create table contact (id int primary key)", "insert into contact values (7)")
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
    wider = system(*CRM.streams.values(), stream("public.contact", ("id",), ()))
    async with reading(direct(wider, database), reader.positions[-1]) as again:
        changes = await again.baseline()
        assert [(change.relation.stream, change.operation) for change in changes] == [("public.contact", "observe")]
        run(database, "insert into contact values (8)")
        later = await again.until(lambda seen: len(seen) > 1)
        assert [(change.relation.stream, change.operation) for change in later[-1:]] == [("public.contact", "insert")]


async def test_another_server_and_one_restored_to_an_earlier_state_are_gaps(database: str) -> None:
    run(database, ACCOUNT)
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        position = WalPosition.decode(reader.positions[-1])
    with pytest.raises(SourceGap, match="another server"):
        await direct(CRM, database).open(starting(replace(position, server="7").encode()))
    with pytest.raises(SourceGap, match="restored to an earlier state"):
        await direct(CRM, database).open(starting(replace(position, end=position.end + (1 << 40)).encode()))


async def test_a_system_that_was_read_by_topics_before_asks_for_a_new_baseline_above_all_they_said(
    database: str,
) -> None:
    run(database, ACCOUNT, "insert into account values (1, 'Ann')")
    hub = MemoryFootholds("test")
    hub.baselines["crm"] = Baseline(7, parts={"crm.public.account/0": 7})
    with pytest.raises(EnvironmentUnfit, match="read by topics before") as caught:
        await direct(CRM, database, hub).open(starting(None, 7))
    assert "--rebaseline crm" in caught.value.suggestion
    hub.baselines["crm"] = Baseline(8, parts={"crm.public.account/0": 7})
    async with reading(direct(CRM, database, hub), anew=8) as reader:
        [row] = await reader.baseline()
        position = reader.positions[0]
    assert row.position[:4] == "0008"
    async with reading(direct(CRM, database, hub), position) as reader:  # that baseline was interrupted
        assert len(await reader.baseline()) == 1


async def test_a_slot_that_is_gone_may_be_mended_but_not_where_the_server_was_promoted_or_restored(
    database: str,
) -> None:
    """A restored server has no slots, and its log may have come past where reading stopped."""
    run(database, ACCOUNT)
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        position = WalPosition.decode(reader.positions[-1])
    drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
    run(database, drop)
    for timeline, safe in [(position.timeline, True), (position.timeline + 1, False), (0, True)]:
        with pytest.raises(SourceGap, match="is gone") as caught:
            await direct(CRM, database).open(starting(replace(position, timeline=timeline).encode()))
        assert caught.value.safe is safe


async def test_an_interrupted_baseline_starts_again(database: str) -> None:
    run(database, ACCOUNT, "insert into account select generate_series(1, 1000)")
    async with reading(direct(CRM, database, max_changes=300)) as reader:
        await reader.count(300)
        batch = reader.told[-1]
        assert batch.snapshot == "running"
    run(database, "delete from account where id > 500")
    async with reading(direct(CRM, database, max_changes=300), reached(batch)) as again:
        changes = await again.baseline()
    assert len(changes) == 500
    assert {change.operation for change in changes} == {"observe"}
    assert again.snapshots == ["running", "running", "done"]
    assert min(change.position for change in changes) > max(change.position for change in reader.changes)


@pytest.mark.parametrize(
    "other", [{"server": "7"}, {"end": 1 << 60}], ids=["another server", "restored to an earlier state"]
)
async def test_an_interrupted_baseline_of_a_server_that_is_not_as_it_was_takes_a_new_one(
    database: str, other: dict[str, Any]
) -> None:
    """Rows that were read of it stand under the same number, and may be at higher places of the log."""
    run(database, ACCOUNT, "insert into account select generate_series(1, 10)")
    async with reading(direct(CRM, database)) as reader:
        position = replace(WalPosition.decode(reached(await reader.step())), **other).encode()
    with pytest.raises(SourceGap) as caught:
        await direct(CRM, database).open(starting(position))
    assert not caught.value.safe
    async with reading(direct(CRM, database), position, anew=2) as again:
        assert {change.position[:5] for change in await again.baseline()} == {"0002."}


@pytest.mark.long
@pytest.mark.parametrize("failpoint", ["snapshot.slot_created", "snapshot.running", "snapshot.done"])
async def test_a_baseline_that_is_killed_starts_again(database: str, failpoint: str) -> None:
    run(database, ACCOUNT, "insert into account select generate_series(1, 100)")
    script = """if True:
        import asyncio, sys
        from tests.builders import reached, starting
        from tests.integration.reading import CRM
        from tests.integration.reading import source as direct

        async def main():
            source = direct(CRM, sys.argv[1], max_changes=30)
            await source.open(starting())
            async for batch in source.batches():
                print(reached(batch), flush=True)

        asyncio.run(main())"""
    killed = await asyncio.to_thread(
        patience.called,
        [sys.executable, "-c", script, database],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"FIELDWARDEN_FAILPOINT": failpoint},
    )
    assert killed.returncode == -signal.SIGKILL
    position = killed.stdout.splitlines()[-1] if killed.stdout else None
    assert (position is None) == (failpoint == "snapshot.slot_created")
    await until(database, "select bool_and(not active) from pg_replication_slots where database = current_database()")
    async with reading(direct(CRM, database), position) as reader:
        run(database, "insert into account values (101)")
        assert len(await reader.baseline()) == 100
        changes = await reader.count(101)
    assert changes[-1].values[0] == "101"
