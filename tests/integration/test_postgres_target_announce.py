"""How a target's transactions are known again: by a mark before their rows, or by what is told before the commit."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from fieldwarden.connectors.postgres.writing.target import PostgresTarget
from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.rules.rulebook import System
from tests.builders import postgres
from tests.integration.target_world import MARK, PARTY, World


def announcing(world: World, announce: object) -> None:
    world.target = PostgresTarget(System("erp", 0, postgres(), world.streams), world.dsn, MARK, announce)  # type: ignore[arg-type]


async def test_each_transaction_is_announced_by_its_number_before_anybody_can_see_it(database: str) -> None:
    told: list[tuple[str, int]] = []
    async with World(database) as world:

        async def announce(transaction: str, at: int) -> None:
            assert world.sql("select 1 from party") == []
            told.append((transaction, at))

        announcing(world, announce)
        await world.made(name="Acme")
        [(transaction, at)] = told
        number, now = world.row("xmin::text, (extract(epoch from clock_timestamp()) * 1000000)::bigint")
        assert transaction == number
        assert now - 300_000_000 < at <= now


async def test_what_could_not_be_announced_is_not_written(database: str) -> None:
    async def announce(transaction: str, at: int) -> None:
        raise TransientError(f"the hub is away ({transaction}, {at})")

    async with World(database) as world:
        announcing(world, announce)
        with pytest.raises(TransientError):
            await world.made(name="Acme")
        with psycopg.connect(database) as other:
            assert other.execute("select count(*) from party").fetchone() == (0,)
        assert world.sql("select 1 from party") == []


async def round_trips(world: World, trace: Path) -> int:
    """Of one transaction, once all is prepared: how often the server was asked, and waited for to be ready again."""
    for number in range(8):
        await world.made(f"warm-{number}", name="Acme")
    writing = world.target._writing
    assert writing is not None
    pgconn = writing.connection.pgconn
    with trace.open("w") as lines:
        pgconn.trace(lines.fileno())
        await world.made("r-1", name="Acme")
        pgconn.untrace()
    return len(re.findall(r"\tReadyForQuery", trace.read_text()))


async def test_a_mark_costs_no_round_trip(database: str, tmp_path: Path) -> None:
    async def announce(_transaction: str, _at: int) -> None: ...

    async with World(database) as world:
        marked = await round_trips(world, tmp_path / "marked")
    async with World(database, ddl="truncate party") as world:
        announcing(world, announce)
        announced = await round_trips(world, tmp_path / "announced")
    assert marked == announced == 4, "begin, copy, write, commit"


@pytest.mark.parametrize("poison", [False, True])
async def test_the_mark_stands_before_all_rows_in_the_log_whatever_is_refused(database: str, poison: bool) -> None:
    async with World(database, ddl=f"{PARTY}; create publication p for table party") as world:
        world.sql("alter table party add check (name <> 'poison')")
        slot = f"s_{world.person.info.dbname}"
        world.sql(f"select pg_create_logical_replication_slot('{slot}', 'pgoutput')")
        try:
            names = ["a", *["poison"] * poison, "b"]
            results = await world.write(*(world.create(f"r-{n}", name=name) for n, name in enumerate(names)))
            told = world.sql(
                "select chr(get_byte(data, 0)) from pg_logical_slot_get_binary_changes(%s, null, null,"
                " 'proto_version', '1', 'publication_names', 'p', 'messages', 'true')",
                slot,
            )
        finally:
            world.sql(f"select pg_drop_replication_slot('{slot}')")
    assert [result.status for result in results] == ["applied", *["rejected"] * poison, "applied"]
    assert "".join(kind for (kind,) in told) == "BMRIIC"


async def test_where_no_mark_may_be_made_nothing_is_written_and_that_is_said(database: str) -> None:
    role = "no_marks"
    async with World(database) as world:
        world.sql(f"create role {role} login; grant select, insert, update on party to {role}")
        kinds = world.sql("select oid::regprocedure::text from pg_proc where proname = 'pg_logical_emit_message'")
        world.sql("; ".join(f"revoke execute on function {kind} from public" for (kind,) in kinds))
        dsn = psycopg.conninfo.make_conninfo(database, user=role)
        world.target = PostgresTarget(System("erp", 0, postgres(), world.streams), dsn, MARK)
        try:
            with pytest.raises(EnvironmentUnfit, match="permission denied for function pg_logical_emit_message"):
                await world.made(name="Acme")
            assert world.sql("select 1 from party") == []
            world.sql("; ".join(f"grant execute on function {kind} to {role}" for (kind,) in kinds))
            await world.made(name="Acme")
        finally:
            await world.target.close()
            world.sql(f"drop owned by {role}; drop role {role}")
