"""What every hub keeps of a project's places at its systems: its id, and the slots that its sources follow."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.foothold import Followed, Footholds
from engine.hub.store import PostgresHub


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


async def test_another_process_is_told_the_same(hub_dsn: str) -> None:
    one, other = PostgresHub(hub_dsn), PostgresHub(hub_dsn)
    await one.follow("crm", Followed("slot", "publication"))
    assert await other.followed("crm") == Followed("slot", "publication")
    assert await other.project() == await one.project()
    await one.close()
    await other.close()


async def test_every_hub_has_an_id_of_its_own(make_database: Callable[..., str]) -> None:
    from engine.hub.migrate import migrate

    ids = set()
    for _ in range(2):
        dsn = make_database()
        migrate(dsn)
        hub = PostgresHub(dsn)
        ids.add(await hub.project())
        await hub.close()
    assert len(ids) == 2
