"""Which changes are our own writes coming back: the announced ones where the stream carries no marks; and never what we
do not do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.deciding.known import Mapped
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.running.ingest.recognising import recognise
from fieldwarden.engine.testing import MemoryHub
from tests.builders import ACCOUNT, ADDRESS, CRM, PARTY, deleted, raw, rulebook, said

READ_ONLY = {
    **CRM,
    "streams": {"public.account": {**CRM["streams"]["public.account"], "mode": "source", "create": False}},
}
RULES, WITHOUT = rulebook(), rulebook(crm=READ_ONLY)
AT = 1_700_000_000_000_000


async def recognised(row: RowRef, *, echo: bool | None, gone: bool = False, name: str = "1", late: int = 0) -> bool:
    """Whether a change in a transaction of this name is taken for ours; "1" was announced for the row's system."""
    hub = MemoryHub()
    await hub.announce(row.system, "1", AT)
    change = replace(deleted(row, 1) if gone else said(row, 1, phone="1"), echo=bool(echo))
    told = replace(raw(row.stream, "delete" if gone else "update", 1), echo=echo, transaction=name, at=AT + late)
    mapped = Mapped(told, row, "customer", change)
    async with hub.ingest(await hub.lease(Lane(row.system))) as tx:
        await recognise(tx, RULES.systems[row.system], [mapped])
    return change.echo


@pytest.mark.parametrize(
    ("name", "late", "ours"),
    [("1", 0, True), ("2", 0, False), ("1", 3_600_000_001, False), ("1", -1_000_001, False)],
)
async def test_where_a_stream_carries_no_marks_only_an_announced_transaction_is_ours(
    name: str, late: int, ours: bool
) -> None:
    assert await recognised(ACCOUNT, echo=None, name=name, late=late) is ours


@pytest.mark.parametrize("echo", [True, None])
async def test_a_row_that_we_never_delete_is_not_deleted_by_us(echo: bool | None) -> None:
    """`on_retire: delete` stands at the ERP's parties only."""
    assert not await recognised(ACCOUNT, echo=echo, gone=True)
    assert not await recognised(ADDRESS, echo=echo, gone=True)
    assert await recognised(PARTY, echo=echo, gone=True)


async def test_a_row_that_we_never_write_is_not_written_by_us() -> None:
    change = replace(said(ACCOUNT, 1, phone="1"), echo=True)
    hub = MemoryHub()
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        told = replace(raw(ACCOUNT.stream, "update", 1), echo=True)
        await recognise(tx, WITHOUT.systems["crm"], [Mapped(told, ACCOUNT, "customer", change)])
    assert not change.echo
    assert await recognised(ACCOUNT, echo=True)


async def test_what_its_source_knows_for_an_edit_is_one_whatever_is_announced() -> None:
    assert not await recognised(ACCOUNT, echo=False)
