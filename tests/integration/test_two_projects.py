"""Two projects on one server: neither takes the other's slot, nor the other's writes for echoes of its own."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from fieldwarden.connectors.postgres.looking.probe import probe
from fieldwarden.connectors.postgres.reading.position import WalPosition
from fieldwarden.engine.errors import SlotTaken, SourceGap, TransientError
from fieldwarden.engine.ports.finding import Finding
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.engine.process import PROCESS, session_mark
from fieldwarden.engine.testing.footholds import MemoryFootholds
from tests.builders import starting
from tests.integration.reading import Outlook, ask, mark, reading, run, source, stream, system
from tests.patience import until

ACCOUNT = "create table account (id int primary key, name text)"
CRM = system(stream("public.account", ("id",), ("name",)))
NAMED = system(*CRM.streams.values(), slot="named")
SLOTS = "select string_agg(slot_name, ' ' order by slot_name) from pg_replication_slots where database = "
SLOTS += "current_database()"


def hub(id: str = "ours") -> MemoryFootholds:
    return MemoryFootholds(id)


def write(dsn: str, id: int, prefix: str) -> None:
    with psycopg.connect(dsn) as connection:
        mark(connection, prefix)
        connection.execute("insert into account values (%s)", [id])


async def idle(dsn: str) -> None:
    active = "select bool_and(not active) from pg_replication_slots where database = current_database()"
    await until(lambda: ask(dsn, active), "nobody to stream")


def about(found: list[Finding], subject: str = "slot") -> Finding:
    return next(finding for finding in found if finding.subject == subject)


async def test_a_copy_with_a_hub_of_its_own_reads_by_its_own_slot(database: str) -> None:
    run(database, ACCOUNT)
    async with reading(source(CRM, database, hub("one"))) as one, reading(source(CRM, database, hub("two"))) as two:
        await one.baseline()
        await two.baseline()
        assert ask(database, SLOTS) == "fieldwarden_one_crm fieldwarden_two_crm"
        write(database, 1, "fieldwarden:one")
        write(database, 2, "fieldwarden:two")
        write(database, 3, "fieldwarden")
        heard = [[change.echo for change in await reader.count(3)] for reader in (one, two)]
    assert heard == [[True, False, False], [False, True, False]], "another's write is an edit like any other"


async def test_a_slot_that_the_files_name_is_not_taken_from_another_project(database: str) -> None:
    run(database, ACCOUNT)
    theirs, ours = hub("theirs"), hub()
    async with reading(source(NAMED, database, theirs)) as reader:
        await reader.baseline()
        position = reader.positions[-1]
    await idle(database)
    with pytest.raises(SlotTaken, match="slot named already, which this project did not make") as caught:
        await source(NAMED, database, ours).open(starting())
    assert "name another slot" in caught.value.suggestion
    assert "pg_drop_replication_slot('named')" in caught.value.suggestion
    found = about(await probe(NAMED, database, footing=Outlook(ours)))
    assert (found.ok, caught.value.message) == (False, f"crm: {found.message}")
    run(database, "insert into account values (1)")
    async with reading(source(NAMED, database, theirs), position) as reader:
        assert len(await reader.count(1)) == 1, "nothing was taken over"


async def test_a_slot_that_we_noted_before_we_made_it_is_ours_after_a_crash(database: str) -> None:
    run(database, ACCOUNT, "insert into account values (1)")
    ours = hub()
    killed = source(NAMED, database, ours)
    await killed.open(starting())
    await killed.close()  # before any position is stored
    await idle(database)
    async with reading(source(NAMED, database, ours)) as reader:
        assert len(await reader.baseline()) == 1


@pytest.mark.parametrize("named", [{}, {"slot": "named"}])
async def test_a_slot_of_the_same_name_in_another_database(
    database: str, make_database: Callable[..., str], named: dict[str, str]
) -> None:
    crm = system(*CRM.streams.values(), **named)
    slot = named.get("slot", "fieldwarden_ours_crm")
    elsewhere = make_database()
    run(database, ACCOUNT)
    run(elsewhere, f"select pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    with pytest.raises(SlotTaken, match=f"slot {slot} belongs to the database test_") as caught:
        await source(crm, database, hub()).open(starting())
    assert "name another slot" in caught.value.suggestion
    found = about(await probe(crm, database, footing=Outlook(hub())))
    assert not found.ok
    assert f"{slot} belongs to the database {ask(elsewhere, 'select current_database()')}" in found.message
    assert ask(elsewhere, SLOTS) == slot


async def test_what_was_followed_before_there_were_ids_is_followed_on(database: str) -> None:
    """Upgraded between two runs, with a write of before the upgrade on its way."""
    before = system(*CRM.streams.values(), slot="fieldwarden_crm", publication="fieldwarden_crm")
    run(database, ACCOUNT)
    async with reading(source(before, database, hub())) as reader:
        await reader.baseline()
        position = reader.positions[-1]
    await idle(database)
    upgraded = hub()
    await upgraded.follow("crm", Followed())
    upgraded.unsealed["crm"] = None
    write(database, 1, "fieldwarden")
    write(database, 2, "fieldwarden:ours")
    write(database, 3, "fieldwarden:theirs")
    assert about(await probe(CRM, database, footing=Outlook(upgraded, at=position))).level == "ok"
    async with reading(source(CRM, database, upgraded), position) as reader:
        changes = await reader.count(3)
        last = reader.positions[-1]
    assert [change.echo for change in changes] == [True, True, False]
    assert await upgraded.followed("crm") == Followed()

    await idle(database)
    async with reading(source(CRM, database, upgraded), last, anew=2) as reader:
        await reader.baseline()
        write(database, 4, "fieldwarden")
        write(database, 5, "fieldwarden:ours")
        changes = await reader.count(5)
    assert [change.echo for change in changes[3:]] == [False, True]
    assert ask(database, SLOTS) == "fieldwarden_ours_crm", "the slot of before went with what it was for"


async def test_a_slot_of_before_that_another_has_taken_over_is_left_to_it(database: str) -> None:
    run(database, ACCOUNT, "select pg_create_logical_replication_slot('fieldwarden_crm', 'pgoutput')")
    upgraded = hub()
    await upgraded.follow("crm", Followed())
    at = WalPosition("stream", 0x100, streams=tuple(CRM.streams), server="another server, or long ago").encode()
    async with reading(source(CRM, database, upgraded), at, anew=2) as reader:
        await reader.baseline()
    assert ask(database, SLOTS) == "fieldwarden_crm fieldwarden_ours_crm"


async def test_a_copied_hub_finds_the_slot_in_use_or_moved_on(database: str) -> None:
    """Restored from a dump beside its original, it has the same id: what can be noticed is said."""
    run(database, ACCOUNT)
    original = hub()
    async with reading(source(CRM, database, original)) as reader:
        await reader.baseline()
        dumped = reader.positions[-1]
        run(database, "insert into account values (1)")
        await reader.count(1)
        with pytest.raises(TransientError, match=r"in use by the process \d+ of the server, fieldwarden") as caught:
            await source(CRM, database, original).open(starting(reader.positions[-1]))
        assert "A copy of a project" in caught.value.suggestion

        taken = about(await probe(CRM, database, footing=Outlook(original, at=dumped, mine=[session_mark("0" * 8)])))
        assert not taken.ok
        assert "no process of this project" in taken.message
        mine = Outlook(original, at=reader.positions[-1], mine=[session_mark(PROCESS)])
        assert about(await probe(CRM, database, footing=mine)).level == "ok"
    await idle(database)
    run(database, "insert into account values (2)")
    run(database, "select pg_replication_slot_advance('fieldwarden_ours_crm', pg_current_wal_lsn())")
    with pytest.raises(SourceGap, match="a copy of this project's hub"):
        await source(CRM, database, original).open(starting(dumped))
    ahead = about(await probe(CRM, database, footing=Outlook(original, at=dumped)))
    assert not ahead.ok
    assert "ahead of what the hub has read" in ahead.message
    assert "--rebaseline crm" in ahead.suggestion


async def test_a_hub_that_follows_nothing_any_more_begins_anew(database: str) -> None:
    """A copied hub that was given an id of its own, as docs/operating.md has it."""
    run(database, ACCOUNT)
    async with reading(source(CRM, database, hub("original"))) as reader:
        await reader.baseline()
        position = reader.positions[-1]
    copied = hub("copy")
    with pytest.raises(SourceGap, match="follows no replication slot there"):
        await source(CRM, database, copied).open(starting(position))
    async with reading(source(CRM, database, copied), position, anew=2) as reader:
        await reader.baseline()
    assert ask(database, SLOTS) == "fieldwarden_copy_crm fieldwarden_original_crm"


async def test_another_slot_in_the_files_is_a_gap_and_the_next_baseline_moves_there(database: str) -> None:
    run(database, ACCOUNT)
    ours = hub()
    async with reading(source(CRM, database, ours)) as reader:
        await reader.baseline()
        position = reader.positions[-1]
    await idle(database)
    with pytest.raises(SourceGap, match="the files name the slot named, but it was read by fieldwarden_ours_crm"):
        await source(NAMED, database, ours).open(starting(position))
    async with reading(source(NAMED, database, ours), position, anew=2) as reader:
        await reader.baseline()
    assert ask(database, SLOTS) == "named", "the other one would keep the server's log for ever"


async def test_doctor_names_what_is_gone_and_what_nobody_reads(database: str) -> None:
    run(database, ACCOUNT, "select pg_create_logical_replication_slot('fieldwarden_0ld_crm', 'pgoutput')")
    at = WalPosition("stream", 0x100, streams=tuple(CRM.streams)).encode()
    ours = hub()
    await ours.follow("crm", Followed("fieldwarden_ours_crm", "fieldwarden_ours_crm"))
    gone, left = [
        finding for finding in await probe(CRM, database, footing=Outlook(ours, at=at)) if finding.subject == "slot"
    ]
    assert (gone.ok, "fieldwarden_ours_crm is gone" in gone.message) == (False, True)
    assert left.level == "warning"
    assert "pg_drop_replication_slot('fieldwarden_0ld_crm')" in left.suggestion
