"""Which record a row speaks of, in two real systems: by what it refers to, by signs alone, and when two are alike."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.integration.cli_project import Shop
from tests.patience import eventually

INVOICE = """entity: invoice
identity: {match: [{customer: exact, number: alphanumeric}]}
defaults: {strategy: source_priority, order: [crm, erp]}
fields:
  customer: {type: ref(customer)}
  number:   {type: text}
  amount:   {type: "decimal(14,2)"}
"""
STREAM = """  public.invoice:
    entity: invoice
    key: id
    external_id: fieldwarden_id
    create: true
    fields: {customer: customer_id, number: number, amount: amount}
"""
TABLE = """create table invoice (
    id bigint generated always as identity primary key,
    customer_id bigint not null, number text not null, amount numeric(14,2), fieldwarden_id text unique
)"""


def with_invoices(shop: Shop) -> None:
    (shop.folder / "entities/invoice.yaml").write_text(INVOICE)
    for system in ("crm", "erp"):
        with (shop.folder / f"systems/{system}.yaml").open("a") as file:
            file.write(STREAM)
        shop.sql(system, TABLE)


def test_an_invoice_is_found_by_its_customer_and_number(shop: Shop) -> None:
    """Both systems have one and the same invoice 1, and CRM another of that number for another customer."""
    with_invoices(shop)
    put = "insert into invoice (customer_id, number, amount) select id, '{}', {} from {} where {} = '{}'"
    shop.sql("crm", put.format("R-1", 10, "account", "vat_number", "DE811907980"))
    shop.sql("crm", put.format("R-1", 20, "account", "vat_number", "NL001234567B01"))
    shop.sql("erp", put.format("r 1", 11, "party", "tax_number", "DE 811907980"))
    shop.settle()
    told = "select name, amount from invoice join {} c on c.id = customer_id order by amount"
    held = [("Alder & Sons", Decimal(10)), ("Cedar Labs", Decimal(20))]
    assert [shop.sql("crm", told.format("account")), shop.sql("erp", told.format("party"))] == [held, held]
    assert shop.sql("hub", "select count(*) from fieldwarden.record where entity = 'invoice'") == [(2,)]

    # A customer and its invoice, new in both systems at once.
    for system, table, tax in (("crm", "account", "vat_number"), ("erp", "party", "tax_number")):
        shop.sql(
            system,
            f"with made as (insert into {table} (name, {tax}) values ('Elm', 'GB1') returning id)"
            " insert into invoice (customer_id, number, amount) select id, 'R-1', 30 from made",
        )
    shop.settle()
    assert shop.sql("hub", "select entity, count(*) from fieldwarden.record group by entity order by 1") == [
        ("customer", 5),
        ("invoice", 3),
    ]
    assert [shop.sql(system, "select count(*) from invoice") for system in ("crm", "erp")] == [[(3,)], [(3,)]]


@pytest.mark.long
def test_two_records_that_come_to_share_a_match_key_are_named_and_never_by_what_they_share(shop: Shop) -> None:
    with shop.running() as run:
        run.await_ready()
        assert shop.call("status")[1]["result"]["duplicates"] == {"counts": {}, "first": []}
        shop.sql("crm", "update account set vat_number = 'ATU 12345675' where vat_number = 'NL001234567B01'")
        told = run.await_event("records.alike")
        assert (told["entity"], told["field"], len(told["records"])) == ("customer", "tax_id", 2)
        eventually(lambda: 'fieldwarden_duplicates{entity="customer"} 1.0' in run.get("/metrics")[1], "the metric")
        run.end()
        assert "12345675" not in run.log.read_text()
    named = {"entity": "customer", "match_key": "tax_id", "records": told["records"]}
    assert shop.call_here("status")[1]["result"]["duplicates"] == {"counts": {"customer": 1}, "first": [named]}
    said = shop.invoke("status").stdout
    assert " ".join(told["records"]) in said
    assert "12345675" not in said
    (warned,) = [each for each in shop.call_here("doctor")[1]["result"]["checks"] if each["subject"] == "duplicates"]
    assert (warned["level"], warned["suggestion"]) == ("warning", "fieldwarden status names them")

    shop.sql("crm", "update account set vat_number = 'NL001234567B01' where vat_number = 'ATU 12345675'")
    shop.settle()
    assert shop.call_here("status")[1]["result"]["duplicates"] == {"counts": {}, "first": []}
