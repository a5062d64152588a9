"""The hub's migrations on a real server: applied once, in order, and never half."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.migrate import known_migrations, migrate
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane, shard_of
from fieldwarden.engine.ports.parts import LOG
from tests.contract.hub_builder import ask


def test_migrations_are_applied_once(database: str) -> None:
    assert migrate(database) == [each.name for each in known_migrations()]
    assert migrate(database) == []
    assert migrate(database, "another") == [each.name for each in known_migrations()]


def test_deliveries_that_wait_fall_into_shards(database: str, tmp_path: Path) -> None:
    """A hub that was left with a backlog before its deliveries were shared."""
    for each in known_migrations()[:5]:
        (tmp_path / f"{each.name}.sql").write_bytes(each.script)
    migrate(database, folder=tmp_path)
    ids = [f"01900000-0000-7000-8000-{number:012x}" for number in range(9)]
    with psycopg.connect(database, autocommit=True, options="-c search_path=fieldwarden") as connection:
        connection.execute("insert into marked select 'crm', nextval('mark'), 6, %s::uuid[]", [ids[:6]])
        connection.execute("insert into marked select 'crm', nextval('mark'), 3, %s::uuid[]", [ids[5:8]])
        connection.execute("insert into dirty (target, record, mark) select 'crm', %s, nextval('mark')", [ids[8]])
    assert migrate(database) == [each.name for each in known_migrations()[5:]]
    found = ask(database, "select shard, number, records::text[] from marked order by mark")
    assert sorted(id for _, _, records in found for id in records) == sorted([*ids[:6], *ids[5:8]])
    for shard, number, records in found:
        assert ({shard}, number) == ({shard_of(id) for id in records}, len(records))
    assert ask(database, "select shard from dirty") == [(shard_of(ids[8]),)]


def test_the_numbers_of_baselines_are_those_that_positions_begin_with(database: str, tmp_path: Path) -> None:
    """A hub in which the same stood as the epoch in a position, and as a floor."""
    before = next(index for index, each in enumerate(known_migrations()) if each.name.endswith("_baseline"))
    for each in known_migrations()[:before]:
        (tmp_path / f"{each.name}.sql").write_bytes(each.script)
    migrate(database, folder=tmp_path)
    token = '{"v":1,"phase":"stream","end":"0/16","streams":["a"],"server":"7"%s}'
    told = [
        ("direct", token % ',"epoch":12', "", 12),
        ("older", token % "", "", 1),
        ("unreadable", "from another connector", "", 20000),
        ("topics", None, "", 0),
        ("topics, then direct", token % ',"epoch":5', "0002.0000000000000000", 5),
        ("topics told again", None, "001f.0000000000000000", 31),
        ("new", None, "", 1),
    ]
    with psycopg.connect(database, autocommit=True, options="-c search_path=fieldwarden") as connection:
        for name, position, floor, _ in told:
            connection.execute(
                "insert into source (name, system, position, floor) values (%s, %s, %s, %s)",
                [name, name, position, floor],
            )
        for name in ("topics", "topics told again"):
            connection.execute("insert into source (name, system) values (%s, %s)", [f"{name}#2", name])
            connection.execute("insert into partition (source, name) values (%s, 't/0')", [name])
        connection.execute("insert into source (name, system) values ('half read#2', 'half read')")
        connection.execute(
            "insert into partition (source, name, position) values ('half read', 't/0', '0000.0000000000000007.0001')"
        )
    migrate(database)
    found = dict(ask(database, "select name, baseline from source where name = system"))
    assert found == {name: number for name, _, _, number in told} | {"half read": 0}
    assert ask(database, "select 1 from source where began_at is not null") == []
    later = (
        "select from source s join partition p on p.source = s.name where p.baseline > s.baseline and p.position > ''"
    )
    assert ask(database, later) == []


def test_what_was_read_as_one_stream_goes_on_as_its_one_part(database: str, tmp_path: Path) -> None:
    """Nothing is read again, and what a new baseline has begun stays begun."""
    before = next(index for index, each in enumerate(known_migrations()) if each.name.endswith("_parts"))
    for each in known_migrations()[:before]:
        (tmp_path / f"{each.name}.sql").write_bytes(each.script)
    migrate(database, folder=tmp_path)
    with psycopg.connect(database, autocommit=True, options="-c search_path=fieldwarden") as connection:
        for name, position, baseline, anew in (
            ("crm", "{crm}", 1, False),
            ("erp", "{erp}", 3, True),
            ("new", None, 1, False),
            ("begun", None, 2, True),
            ("kafka", None, 4, False),
            ("kafka once", "{direct}", 5, False),
        ):
            connection.execute(
                "insert into source (name, system, position, baseline, anew, read_at, streams) values"
                " (%s, %s, %s, %s, %s, now(), case when %s like 'kafka%%' then array['a'] else '{}' end)",
                [name, name, position, baseline, anew, name],
            )
        connection.execute("insert into source (name, system) values ('kafka#1', 'kafka')")
        for source, position in (("kafka", "0004.00000000000004d2.0002"), ("kafka once", "0002.00000000000004d2.0001")):
            connection.execute(
                "insert into partition (source, name, epoch, position, until) values (%s, 't/0', 7, %s, '9')",
                [source, position],
            )
        connection.execute("update source set swept = false where name = 'kafka once'")
    migrate(database)
    assert ask(database, "select source, name, position, baseline, until from partition order by 1, 2") == [
        ("crm", "log", "{crm}", 1, None),
        ("erp", "log", "{erp}", 2, None),
        ("kafka", "t/0", "0004.00000000000004d2.0002", 4, "9"),
        ("kafka once", "log", "{direct}", 5, None),
        ("kafka once", "t/0", "0002.00000000000004d2.0001", 2, None),
    ]
    assert ask(database, "select name from source where not swept") == []
    assert ask(database, "select streams from source where name like 'kafka%' order by name") == [
        (["a"],),
        ([],),
        ([],),
    ]


async def test_of_an_upgraded_hub_each_part_is_taken_where_it_was_left(database: str, tmp_path: Path) -> None:
    for each in known_migrations():
        if each.name.endswith("_parts"):
            break
        (tmp_path / f"{each.name}.sql").write_bytes(each.script)
    migrate(database, folder=tmp_path)
    with psycopg.connect(database, autocommit=True, options="-c search_path=fieldwarden") as connection:
        connection.execute(
            "insert into source (name, system, position, baseline, read_at) values ('crm', 'crm', '{at}', 2, now())"
        )
    migrate(database)
    hub = PostgresHub(database)
    try:
        assert await hub.unread(["crm"], {"crm": ["account"]}) == []
        lease, part = await hub.lease(Lane("crm")), (await hub.take("crm", [LOG]))[LOG]
        assert (lease.baseline, lease.begun, part.position, part.baseline) == (2, True, "{at}", 2)
        async with hub.ingest(lease) as tx:
            await tx.commit(IngestOutcome(), rulebook="book", parts={LOG: replace(part, position="{on}")})
        assert (await hub.take("crm", [LOG]))[LOG].position == "{on}"
    finally:
        await hub.close()


def test_a_changed_or_newer_migration_is_noticed(database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("create table t ();")
    (tmp_path / "0002_second.sql").write_text("create table u ();")
    assert migrate(database, folder=tmp_path) == ["0001_first", "0002_second"]
    (tmp_path / "0001_first.sql").write_text("create table t (n int);")
    with pytest.raises(EnvironmentUnfit, match=r"0001_first was applied .* in another form"):
        migrate(database, folder=tmp_path)
    (tmp_path / "0001_first.sql").write_text("create table t ();")
    (tmp_path / "0002_second.sql").unlink()
    with pytest.raises(EnvironmentUnfit, match="newer than this program"):
        migrate(database, folder=tmp_path)


def test_a_failed_migration_leaves_nothing_behind(database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("create table t (); select nonsense;")
    with pytest.raises(EnvironmentUnfit, match="0001_first failed and was undone"):
        migrate(database, folder=tmp_path)
    (tmp_path / "0001_first.sql").write_text("create table t ();")
    assert migrate(database, folder=tmp_path) == ["0001_first"]


def test_a_role_that_may_not_create_is_told_so(database: str, make_role: Callable[..., str]) -> None:
    with pytest.raises(EnvironmentUnfit, match="may not create") as caught:
        migrate(make_role(database))
    assert "grant" in caught.value.suggestion


def test_a_database_that_is_not_there_is_told_so(postgres: EmbeddedServer) -> None:
    with pytest.raises(EnvironmentUnfit, match="cannot be reached"):
        migrate(postgres.dsn("nowhere"))
