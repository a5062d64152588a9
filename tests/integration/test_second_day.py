"""The second day on real systems: values that were refused, corrected, withdrawn, and rows that come again.

Every test ends by asking both databases themselves.
"""

from __future__ import annotations

import signal
from pathlib import Path

import psycopg
import pytest

from fieldwarden.engine.hub.migrate import known_migrations, migrate
from fieldwarden.engine.hub.rows import contributions_of
from tests.integration.cli_project import Shop
from tests.patience import eventually

ALDER = "regexp_replace({}, '\\s', '', 'g') = 'DE811907980'"


def crm(shop: Shop, column: str) -> object:
    return shop.sql("crm", f"select {column} from account where {ALDER.format('vat_number')}")[0][0]


def erp(shop: Shop, column: str) -> object:
    return shop.sql("erp", f"select {column} from party where {ALDER.format('tax_number')}")[0][0]


def test_a_word_that_was_outranked_and_corrected_does_not_come_back_with_a_delete(shop: Shop) -> None:
    shop.edit("entities/customer.yaml", "delete: {authority: [crm]}", "delete: {authority: [erp]}")
    shop.settle()
    assert (crm(shop, "name"), erp(shop, "name")) == ("Alder & Sons", "Alder & Sons"), "crm comes first"
    shop.sql("erp", f"update party set name = 'erp-old' where {ALDER.format('tax_number')}")
    shop.settle()
    shop.sql("crm", f"update account set name = 'final' where {ALDER.format('vat_number')}")
    shop.settle()
    assert (crm(shop, "name"), erp(shop, "name")) == ("final", "final")
    shop.sql("crm", f"delete from account where {ALDER.format('vat_number')}")
    shop.settle()
    assert erp(shop, "name") == "final"
    code, body = shop.call_here("explain", "customer.name", "DE811907980")
    assert (code, "erp carries it" in body["result"]["text"]) == (0, True)
    assert "erp-old" not in body["result"]["text"]
    assert shop.call_here("audit", "verify")[0] == 0


@pytest.mark.long
def test_a_refused_edit_of_what_nobody_has_said_is_put_back(shop: Shop) -> None:
    shop.edit("systems/erp.yaml", "    create: true\n", "")
    shop.sql("crm", "update account set credit_limit = 50 where vat_number = 'FR40303265045'")
    shop.settle()
    shop.sql("crm", "update account set credit_limit = 123 where vat_number = 'FR40303265045'")
    assert shop.settle()["refused"] == 1
    assert shop.sql("crm", "select credit_limit::text from account where vat_number = 'FR40303265045'") == [("50.00",)]
    shop.sql("crm", "update account set credit_limit = 124 where vat_number = 'FR40303265045'")
    assert shop.settle()["refused"] == 1, "and again"
    assert shop.sql("crm", "select credit_limit::text from account where vat_number = 'FR40303265045'") == [("50.00",)]


@pytest.mark.long
def test_a_row_that_is_inserted_again_stays_whenever_the_echo_of_our_delete_comes(shop: Shop) -> None:
    """Insert in the delete authority, wait for the copy, delete, insert again at once: ten rounds of it, live."""
    shop.edit("systems/erp.yaml", "create: true", "create: true\n    on_retire: delete")
    copies = "select count(*) from party where tax_number = 'X1'"
    insert = "insert into account (name, vat_number) values ('Again', 'X1')"
    with shop.running() as run:
        run.await_ready()
        for _ in range(10):
            shop.sql("crm", insert)
            eventually(lambda: shop.sql("erp", copies) == [(1,)], "the copy")
            shop.sql("crm", "delete from account where vat_number = 'X1'")
            shop.sql("crm", insert)
            shop.sql("crm", "delete from account where vat_number = 'X1'")
            eventually(lambda: shop.sql("erp", copies) == [(0,)], "the copy to go")
        shop.sql("crm", insert)
        eventually(lambda: shop.sql("erp", copies) == [(1,)], "the copy to come again")
        run.end(signal.SIGTERM)
    shop.settle()
    assert shop.sql("crm", "select count(*) from account where vat_number = 'X1'") == [(1,)]
    assert shop.sql("erp", copies) == [(1,)]
    records = shop.sql("hub", "select contributions from fieldwarden.record where golden->>'tax_id' = 'X1'")
    assert len(records) == 1
    assert len(contributions_of(records[0][0])) <= 2 * 17, "bounded, however often it went and came"


@pytest.mark.long
def test_a_hub_of_the_first_day_is_upgraded(database: str, tmp_path: Path) -> None:
    """A word that a write of ours had replaced is no candidate any more; golden is what it was."""
    for each in known_migrations()[:7]:
        (tmp_path / f"{each.name}.sql").write_bytes(each.script)
    migrate(database, folder=tmp_path)
    old = (
        '[{"system":"crm","stream":"public.account","key":"1","said":"p2","base":["p1",1],'
        '"fields":{"name":"said","credit_limit":"999999.00"},"stamps":{"credit_limit":["p2",2]},'
        '"held":{"credit_limit":"25000.00"},"sent":{"name":"x"}},'
        '{"system":"erp","stream":"public.party","key":"2","said":"p1","base":["p1",1],'
        '"fields":{"credit_limit":"25000.00"}}]'
    )
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "insert into fieldwarden.record values (gen_random_uuid(), 'customer', 3, 4, false, %s, %s)",
            ['{"credit_limit":"25000.00","name":"x"}', old],
        )
        migrate(database)
        golden, text = connection.execute("select golden::text, contributions from fieldwarden.record").fetchone() or ()
    row, owner = contributions_of(text)
    assert golden == '{"credit_limit":"25000.00","name":"x"}'
    assert (row.fields, row.carried, row.sent) == ({"name": "said"}, {"credit_limit": "25000.00"}, {"name": "x"})
    assert (row.stamps, owner.fields) == ({}, {"credit_limit": "25000.00"})
