"""A copy of a project, and an upgraded one, as `run` and `doctor` have them, on the systems that they share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.cli_project import Shop
from tests.integration.reading import mark
from tests.patience import eventually

CUSTOMER = "where vat_number = 'FR40303265045'"


@pytest.fixture
def copy(shop: Shop, tmp_path: Path, make_database: Callable[..., str]) -> Shop:
    """The same files and systems with a hub of its own."""
    folder = tmp_path / "copy"
    shutil.copytree(shop.folder, folder)
    hub = make_database()
    return Shop(folder, hub, shop.crm, shop.erp, environment=shop.environment | {"HUB_DSN": hub})


def checks(shop: Shop, about: str, subject: str = "slot") -> list[dict[str, Any]]:
    _, body = shop.call_here("doctor")
    return [check for check in body["result"]["checks"] if (check["about"], check["subject"]) == (about, subject)]


def echoes(shop: Shop, system: str) -> int:
    ((number,),) = shop.sql("hub", f"select echoes from fieldwarden.source where name = '{system}'")
    return int(number)


def slots(shop: Shop, system: str) -> set[str]:
    rows = shop.sql(system, "select slot_name from pg_replication_slots where database = current_database()")
    return {name for (name,) in rows}


@pytest.mark.long
def test_a_copy_works_beside_the_project_and_each_hears_the_others_writes(shop: Shop, copy: Shop) -> None:
    for project in (shop, copy, shop, copy):
        project.settle()
    assert slots(shop, "crm") == {shop.slot("crm"), copy.slot("crm")}
    shop.sql("crm", f"update account set name = 'Birch & Co' {CUSTOMER}")
    for project in (shop, copy, shop, copy):
        project.settle()
    assert shop.sql("erp", "select name from party where tax_number = 'FR40303265045'") == [("Birch & Co",)]
    assert [project.settle()["deliveries"] for project in (shop, copy)] == [0, 0], "neither chases the other's writes"
    for project in (shop, copy):
        (slot,) = [check for check in checks(project, "crm") if check["level"] != "warning"]
        assert (slot["level"], project.slot("crm") in slot["message"]) == ("ok", True)


@pytest.mark.long
def test_what_one_writes_is_an_edit_like_any_other_to_the_other(shop: Shop, copy: Shop) -> None:
    for project in (shop, copy):
        project.settle()
    ((theirs, key),) = shop.sql("hub", "select id, key from fieldwarden.project, fieldwarden.mark_key")
    before = [echoes(project, "erp") for project in (shop, copy)]
    with psycopg.connect(shop.erp) as erp:
        mark(erp, f"fieldwarden:{theirs}", key, "erp")  # as it writes
        erp.execute("update party set credit_limit = 777 where tax_number = 'ATU12345675'")
    copy.settle()
    assert shop.sql("crm", "select 1 from account where credit_limit = 777") == [(1,)], "delivered as an edit is"
    shop.settle()
    assert [echoes(project, "erp") for project in (shop, copy)] == [before[0] + 1, before[1]]


def test_a_copy_that_names_the_same_slot_is_refused_by_doctor_and_halted_by_run(shop: Shop, copy: Shop) -> None:
    for project in (shop, copy):
        project.edit("systems/crm.yaml", "kind: postgres,", "kind: postgres, slot: crm_changes,")
    shop.settle()
    (slot,) = checks(copy, "crm")
    assert slot["level"] == "error"
    text = copy.invoke("doctor").output
    assert "there is a replication slot crm_changes already, which this project did not make" in text
    assert "try: name another slot in the system file" in text
    with copy.running() as run:
        event = run.await_event("source.halted")
        assert (event["system"], "this project did not make" in event["message"]) == ("crm", True)
        eventually(lambda: "source crm is halted" in run.get("/readyz")[1], "not ready")
        run.end()
    shop.sql("crm", f"update account set name = 'Birch & Co' {CUSTOMER}")
    assert shop.settle()["decisions"] > 0, "nothing was taken from it"


@pytest.mark.long
def test_a_slot_of_the_same_name_in_another_database_is_no_ok(shop: Shop) -> None:
    shop.edit("systems/crm.yaml", "kind: postgres,", "kind: postgres, slot: taken,")
    shop.sql("hub", "select pg_create_logical_replication_slot('taken', 'pgoutput')")
    code, body = shop.call_here("doctor")
    assert (code, body["error"]["code"]) == (3, "environment")
    (slot,) = checks(shop, "crm")
    assert "belongs to the database" in slot["message"]
    assert checks(shop, "erp")[0]["level"] == "note"


@pytest.mark.long
def test_an_upgraded_hub_streams_on_by_the_slot_of_before(shop: Shop) -> None:
    """Its systems are not read anew; a write under the mark of before that comes later is an echo still."""
    for system in ("crm", "erp"):
        names = f"slot: fieldwarden_{system}, publication: fieldwarden_{system},"
        shop.edit(f"systems/{system}.yaml", "kind: postgres,", f"kind: postgres, {names}")
    shop.settle()
    for system in ("crm", "erp"):
        names = f"slot: fieldwarden_{system}, publication: fieldwarden_{system},"
        shop.edit(f"systems/{system}.yaml", names, "")
    # As the migration leaves a hub of before: what it reads, it reads by names and marks without an id.
    shop.sql("hub", "update fieldwarden.followed set slot = '', publication = '', sealed_from = null")
    with psycopg.connect(shop.erp) as erp:
        erp.execute("select pg_logical_emit_message(true, 'fieldwarden', 'in flight')")
        erp.execute("update party set credit_limit = 777 where tax_number = 'ATU12345675'")
    before = echoes(shop, "erp")
    assert shop.call_here("doctor")[0] == 0
    result = shop.settle()
    assert result["changes"] < 5, "nothing was read anew"
    assert echoes(shop, "erp") > before
    assert slots(shop, "erp") == {"fieldwarden_erp"}

    code, _ = shop.call("run", "--until-idle", "--port", "0", "--rebaseline", "erp")
    assert code == 0
    assert slots(shop, "erp") == {shop.slot("erp")}
    assert shop.slot("erp") != "fieldwarden_erp"
    assert shop.call_here("doctor")[0] == 0


@pytest.mark.long
def test_a_copied_hub_is_given_an_id_of_its_own(shop: Shop, copy: Shop, make_database: Callable[..., str]) -> None:
    """As docs/operating.md has it: restored from a dump, and about to work beside its original."""
    shop.settle()
    with psycopg.connect(shop.hub, autocommit=True) as server:
        server.execute(f"drop database {psycopg.conninfo.conninfo_to_dict(copy.hub)['dbname']}".encode())
    copied = make_database(str(psycopg.conninfo.conninfo_to_dict(shop.hub)["dbname"]))
    copy.hub = copy.environment["HUB_DSN"] = copied
    shop.sql("crm", f"update account set name = 'Birch & Co' {CUSTOMER}")
    shop.settle()
    (slot,) = checks(copy, "crm")
    assert (slot["level"], "ahead of what the hub has read" in slot["message"]) == ("error", True)

    copy.sql("hub", "update fieldwarden.project set id = left(md5(random()::text), 8)")
    copy.sql("hub", "delete from fieldwarden.followed")
    code, _ = copy.call("run", "--until-idle", "--port", "0", "--rebaseline", "crm", "--rebaseline", "erp")
    assert code == 0
    assert slots(shop, "crm") == {shop.slot("crm"), copy.slot("crm")}
    assert len(slots(shop, "crm")) == 2
    shop.sql("crm", f"update account set name = 'Elm & Co' {CUSTOMER}")
    assert shop.settle()["decisions"] > 0
