"""The project's id and its slots, as hubs of before there were ids have them: after the migration, and before it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fieldwarden.connectors.postgres.reading.position import WalPosition
from fieldwarden.engine.hub.migrate import known_migrations, migrate
from fieldwarden.engine.hub.views.footing import HubFooting
from fieldwarden.engine.ports.foothold import Followed
from tests.integration.reading import ask, run

READ = WalPosition("stream", 0x100, streams=("public.account",), server="1").encode()


@pytest.fixture
def older(tmp_path: Path, database: str) -> str:
    """A hub of the version before ids, in which crm was read by us, kafka by Debezium, and erp never."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    ids = next(each.version for each in known_migrations() if each.name.endswith("_project"))
    for each in known_migrations():
        if each.version < ids:
            shutil.copy(Path("engine/hub/migrations") / f"{each.name}.sql", folder)
    migrate(database, folder=folder)
    run(
        database,
        f"insert into fieldwarden.source (name, system, position) values ('crm', 'crm', '{READ}'),"
        " ('erp', 'erp', null), ('kafka', 'kafka', null), ('kafka#1', 'kafka', '7')",
        "insert into fieldwarden.partition (source, name, position) values ('kafka', 'topic/0', '7')",
    )
    return database


async def test_an_upgraded_hub_goes_on_with_what_it_followed(older: str) -> None:
    footing = HubFooting(older)
    try:
        for upgraded in (False, True):
            if upgraded:
                migrate(older)
            assert await footing.followed("crm") == Followed()
            assert await footing.position("crm") == READ
            assert await footing.followed("erp") is None
            assert (await footing.project() is not None) == upgraded
            assert await footing.processes() == set()
    finally:
        await footing.close()
    assert ask(older, "select string_agg(source, ' ') from fieldwarden.followed") == "crm"


async def test_a_new_hub_follows_nothing_yet(hub_dsn: str, database: str) -> None:
    for dsn in (database, hub_dsn):
        footing = HubFooting(dsn)
        assert (await footing.project() is None) == (dsn == database)
        assert await footing.followed("crm") is None
        assert await footing.position("crm") is None
        await footing.close()
