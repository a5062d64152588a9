"""Local time of one system and moments of another say the same, in both directions."""

from __future__ import annotations

import pytest

from tests.integration.cli_project import Shop

ENTITY, CRM, ERP = "entities/customer.yaml", "systems/crm.yaml", "systems/erp.yaml"
ALDER = "DE811907980"


def dated(shop: Shop) -> None:
    """Both systems say when a contract was signed: the CRM with a zone, the ERP by the clocks of Berlin."""
    shop.sql("crm", "alter table account add signed timestamptz")
    shop.sql("erp", "alter table party add signed timestamp")
    shop.edit(ENTITY, "  tax_id:        {type: text}\n", "  tax_id:        {type: text}\n  signed: {type: timestamp}\n")
    shop.edit(CRM, "      tax_id: vat_number\n", "      tax_id: vat_number\n      signed: signed\n")
    shop.edit(ERP, "      tax_id: tax_number\n", "      tax_id: tax_number\n      signed: signed\n")
    shop.edit(ERP, "system: erp\n", "system: erp\ntimezone: Europe/Berlin\n")


@pytest.mark.long
def test_a_moment_keeps_its_meaning_on_every_way(shop: Shop) -> None:
    dated(shop)
    shop.sql("crm", f"update account set signed = '2026-07-31 08:00+00' where vat_number = '{ALDER}'")
    shop.settle()
    assert shop.sql("erp", "select signed::text from party where id = 4000") == [("2026-07-31 10:00:00",)]
    shop.sql("crm", f"update account set signed = null, email = 'x' where vat_number = '{ALDER}'")
    shop.sql("erp", "update party set signed = '2026-01-31 10:00' where id = 4000")
    shop.settle()
    moment = shop.sql("crm", f"select signed = '2026-01-31 09:00+00' from account where vat_number = '{ALDER}'")
    assert moment == [(True,)]
    shop.holds_what_is_golden()


def test_the_first_of_two_equal_hours_is_parked_alone_and_said(shop: Shop) -> None:
    dated(shop)
    shop.settle()
    shop.sql(
        "crm", f"update account set signed = '2026-10-25 00:30+00', email = 'y@z.org' where vat_number = '{ALDER}'"
    )
    shop.settle()
    assert shop.sql("erp", "select signed, email from party where id = 4000") == [(None, "y@z.org")]
    assert "show this time twice" in shop.invoke("status").output
    shop.sql("crm", f"update account set signed = '2026-10-25 01:30+00' where vat_number = '{ALDER}'")
    shop.settle()
    assert shop.sql("erp", "select signed::text from party where id = 4000") == [("2026-10-25 02:30:00",)]
