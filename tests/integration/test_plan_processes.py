"""Many records are shared by several processes: together they say what one says alone."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from engine.errors import EnvironmentUnfit
from engine.hub import planning
from engine.hub.planning import Share
from engine.preview import Preview
from rules.changes import compare
from tests.builders import rulebook
from tests.integration.cli_project import Shop

ENTITY = "entities/customer.yaml"
MANY = """
insert into account (name, vat_number, email)
select 'Customer ' || n, 'DE9' || lpad(n::text, 8, '0'), n || '@example.com' from generate_series(1, 60) n
"""


def plan(shop: Shop) -> dict[str, Any]:
    code, told = shop.call_here("plan")
    assert code == 0
    return {name: value for name, value in told["result"].items() if name != "seconds"}


def test_two_processes_count_what_one_counts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.sql("crm", MANY)
    shop.settle()
    shop.edit(ENTITY, "{type: text}\n  tax_id", "{type: text, owner: erp}\n  tax_id")
    shop.edit(ENTITY, "strategy: recency, among: [crm, erp]", "owner: erp")
    shop.sql("erp", "update party set name = name || ' SE'")
    shop.settle()
    alone = plan(shop)
    monkeypatch.setattr(planning, "_WORTH_A_PROCESS", 10)
    monkeypatch.setattr("operations.plan.at_once", lambda: 3)
    shared = plan(shop)
    assert "in 3 processes" in shared.pop("method")
    assert "processes" not in alone.pop("method")
    assert shared == alone
    assert alone["records"] > 60
    assert sum(each["winners"] for each in alone["fields"]) > 60
    assert all(each["samples"] for each in alone["fields"] if each["values"])


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that lets anybody connect and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"host=127.0.0.1 port={listening.getsockname()[1]} dbname=x"


def empty() -> Preview:
    rules = rulebook()
    return Preview(rules, rules, compare(rules, rules), mixed=False)


def test_what_another_process_meets_is_said_as_if_it_were_met_here() -> None:
    share = Share("host=127.0.0.1 port=1 dbname=x", "fieldwarden", "", frozenset({"customer"}), 1, 0)
    with planning._process(share, empty()) as pipe, pytest.raises(EnvironmentUnfit, match="cannot be reached"):
        planning._answer(pipe)


def test_a_bug_in_another_process_is_a_bug_here(shop: Shop) -> None:
    shop.settle()
    share = Share(shop.hub, "fieldwarden", "no snapshot", frozenset({"customer"}), 1, 0)
    with planning._process(share, empty()) as pipe, pytest.raises(RuntimeError, match="snapshot"):
        planning._answer(pipe)


def test_a_process_that_is_killed_is_no_count(silent: str) -> None:
    share = Share(silent, "fieldwarden", "", frozenset({"customer"}), 1, 0)
    with planning._process(share, empty()) as pipe:
        (process,) = multiprocessing.active_children()
        process.kill()
        with pytest.raises(EnvironmentUnfit, match="ended from outside"):
            planning._answer(pipe)
    assert multiprocessing.active_children() == []
