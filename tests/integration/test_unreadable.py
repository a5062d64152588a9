"""Values that cannot be read, on real systems: what flows on, what is put right, and what is left for a person.

Every test ends by asking both databases themselves.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.cli_project import Shop

TAX = "regexp_replace({}, '\\s', '', 'g') = 'ATU12345675'"


def crm(shop: Shop, column: str) -> Any:
    return shop.sql("crm", f"select {column} from account where {TAX.format('vat_number')}")[0][0]


def erp(shop: Shop, column: str) -> Any:
    return shop.sql("erp", f"select {column} from party where {TAX.format('tax_number')}")[0][0]


def letters(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.call_here("deadletter", "list")[1]["result"]["dead_letters"]
    return found


def test_a_limit_that_does_not_fit_is_mended_by_the_next_one(shop: Shop) -> None:
    shop.sql("erp", "alter table party alter credit_limit type numeric")
    shop.settle()
    before = crm(shop, "credit_limit::text")
    shop.sql("erp", f"update party set credit_limit = 99999999999999, name = 'New' where {TAX.format('tax_number')}")
    shop.settle()
    [letter] = letters(shop)
    assert letter["kind"] == "unreadable"
    assert crm(shop, "credit_limit::text") == before
    assert str(erp(shop, "credit_limit")) == "99999999999999", "nobody writes over what its owner typed"
    told = " ".join(shop.invoke("explain", "customer.credit_limit", "ATU12345675").stdout.split())
    assert "erp holds a value that cannot be read" in told
    assert "it stays until its row says one that can" in told

    shop.sql("erp", f"update party set credit_limit = 1000 where {TAX.format('tax_number')}")
    shop.settle()
    assert letters(shop) == []
    assert (str(crm(shop, "credit_limit")), erp(shop, "credit_limit")) == ("1000.00", 1000)
    trail = " ".join(shop.invoke("trail", "customer", "ATU12345675").stdout.split())
    assert "cannot be read" in trail
    assert f"dead letter {letter['id']} pointless: it resolved itself" in trail
    assert "99999999999999" not in json.dumps(shop.call_here("trail", "customer", "ATU12345675"))
    told = " ".join(shop.invoke("explain", "customer.credit_limit", "ATU12345675").stdout.split())
    assert "holds a value that cannot be read" not in told, "it was mended"
    assert shop.call_here("audit", "verify")[0] == 0
    assert shop.call_here("check")[0] == 0


@pytest.mark.long
def test_an_unknown_code_in_what_another_system_owns_is_put_right_and_the_rest_flows(shop: Shop) -> None:
    shop.settle()
    before = crm(shop, "terms"), erp(shop, "term_code")
    shop.sql("crm", f"update account set terms = 'Net 31', email = 'new@x.example' where {TAX.format('vat_number')}")
    assert shop.settle()["refused"] == 1
    assert (crm(shop, "terms"), erp(shop, "term_code")) == before
    assert erp(shop, "email") == "new@x.example"
    assert letters(shop) == []
    shop.sql("crm", f"update account set email = 'newer@x.example' where {TAX.format('vat_number')}")
    shop.settle()
    assert (crm(shop, "email"), erp(shop, "email")) == ("newer@x.example", "newer@x.example")
    assert shop.call_here("audit", "verify")[0] == 0
    assert shop.call_here("check")[0] == 0


@pytest.mark.long
def test_a_code_that_is_put_back_by_hand_needs_nobody(shop: Shop) -> None:
    """The same while nothing runs: both words come at once."""
    shop.settle()
    before = crm(shop, "terms")
    for terms in ("Net 31", before):
        shop.sql("crm", f"update account set terms = '{terms}', name = 'By hand' where {TAX.format('vat_number')}")
    shop.settle()
    assert (crm(shop, "terms"), crm(shop, "name"), erp(shop, "name")) == (before, "By hand", "By hand")
    assert letters(shop) == []
