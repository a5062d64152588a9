"""What a target tells before it commits: the transaction by which a change stream will name it."""

from __future__ import annotations

import psycopg
import pytest

from connectors.postgres.target import PostgresTarget
from engine.errors import TransientError
from rules.rulebook import System
from tests.integration.target_world import MARK, World


def announcing(world: World, announce: object) -> None:
    world.target = PostgresTarget(System("erp", 0, "postgres", {}, world.streams), world.dsn, MARK, announce)  # type: ignore[arg-type]


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
