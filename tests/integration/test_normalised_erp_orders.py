"""The example `normalised-erp` told in any order: the rows as PostgreSQL holds them, shuffled over all tables, some
told again, the three systems side by side in batches of any size, connections lost meanwhile.

However it goes, a customer is one record, and what the ERP merged has gone into it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fieldwarden.connectors.postgres.reading.source import PostgresSource
from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.testing import MemoryHub
from fieldwarden.engine.testing.footholds import MemoryFootholds
from fieldwarden.operations import examples
from fieldwarden.rules.loading import load_project
from fieldwarden.rules.rulebook import Rulebook
from tests.integration.reading import reading, run
from tests.simulation.lanes import Lanes, waiting
from tests.simulation.test_late_identity import assert_the_ledger_tells_it
from tests.simulation.virtual_time import simulate

ROOTS = {"erp": "public.party", "crm": "public.account", "billing": "public.customer"}
KNOWN = {"erp": range(1, 51), "crm": range(26, 76), "billing": range(41, 71)}
"""By system, the numbers of the customers that it has rows of (`sql/`)."""
MERGED = {61: 3, 62: 29, 63: 29}
"""Parties that the ERP merged, and into whom in the end."""
SEEDS = 12
TODAY = 1_800_000_000_000_000
"""The example's rows were written before then."""
Rows = dict[str, list[RawChange]]


@pytest.fixture
def rules(tmp_path: Path) -> Rulebook:
    examples.lay_out("normalised-erp", tmp_path)
    return load_project(tmp_path).rulebook


@pytest.fixture
def rows(rules: Rulebook, tmp_path: Path, make_database: Callable[..., str]) -> Rows:
    """What the first read of each system finds."""
    return {
        name: asyncio.run(_read(rules, name, (tmp_path / f"sql/{name}.sql").read_text("utf-8"), make_database()))
        for name in ROOTS
    }


async def _read(rules: Rulebook, name: str, script: str, dsn: str) -> list[RawChange]:
    run(dsn, script)
    hub = MemoryFootholds("orders")
    async with reading(PostgresSource(rules.systems[name], dsn, hub.id, hub)) as reader:
        return [change for change in await reader.baseline() if change.operation == "observe"]


def told(rows: Rows, rng: random.Random, system: str) -> list[RawChange]:
    """All rows of a system in some order, a few of them twice; what came of them is streamed, not read."""
    order = list(rows[system])
    if rng.random() < 0.8:
        rng.shuffle(order)
    order += rng.sample(order, 5)
    return [replace(row, operation="update", position=f"{n:08}", at=n + 1) for n, row in enumerate(order)]


@pytest.mark.long
def test_one_record_per_customer_in_any_order(rules: Rulebook, rows: Rows) -> None:
    for seed in range(SEEDS):
        world = Lanes(rules, lambda rng, system: told(rows, rng, system), seed, TODAY)
        simulate(world.run())
        assert not waiting(world.hub), seed
        assert {suppliers_row(each) for each in world.hub.set_aside.values()} == {True}, seed
        assert by_customer(world.hub) == expected(), seed
        assert_the_ledger_tells_it(world.hub)


def suppliers_row(letter: SetAside) -> bool:
    """Whether it waits for a party that is a supplier: number 91 and on."""
    return letter.awaits is not None and int(letter.awaits.key) > 1090


def expected() -> Counter[tuple[str, ...]]:
    """The root rows of each record, by customer's number, with the parties that were merged into its own."""
    numbers = sorted(set().union(*KNOWN.values()))
    return Counter(
        tuple(sorted([f"{system} {n}" for system in ROOTS if n in KNOWN[system]] + _gone_into(n))) for n in numbers
    )


def _gone_into(number: int) -> list[str]:
    return [f"erp {gone}" for gone, into in MERGED.items() if into == number]


def by_customer(hub: MemoryHub) -> Counter[tuple[str, ...]]:
    by_record: dict[str, list[str]] = defaultdict(list)
    for row, record in hub.crosswalk.items():
        if row.stream == ROOTS[row.system]:
            by_record[record].append(_named(row))
    return Counter(tuple(sorted(names)) for names in by_record.values())


def _named(row: RowRef) -> str:
    """A party has its customer's number and a thousand, and billing's keys have a name before it."""
    return f"{row.system} {int(row.key.removeprefix('cus_')) % 1000}"
