"""What every hub keeps of a project's places at its systems: its id, and the slots that its sources follow."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg

from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.foothold import Followed, Footholds
from fieldwarden.engine.ports.forged import AGAIN_AFTER, Forged, Noted
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.testing import MemoryHub


async def test_a_project_has_an_id_that_stays(hub: Footholds) -> None:
    id = await hub.project()
    assert re.fullmatch("[a-z0-9]{1,16}", id), "it is part of the names of slots"
    assert await hub.project() == id


async def test_what_a_source_follows_is_remembered(hub: Footholds) -> None:
    assert await hub.followed("crm") is None
    await hub.follow("crm", Followed("one", "its"))
    await hub.follow("erp", Followed("other", "its"))
    await hub.follow("crm", Followed("two", "new"))
    assert await hub.followed("crm") == Followed("two", "new")
    assert await hub.followed("erp") == Followed("other", "its")


async def test_marks_are_sealed_with_a_key_that_stays(hub: Footholds) -> None:
    key = await hub.mark_key()
    assert len(key) == 32
    assert await hub.mark_key() == key


async def test_marks_are_sealed_from_the_beginning_of_what_is_followed(hub: Footholds) -> None:
    await hub.follow("crm", Followed("slot", "publication"))
    assert [await hub.sealed_from("crm", end) for end in (7, 8)] == [0, 0]


async def test_a_hub_of_before_notes_once_up_to_where_its_marks_were_not_sealed(hub_dsn: str) -> None:
    memory, real = MemoryHub(), PostgresHub(hub_dsn)
    for hub in (memory, real):
        await hub.follow("crm", Followed("slot", "publication"))
    memory.unsealed["crm"] = None
    with psycopg.connect(hub_dsn) as connection:  # as the migration leaves it
        connection.execute("update fieldwarden.followed set sealed_from = null")
    assert [await hub.sealed_from("crm", end) for hub in (memory, real) for end in (7, 8)] == [7, 7, 7, 7]
    for hub in (memory, real):
        await hub.follow("crm", Followed("another slot", "publication"))
        assert await hub.sealed_from("crm", 9) == 0, "a baseline reads nothing of before"
    await real.close()


async def test_forged_marks_are_counted_once_and_told_in_the_ledger_once_an_hour(hub: Hub) -> None:
    def forged(number: int, position: int) -> Forged:
        return Forged(number, f"{position:04}", f"crm xid {position}", position)

    assert await hub.forged("crm", forged(1, 1), 10) == Noted(1, 1)
    assert await hub.forged("crm", forged(1, 1), 11) == Noted(0, 0), "told again by its source"
    assert await hub.forged("crm", forged(1000, 2), 12) == Noted(1000, 0)
    assert await hub.forged("erp", forged(2, 1), 13) == Noted(2, 2)
    assert await hub.forged("crm", forged(3, 3), 9 + AGAIN_AFTER) == Noted(3, 0)
    assert await hub.forged("crm", forged(4, 4), 10 + AGAIN_AFTER) == Noted(4, 1007)


async def test_another_process_is_told_the_same(hub_dsn: str) -> None:
    one, other = PostgresHub(hub_dsn), PostgresHub(hub_dsn)
    await one.follow("crm", Followed("slot", "publication"))
    assert await other.followed("crm") == Followed("slot", "publication")
    assert await other.project() == await one.project()
    assert await other.mark_key() == await one.mark_key()
    await one.close()
    await other.close()


async def test_every_hub_has_an_id_of_its_own(make_database: Callable[..., str]) -> None:
    from fieldwarden.engine.hub.migrate import migrate

    ids, keys = set(), set()
    for _ in range(2):
        dsn = make_database()
        migrate(dsn)
        hub = PostgresHub(dsn)
        ids.add(await hub.project())
        keys.add(await hub.mark_key())
        await hub.close()
    assert (len(ids), len(keys)) == (2, 2)
