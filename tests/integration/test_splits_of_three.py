"""Of three records that were joined one after the other, one is split off, and gets back what was its own."""

from __future__ import annotations

import pytest

from tests.integration.cli_project import Shop
from tests.integration.splitting import ACCOUNT, PARTY, WHY, records, rows, split

TILL = """system: till
connector: {kind: postgres, dsn: "${env:ERP_DSN}"}
streams:
  public.outlet:
    entity: customer
    key: id
    fields: {name: name, tax_id: tax, email: mail}
"""


@pytest.fixture
def three(shop: Shop) -> Shop:
    """Three firms whose records are as old as their order: in the CRM, in the ERP, at the till."""
    for system in ("crm", "erp"):
        shop.edit(f"systems/{system}.yaml", "    create: true", "    create: false")
    (shop.folder / "systems/till.yaml").write_text(TILL)
    shop.edit("fieldwarden.yaml", "[erp, crm]", "[erp, crm, till]")
    shop.edit("entities/customer.yaml", "order: [crm, erp]", "order: [crm, erp, till]")
    shop.edit("entities/customer.yaml", "among: [crm, erp]", "among: [crm, erp, till]")
    shop.sql("erp", "create table outlet (id bigint primary key, name text not null, tax text, mail text)")
    for system, table, name in (("crm", "account", "Elm"), ("erp", "party", "Elm Ltd")):
        shop.sql(system, f"insert into {table} (name) values ('{name}')")
        shop.settle()
    shop.sql("erp", "insert into outlet values (1, 'Elm Shop', null, 'shop@elm.example')")
    shop.settle()
    return shop


def till_of(shop: Shop) -> str:
    """The record of the outlet."""
    ((till,),) = shop.sql("hub", "select record::text from fieldwarden.crosswalk where system = 'till'")
    return str(till)


def names(shop: Shop) -> list[str]:
    asked = (("crm", ACCOUNT), ("erp", PARTY), ("erp", "select name from outlet"))
    return [name for system, query in asked for name, *_ in shop.sql(system, query)]


def state(shop: Shop, *tables: str) -> None:
    """These say their tax id, one after the other."""
    columns = {"account": ("crm", "vat_number"), "party": ("erp", "tax_number"), "outlet": ("erp", "tax")}
    for table in tables:
        system, column = columns[table]
        shop.sql(system, f"update {table} set {column} = 'DE1' where name like 'Elm%'")
        shop.settle()


@pytest.mark.long
def test_of_three_records_the_one_in_the_middle(three: Shop) -> None:
    crm, erp = records(three)
    state(three, "account", "party", "outlet")
    assert names(three) == ["Elm", "Elm", "Elm"]
    split(three, crm, erp, "--yes")
    three.settle()
    assert names(three) == ["Elm", "Elm Ltd", "Elm"]
    split(three, crm, "--yes")
    three.settle()
    assert names(three) == ["Elm", "Elm Ltd", "Elm Shop"]
    three.is_sound()


@pytest.mark.long
@pytest.mark.parametrize("last_first", [True, False], ids=["the last one first", "the first one first"])
def test_of_three_records_what_only_one_has_stays_with_it(three: Shop, last_first: bool) -> None:
    """The e-mail is the till's, the credit limit the ERP's."""
    three.sql("erp", "update party set credit_limit = 100 where name = 'Elm Ltd'")
    three.settle()
    crm, erp = records(three)
    till = till_of(three)
    state(three, "account", "party", "outlet")
    assert [(row[2], row[4]) for row in rows(three)] == [("shop@elm.example", 100)] * 2
    for other in (till, erp) if last_first else (erp, till):
        split(three, crm, other, "--yes")
        three.settle()
    assert [(row[0], row[2], row[4]) for row in rows(three)] == [("Elm", None, None), ("Elm Ltd", None, 100)]
    assert three.sql("erp", "select name, mail from outlet") == [("Elm Shop", "shop@elm.example")]
    three.is_sound()


@pytest.mark.long
def test_what_came_with_another_record_is_parted_after_that(three: Shop) -> None:
    crm, erp = records(three)
    till = till_of(three)
    state(three, "party", "outlet", "account")
    assert names(three) == ["Elm", "Elm", "Elm"]
    code, body = three.call_here("record", "split", crm, till, "--restore", "--yes", *WHY)
    assert (code, body["error"]["code"]) == (1, "cannot_decide")
    assert "with a record that it had been joined to before" in body["error"]["message"]
    split(three, crm, erp, "--yes")
    three.settle()
    assert names(three) == ["Elm", "Elm Ltd", "Elm Ltd"]
    split(three, erp, till, "--yes")
    three.settle()
    assert names(three) == ["Elm", "Elm Ltd", "Elm Shop"]
    three.is_sound()


@pytest.mark.long
@pytest.mark.parametrize("at_once", [True, False], ids=["from the last one", "one after the other"])
def test_a_row_that_got_another_key_in_a_record_in_between(three: Shop, at_once: bool) -> None:
    crm, erp = records(three)
    till = till_of(three)
    state(three, "party", "outlet")
    three.sql("erp", "update outlet set id = 2")
    three.settle()
    state(three, "account")
    assert till_of(three) == crm
    if at_once:
        assert three.call_here("record", "split", crm, till, *WHY)[0] == 0
    else:
        split(three, crm, erp, "--yes")
        assert till_of(three) == erp
        split(three, erp, till, "--yes")
    assert till_of(three) == till
    three.settle()
    three.is_sound()
