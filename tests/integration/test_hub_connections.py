"""Every connection to the hub notices a server that is gone without a word, and no default of it cuts us off."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from fieldwarden.engine.hub.conninfo import lasting
from fieldwarden.engine.hub.duties import Duties
from fieldwarden.engine.hub.migrate import SCHEMA, migrate
from fieldwarden.engine.hub.reading import snapshot
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.hub.views.checkup import check_up
from fieldwarden.engine.hub.views.overview import Overview
from fieldwarden.engine.hub.views.pulse import Pulse
from fieldwarden.engine.ports.duties import Duty, Lane
from fieldwarden.engine.process import NEVER_CUT_OFF, NOTICED

Opened = list[tuple[dict[str, str], dict[str, str]]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """What every connection was opened with: its parameters, and its session's options."""
    found: Opened = []

    def note(dsn: str) -> None:
        given = psycopg.conninfo.conninfo_to_dict(dsn)
        options = str(given.pop("options", "")).replace("-c ", "").split()
        found.append(({k: str(v) for k, v in given.items()}, dict(each.split("=", 1) for each in options)))

    plain, waiting = psycopg.connect, psycopg.AsyncConnection.connect

    def connect(dsn: str, **more: Any) -> Any:
        note(dsn)
        return plain(dsn, **more)

    async def connect_async(dsn: str, **more: Any) -> Any:
        note(dsn)
        return await waiting(dsn, **more)

    monkeypatch.setattr(psycopg, "connect", connect)
    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect_async)
    return found


async def test_every_connection_of_ours_notices_a_dead_server_and_is_never_cut_off(
    hub_dsn: str, opened: Opened
) -> None:
    migrate(hub_dsn)
    await check_up(hub_dsn, SCHEMA)
    async with snapshot(hub_dsn):
        pass
    hub, overview, pulse = PostgresHub(hub_dsn), Overview(hub_dsn), Pulse(hub_dsn, SCHEMA)
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease):
        pass
    await hub.claim("erp", 1)
    await hub.announce("erp", "1", 0)
    await overview.sources()
    await pulse.heard()
    duties = Duties(hub_dsn, SCHEMA, [Duty("source", "crm")], rulebook="book")
    await duties.beat()
    await duties.leave()
    for each in (hub, overview, pulse):
        await each.close()
    assert len(opened) >= 9
    for given, options in opened:
        assert {name: given.get(name) for name in NOTICED} == NOTICED, given.get("application_name")
        assert options == NEVER_CUT_OFF
        assert given["application_name"].startswith("fieldwarden ")


async def test_defaults_of_the_database_do_not_cut_the_hub_off(hub_dsn: str) -> None:
    with psycopg.connect(hub_dsn, autocommit=True) as person:
        name = person.info.dbname
        person.execute(f'alter database "{name}" set statement_timeout = 1'.encode())
        person.execute(f'alter database "{name}" set lock_timeout = 1'.encode())
    async with snapshot(hub_dsn) as connection:
        await connection.execute("select pg_sleep(0.05)")


def test_what_the_connection_string_says_itself_goes_before() -> None:
    made = psycopg.conninfo.conninfo_to_dict(
        lasting("host=h connect_timeout=3 tcp_user_timeout=9 options='-c work_mem=64MB'", "purpose")
    )
    assert (made["connect_timeout"], made["tcp_user_timeout"], made["keepalives_idle"]) == ("3", "9", "10")
    assert str(made["options"]).startswith("-c work_mem=64MB -c statement_timeout=0")
