"""A value that must be unique in the target passes from row to row in the source: at rest both systems agree."""

from __future__ import annotations

from typing import Any

import pytest

from fieldwarden.engine.running import delivery
from tests.integration.cli_project import Shop
from tests.parts import first


@pytest.fixture
def twins(shop: Shop) -> Shop:
    """Three customers in both systems, whose names must be unique in erp, and are crm's to say."""
    shop.sql("crm", "truncate account")
    shop.sql("erp", "truncate party; alter table party add constraint one_name unique (name)")
    shop.edit("systems/erp.yaml", "    create: true", "    create: true\n    on_retire: delete")
    shop.sql("crm", "insert into account (name, vat_number) values ('a', 'DE 1'), ('b', 'DE 2'), ('c', 'DE 3')")
    shop.settle()
    assert shop.sql("erp", "select count(*) from party") == [(3,)]
    return shop


def names(shop: Shop, system: str) -> list[tuple[str, str]]:
    table, column = {"crm": ("account", "vat_number"), "erp": ("party", "tax_number")}[system]
    return [(number, name) for number, name in shop.sql(system, f"select {column}, name from {table} order by 1")]


def letters(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.call_here("deadletter", "list")[1]["result"]["dead_letters"]
    return found


def agree(shop: Shop) -> None:
    assert names(shop, "erp") == names(shop, "crm")
    assert letters(shop) == []


SWAP = "update account set name = case name when 'a' then 'b' when 'b' then 'a' else name end"
ROUND = "update account set name = translate(name, 'abc', 'bca')"
SHIFT = "update account set name = translate(name, 'abc', 'bcd')"


@pytest.mark.long
@pytest.mark.parametrize("claimed", [1, 2000])
@pytest.mark.parametrize("edit", first(1, [SWAP, ROUND, SHIFT]))
def test_values_that_pass_from_row_to_row_arrive_however_deliveries_are_cut(
    twins: Shop, monkeypatch: pytest.MonkeyPatch, edit: str, claimed: int
) -> None:
    monkeypatch.setattr(delivery, "_LIMIT", claimed)
    twins.sql("crm", edit)
    twins.settle()
    agree(twins)


@pytest.mark.long
def test_a_swap_of_which_one_half_is_known_first_is_made_up_for_by_the_other(twins: Shop) -> None:
    twins.sql("crm", "update account set name = 'b' where vat_number = 'DE 1'")
    twins.settle()
    (letter,) = letters(twins)
    assert "one_name" in letter["reason"]
    assert names(twins, "erp")[0] == ("DE 1", "a")
    twins.sql("crm", "update account set name = 'a' where vat_number = 'DE 2'")
    twins.settle()
    agree(twins)


@pytest.mark.long
def test_a_value_that_is_given_up_later_is_taken_then(twins: Shop) -> None:
    twins.sql("crm", "update account set name = 'b' where vat_number = 'DE 1'")
    twins.settle()
    assert len(letters(twins)) == 1
    twins.sql("crm", "update account set name = 'z' where vat_number = 'DE 2'")
    twins.settle()
    agree(twins)


def test_a_value_is_reused_after_a_delete(twins: Shop) -> None:
    twins.sql(
        "crm",
        "begin; delete from account where name = 'a';"
        " insert into account (name, vat_number) values ('a', 'DE 4'); commit",
    )
    twins.settle()
    agree(twins)


@pytest.mark.long
def test_a_row_that_stood_in_the_way_and_is_deleted_by_its_own_people_frees_what_waited(twins: Shop) -> None:
    twins.sql("erp", "insert into party (name, tax_number) values ('taken', 'X 1')")
    twins.settle()
    twins.sql("crm", "delete from account where vat_number = 'X 1'")
    twins.sql("erp", "insert into party (name) values ('x')")
    twins.settle()
    twins.sql("crm", "update account set name = 'x' where vat_number = 'DE 1'")
    twins.settle()
    assert len(letters(twins)) == 1
    twins.sql("erp", "delete from party where name = 'x' and tax_number is null")
    twins.settle()
    assert names(twins, "erp")[0] == ("DE 1", "x")
