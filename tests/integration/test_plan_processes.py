"""Many records are shared by several processes: together they say what one says alone."""

from __future__ import annotations

from typing import Any

import pytest

from fieldwarden.engine.hub.views import planning
from tests.integration.cli_project import Shop

pytestmark = pytest.mark.long

ENTITY = "entities/customer.yaml"
MANY = """
insert into account (name, vat_number, email)
select 'Customer ' || n, 'DE9' || lpad(n::text, 8, '0'), n || '@example.com' from generate_series(1, 60) n
"""


def plan(shop: Shop) -> dict[str, Any]:
    code, told = shop.call_here("plan")
    assert code == 0
    return {name: value for name, value in told["result"].items() if name != "seconds"}


def test_several_processes_count_what_one_counts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.sql("crm", MANY)
    shop.settle()
    shop.edit(ENTITY, "{type: text}\n  tax_id", "{type: text, owner: erp}\n  tax_id")
    shop.edit(ENTITY, "strategy: recency, among: [crm, erp]", "owner: erp")
    shop.sql("erp", "update party set name = name || ' SE'")
    shop.settle()
    alone = plan(shop)
    monkeypatch.setattr(planning, "_WORTH_A_PROCESS", 10)
    monkeypatch.setattr("fieldwarden.operations.plan.processors", lambda: 3)
    shared = plan(shop)
    assert "in 3 processes" in shared.pop("method")
    assert "processes" not in alone.pop("method")
    assert shared == alone
    assert alone["records"] > 60
    assert sum(each["winners"] for each in alone["fields"]) > 60
    assert all(each["samples"] for each in alone["fields"] if each["values"])
