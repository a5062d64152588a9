"""The hub in memory is the real one's model: what is tested with it holds for PostgreSQL.

`FIELDWARDEN_MODEL_SEEDS=2000 pytest tests/contract/test_hub_model.py` runs more of them (`..._FIRST`: from there)."""

from __future__ import annotations

import os
import time

import psycopg
import pytest

from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.testing import MemoryHub

pytest.register_assert_rewrite("tests.contract.hub_model")
from tests.contract.hub_model import Model  # noqa: E402
from tests.parts import first  # noqa: E402

FIRST, SEEDS = int(os.environ.get("FIELDWARDEN_MODEL_FIRST", "0")), int(os.environ.get("FIELDWARDEN_MODEL_SEEDS", "24"))
STEPS = 40
EVERY_TABLE = """
select string_agg(format('%I', tablename), ', ') from pg_tables
where schemaname = 'fieldwarden' and tablename <> 'migration'
"""


@pytest.mark.parametrize("part", first(1, range(4)))
async def test_the_same_calls_have_the_same_outcome_in_both_hubs(hub_dsn: str, part: int) -> None:
    async with await psycopg.AsyncConnection.connect(hub_dsn, autocommit=True) as person:
        await person.execute("set search_path to fieldwarden")
        row = await (await person.execute(EVERY_TABLE)).fetchone()
        assert row is not None
        for seed in range(FIRST + part, FIRST + SEEDS, 4):
            await person.execute(f"truncate {row[0]}".encode())
            real = PostgresHub(hub_dsn)
            model = Model(seed, MemoryHub(clock=lambda: time.time_ns() // 1000), real, person)
            try:
                for step in range(STEPS):
                    try:
                        await model.step()
                        await model.compare()
                    except AssertionError as error:
                        raise AssertionError(f"seed {seed}, step {step}: {error}") from error
            finally:
                await real.close()
