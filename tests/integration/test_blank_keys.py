"""A row whose natural key is blank is one row's trouble: everything else goes on, and `check` says why it differs."""

from __future__ import annotations

from typing import Any

from tests.integration.cli_project import Shop

BLANK = "tax_id is blank, but it identifies the row"


def count(shop: Shop, system: str, question: str) -> Any:
    ((number,),) = shop.sql(system, f"select count(*) from {question}")
    return number


def test_a_blank_key_parks_its_row_alone(shop: Shop) -> None:
    """The ERP's parties are created, and known again, by their tax number alone."""
    shop.edit("systems/erp.yaml", "    key: id\n    external_id: fieldwarden_id\n", "    key: tax_number\n")
    shop.sql("erp", "alter table party drop constraint party_pkey cascade")
    shop.sql("erp", "alter table party add primary key (tax_number)")
    shop.settle()
    before = count(shop, "hub", "fieldwarden.record")
    shop.sql("crm", "insert into account (name, vat_number) values ('Blank', ''), ('Sign', '-'), ('Plain', 'X1')")
    shop.settle()  # which ends
    assert shop.sql("erp", "select tax_number, name from party where tax_number in ('', '-', 'X1') order by 1") == [
        ("-", "Sign"),
        ("X1", "Plain"),
    ]
    shop.sql("crm", "update account set name = name || '!' where vat_number in ('', '-', 'X1')")
    shop.settle()
    assert shop.sql("erp", "select name from party where tax_number in ('-', 'X1') order by tax_number") == [
        ("Sign!",),
        ("Plain!",),
    ]
    assert count(shop, "hub", "fieldwarden.record") == before + 3, "no second record of any of them"
    code, body = shop.call_here("check", "--list")
    assert code == 0, body["result"]["listed"]
    assert BLANK in str(body["result"]["differences"])
    assert BLANK in shop.invoke("deadletter", "list").output
