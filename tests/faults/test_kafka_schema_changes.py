"""Tables change their shape while `run` works: what is not mapped passes, what no longer fits stops its table alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.kafka import KafkaWorld
from tests.patience import eventually


@pytest.fixture
def world(kafka_world: KafkaWorld) -> KafkaWorld:
    return kafka_world


def holds(world: KafkaWorld, system: str, where: str) -> bool:
    table = {"crm": "account", "billing": "customer", "erp": "receivable"}[system]
    return bool(world.sql(system, f"select 1 from {table} where {where}"))


def standing_still(world: KafkaWorld) -> dict[str, str]:
    """Table -> why."""
    code, body = world.call("status")
    assert code == 0, body
    parts: list[dict[str, Any]] = body["result"]["partitions"]
    return {part["topic"].rpartition(".")[2]: part["message"] for part in parts if part["message"]}


def map_note(world: KafkaWorld) -> None:
    """The CRM's notes, to be brought to billing."""
    world.edit("entities/customer.yaml", "  phone:  ", "  note:         {type: text, owner: crm}\n  phone:  ")
    world.edit("systems/crm.yaml", "phone: phone,", "phone: phone, note: note,")
    world.edit("systems/billing.yaml", "phone: phone,", "phone: phone, note: remark,")


def test_a_new_column_passes_and_flows_once_it_is_mapped(world: KafkaWorld) -> None:
    with world.running() as run:
        world.await_baselines(run)
        world.sql("crm", "alter table account add column note text")
        world.sql("billing", "alter table customer add column remark text")
        world.by_hand("crm", "update account set note = 'unmapped', segment = 'as ever' where tax = 'T-1'")
        eventually(lambda: holds(world, "billing", "segment = 'as ever'"), "the mapped part of it")
        assert run.end()[0] == 143
    map_note(world)
    assert world.call("apply")[0] == 0
    world.by_hand("crm", "update account set note = 'mapped' where tax = 'T-2'")
    with world.running() as run:
        eventually(lambda: holds(world, "billing", "remark = 'mapped' and vat = 'T-2'"), "the note")
        world.by_hand("crm", "update account set phone = 'moved' where tax = 'T-1'")
        eventually(lambda: holds(world, "billing", "remark = 'unmapped' and vat = 'T-1'"), "an older one, told again")
        assert standing_still(world) == {}
        assert run.end()[0] == 143
    world.rest()
    world.ledger_is_whole()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("alter table invoice alter column amount type date using current_date", "'amount' of public.invoice is date"),
        ("alter table invoice drop column amount", "public.invoice has no column amount any more"),
    ],
    ids=["retyped", "dropped"],
)
def test_a_column_that_no_longer_fits_stops_its_table_alone_until_the_mapping_is_mended(
    change: str, named: str, world: KafkaWorld
) -> None:
    def bill(number: str, total: str) -> None:
        world.by_hand("billing", f"update invoice set total = '{total}' where number = '{number}'")

    world.edit("systems/billing.yaml", "    fields: {number: number,", "    mode: source\n    fields: {number: number,")
    with world.running() as run:
        world.await_baselines(run)
        world.by_hand("billing", "update invoice set amount = 11 where number = 'I-1'")
        eventually(lambda: holds(world, "erp", "number = 'I-1' and amount = 11"), "the amount")
        world.sql("billing", "alter table invoice add column total text")
        world.sql("billing", change)
        bill("I-1", "12.50")
        bill("I-2", "13.50")
        reasons = eventually(lambda: standing_still(world), "the table to stand still")
        assert list(reasons) == ["invoice"]
        assert named in reasons["invoice"]
        # The same system's other tables go on, and so does everybody else.
        world.flows()
        world.by_hand("erp", "update item set title = 'still sold' where sku = 'P-1'")
        eventually(lambda: world.sql("billing", "select 1 from product where title = 'still sold'"), "the product")
        bill("I-1", "14.50")
        assert holds(world, "erp", "number = 'I-1' and amount = 11")
        assert run.end()[0] == 143
    mended = 'amount: {column: total, read: "cast(total as decimal(14,2))"}}'
    world.edit("systems/billing.yaml", "amount: amount}", mended)
    assert world.call("apply")[0] == 0
    with world.running() as run:
        eventually(lambda: holds(world, "erp", "number = 'I-1' and amount = 14.5"), "the amount after all")
        eventually(lambda: holds(world, "erp", "number = 'I-2' and amount = 13.5"), "the other one")
        eventually(lambda: standing_still(world) == {}, "status to say that it goes on")
        assert run.end()[0] == 143
    told = world.sql("hub", "select body from fieldwarden.ledger_entry where body like '%12.50%'")
    assert told, "what was said meanwhile was decided on in its turn"
    world.ledger_is_whole()
