"""`doctor`: everything that is amiss at once, with its place, and the right exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fieldwarden.operations.onboarding import ONBOARDING
from tests.integration.cli_project import Shop


def errors(body: dict[str, Any], about: str) -> list[dict[str, Any]]:
    return [c for c in body["result"]["checks"] if c["about"] == about and c["level"] == "error"]


def test_all_well_before_the_first_run_and_nothing_is_changed(shop: Shop) -> None:
    code, body = shop.call_here("doctor")
    assert (code, body["ok"], body["result"]["errors"]) == (0, True, 0), body
    hub = next(c for c in body["result"]["checks"] if c["about"] == "hub")
    assert "first run" in hub["message"]
    assert shop.sql("hub", "select 1 from pg_namespace where nspname = 'fieldwarden'") == []
    assert shop.sql("crm", "select 1 from pg_publication") == []

    text = shop.invoke("doctor")
    assert text.exit_code == 0
    assert text.stdout.endswith("all well: `fieldwarden run` can start\n")


@pytest.mark.long
def test_all_well_says_what_comes_before_anything_is_delivered(shop: Shop) -> None:
    shop.edit("fieldwarden.yaml", "onboarding: automatic\n", "")
    for command in ("onboard", "apply"):
        assert shop.call_here("doctor")[1]["result"]["waits"] == ONBOARDING
        assert shop.invoke("doctor").stdout.endswith(f"`fieldwarden run` can start; {ONBOARDING}\n")
        assert shop.call_here(command)[0] == 0
    assert shop.call_here("doctor")[1]["result"]["waits"] == ""
    assert shop.invoke("doctor").stdout.endswith("all well: `fieldwarden run` can start\n")


def test_a_missing_column_is_shown_in_the_files(shop: Shop) -> None:
    shop.edit("systems/crm.yaml", "tax_id: vat_number", "tax_id: vat_nr")
    shop.edit("systems/erp.yaml", "external_id: fieldwarden_id", "external_id: warden")
    code, body = shop.call_here("doctor")
    assert (code, body["error"]["code"]) == (2, "does_not_fit")
    (crm,) = errors(body, "crm")
    line = (shop.folder / "systems/crm.yaml").read_text().splitlines().index("      tax_id: vat_nr") + 1
    assert crm["path"].startswith(f"systems/crm.yaml:{line}:")
    assert "vat_number" in crm["suggestion"]
    assert any(check["path"].startswith("systems/erp.yaml:") for check in errors(body, "erp"))


def test_a_missing_table(shop: Shop) -> None:
    shop.edit("systems/crm.yaml", "public.account:", "public.acount:")
    code, body = shop.call_here("doctor")
    assert code == 2
    assert any("public.account" in check["suggestion"] for check in errors(body, "crm"))


def test_unreachable_systems_and_missing_secrets_do_not_hide_each_other(shop: Shop) -> None:
    shop.environment["CRM_DSN"] = "postgresql://bob:hunter2@127.0.0.1:1/crm"
    del shop.environment["ERP_DSN"]
    code, body = shop.call_here("doctor")
    assert (code, body["error"]["code"]) == (3, "environment")
    assert errors(body, "crm")[0]["subject"] == "connection"
    (erp,) = errors(body, "erp")
    assert "ERP_DSN" in erp["message"]
    assert erp["path"].startswith("systems/erp.yaml:")
    assert errors(body, "hub") == []
    assert "hunter2" not in json.dumps(body)


def test_a_database_that_does_not_exist_and_a_string_that_is_none(shop: Shop) -> None:
    shop.environment["HUB_DSN"] = shop.hub.replace("/test_", "/nowhere_")
    shop.environment["CRM_DSN"] = "this is no connection string"
    code, body = shop.call_here("doctor")
    assert code == 3
    assert errors(body, "hub")
    assert errors(body, "crm")


def test_a_role_without_privileges_is_told_what_it_lacks(shop: Shop, make_role: Callable[..., str]) -> None:
    shop.environment["CRM_DSN"] = make_role(shop.crm)
    code, body = shop.call_here("doctor")
    assert code == 3
    found = errors(body, "crm")
    assert any(check["subject"] == "replication" for check in found)
    assert any("GRANT" in check["suggestion"] for check in found)


def test_after_a_run_slot_and_publication_are_looked_at(shop: Shop) -> None:
    shop.settle()
    code, body = shop.call_here("doctor")
    assert code == 0
    shop.sql("crm", f"drop publication {shop.slot('crm')}")
    shop.sql("erp", "alter table party drop column email")
    code, body = shop.call_here("doctor")
    assert code == 2
    assert any("email" in check["message"] for check in errors(body, "erp"))


def test_a_process_that_strangers_may_ask_how_it_fares_is_warned_of(shop: Shop) -> None:
    def warnings() -> list[str]:
        checks = shop.call_here("doctor")[1]["result"]["checks"]
        return [check["message"] for check in checks if (check["subject"], check["level"]) == ("run", "warning")]

    shop.edit("fieldwarden.yaml", "onboarding:", "run: {host: 0.0.0.0}\nonboarding:")
    assert "told to everybody" in warnings()[0]
    shop.edit("fieldwarden.yaml", "run: {host: 0.0.0.0", 'run: {host: 0.0.0.0, token: "${env:RUN_TOKEN}"')
    (unset,) = errors(shop.call_here("doctor")[1], "files")
    assert "RUN_TOKEN is not set" in unset["message"]
    shop.environment["RUN_TOKEN"] = "guess"
    assert "can be guessed" in warnings()[0]
    shop.environment["RUN_TOKEN"] = "4d1c0ffee4d1c0ffee4d1c0ffee"
    assert warnings() == []
    shop.environment["RUN_TOKEN"] = " "
    assert "empty" in errors(shop.call_here("doctor")[1], "files")[0]["message"]
