"""I6: what a large transaction costs in memory has a bound: one that is more than twice as large costs no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli_project import Run, Shop
from tests.patience import eventually

pytestmark = pytest.mark.long

WIDE = 500
ROWS = (130_000, 300_000)
"""Bytes of a row, and rows: both transactions are larger than what a source keeps in memory (64 MiB)."""


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """The CRM's table is full of rows that are nobody's customers."""
    shop.edit("systems/crm.yaml", "    key: id\n", "    key: id\n    where: coalesce(email, '') not like 'noise%'\n")
    return shop


def peak(run: Run) -> int:
    """The process's largest resident size so far, in kB."""
    status = Path(f"/proc/{run.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def noise(shop: Shop, rows: int) -> None:
    """One transaction, and then a customer whose arrival tells that it has been read."""
    shop.sql(
        "crm",
        f"insert into account (name, email) select 'x', 'noise' || repeat('x', {WIDE}) from generate_series(1, {rows})",
    )
    shop.sql("crm", f"insert into account (name, vat_number) values ('After {rows}', 'V{rows}')")


def test_a_large_transaction(shop: Shop) -> None:
    shop.settle()
    with shop.running() as run:
        run.await_ready()
        sizes = []
        for rows in ROWS:
            noise(shop, rows)
            arrived = f"select 1 from party where name = 'After {rows}'"
            eventually(lambda: shop.sql("erp", arrived), "the customer")  # noqa: B023
            sizes.append(peak(run))
        assert run.end()[0] == 143
    small, large = sizes
    assert large <= small * 1.3, f"{small} kB grew to {large} kB"
