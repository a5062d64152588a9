"""Records of the starter project that are joined and split again: what each system holds, and what a split says."""

from __future__ import annotations

from typing import Any

from tests.integration.cli_project import Shop

ACCOUNT = "select name, vat_number, email, terms, credit_limit from account where name like '%Elm%'"
PARTY = "select name, tax_number, email, term_code, credit_limit from party where name like '%Elm%'"
WHY = ("--reason", "two firms")


def rows(shop: Shop) -> list[tuple[Any, ...]]:
    return [*shop.sql("crm", ACCOUNT), *shop.sql("erp", PARTY)]


def records(shop: Shop) -> tuple[str, str]:
    """The record of the account and that of the party; the same one while they are joined."""
    asked = """select max(record::text) filter (where system = 'crm'), max(record::text) filter (where system = 'erp')
        from fieldwarden.crosswalk c join fieldwarden.record r on r.id = c.record
        where r.golden ->> 'name' like '%Elm%'"""
    ((crm, erp),) = shop.sql("hub", asked)
    return crm, erp


def split(shop: Shop, *words: str) -> dict[str, Any]:
    code, body = shop.call_here("record", "split", *words, "--restore", *WHY)
    assert code == 0, body
    result: dict[str, Any] = body["result"]
    return result


def shown(shop: Shop, record: str) -> dict[str, Any]:
    """What it would do."""
    code, body = shop.call_here("record", "split", record, "--restore", "--unmask")
    assert code == 0, body
    result: dict[str, Any] = body["result"]
    return result


def explained(shop: Shop, record: str) -> str:
    return " ".join(shop.invoke("explain", "customer.name", record).stdout.split())
