"""Bad input: each kind gets a clear message, everything else goes on, and once it is mended nothing was lost.

What is wrong in the files is tested message by message in tests/unit/rules, what `doctor` finds in test_cli_doctor,
what one target refuses in test_postgres_target_*; here a person makes the mistake, sees it, and mends it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from tests.conftest import THROW_AWAY
from tests.integration.cli_project import Run, Shop, make_shop
from tests.patience import eventually

DOGWOOD = "tax_number = 'ATU12345675'"


def dead_letters(shop: Shop) -> dict[str, dict[str, Any]]:
    """By kind and system."""
    found = shop.call_here("deadletter", "list")[1]["result"]["dead_letters"]
    return {f"{letter['kind']} {letter['system']}": letter for letter in found}


def agreed(shop: Shop) -> bool:
    """Whether both systems hold the same customers with the same values."""
    crm = shop.sql("crm", "select vat_number, name, lower(email), credit_limit from account order by 1")
    erp = shop.sql("erp", "select tax_number, name, lower(email), credit_limit from party order by 1")
    return crm == erp and len(crm) > 0


def said_of(shop: Shop, run: Run, system: str, *words: str) -> None:
    """Wait until `status` and the readiness check say of a source what is wrong with it, in these words."""
    run.await_event("run.started")

    def message() -> str:
        assert run.process.poll() is None, run.log.read_text()
        (source,) = [each for each in shop.call_here("status")[1]["result"]["sources"] if each["name"] == system]
        return source["message"] if all(word in source["message"] for word in words) else ""

    eventually(message, f"status to say {words} of {system}")
    eventually(lambda: all(word in run.get("/readyz")[1] for word in words[:1]), "the readiness check to say it")


def test_everything_wrong_in_the_files_at_once(shop: Shop) -> None:
    shop.edit("entities/customer.yaml", "owner: erp, protected: true}", "owner: erp, protect: true}")
    shop.edit("entities/customer.yaml", "  name:          {type: text}", "  name: {type: text, owner: hr}")
    shop.edit(
        "entities/customer.yaml",
        "\nfields:",
        "\ngroups: {money: {fields: [payment_terms, credit_limit], owner: crm}}\nfields:",
    )
    shop.edit("systems/crm.yaml", "lower(email)", "pg_sleep(9)")
    code, body = shop.call_here("validate")
    assert (code, body["error"]["code"]) == (2, "configuration")
    problems = body["result"]["problems"]
    assert all(problem["line"] and problem["column"] for problem in problems)
    said = [f"{problem['file']}: {problem['message']}" for problem in problems]
    for file, words in [
        ("entities/customer.yaml", "unknown key 'protect'"),
        ("entities/customer.yaml", "owner names 'hr', which is not a system"),
        ("entities/customer.yaml", "two systems claim 'payment_terms'"),
        ("systems/crm.yaml", "pg_sleep() is not allowed in an expression"),
    ]:
        assert any(each.startswith(file) and words in each for each in said), (words, said)


def state(shop: Shop, system: str) -> str:
    states = {source["name"]: source["state"] for source in shop.call_here("status")[1]["result"]["sources"]}
    return str(states[system])


@pytest.fixture
def physical() -> Iterator[EmbeddedServer]:
    """A server as PostgreSQL ships it: it does not log for decoding. Not below pytest's own folder, which another
    pytest closes to the server's user while it runs."""
    folder = Path(tempfile.mkdtemp(prefix="fieldwarden-physical-"))
    server = EmbeddedServer(folder / "physical", settings={**THROW_AWAY, "wal_level": "replica"})
    server.start()
    yield server
    server.stop("immediate")
    shutil.rmtree(folder)


def test_wal_level_is_not_logical(tmp_path: Path, make_database: Callable[..., str], physical: EmbeddedServer) -> None:
    shop = make_shop(tmp_path / "shop", make_database(), physical.dsn(), make_database())
    code, body = shop.call_here("doctor")
    assert code == 3
    (finding,) = [c for c in body["result"]["checks"] if c["level"] == "error"]
    assert (finding["about"], "wal_level is replica" in finding["message"]) == ("crm", True)
    assert "ALTER SYSTEM SET wal_level = logical" in finding["suggestion"]

    with shop.running() as run:
        said_of(shop, run, "crm", "wal_level is replica")
        eventually(lambda: state(shop, "erp") == "streaming", "the other system to go on")
        shop.sql("crm", "alter system set wal_level = logical")
        physical.stop()
        physical.start()
        eventually(lambda: agreed(shop), "agreement after the server was mended")
        assert run.end()[0] == 143


@pytest.mark.long
def test_privileges_are_missing(shop: Shop, make_role: Callable[..., str]) -> None:
    shop.settle()
    dsn = shop.environment["CRM_DSN"] = make_role(shop.crm)
    role = conninfo_to_dict(dsn)["user"]
    with shop.running() as run:
        said_of(shop, run, "crm", "no privilege to read public.account")
        shop.sql("crm", f"grant select on account to {role}")
        said_of(shop, run, "crm", "the role may not stream changes")
        shop.sql("erp", f"update party set credit_limit = 123 where {DOGWOOD}")
        shop.sql("crm", f"alter role {role} replication")
        eventually(lambda: "permission denied for table account" in run.log.read_text(), "the target's complaint")
        shop.sql("crm", f"grant insert, update on account to {role}")
        eventually(lambda: agreed(shop), "agreement after the grants")
        assert run.end()[0] == 143
    assert dead_letters(shop) == {}


def test_a_table_has_no_key(shop: Shop) -> None:
    shop.settle()
    shop.sql("crm", "alter table account drop constraint account_pkey")
    code, body = shop.call_here("doctor")
    assert code == 2, body
    with shop.running() as run:
        said_of(shop, run, "crm", "public.account has no replica identity")
        shop.sql("erp", f"update party set email = 'new@dogwood.example' where {DOGWOOD}")
        shop.sql("crm", "alter table account add primary key (id)")
        eventually(lambda: agreed(shop), "agreement after the key was made")
        assert shop.sql("crm", "select 1 from account where lower(email) = 'new@dogwood.example'")
        assert run.end()[0] == 143
    assert dead_letters(shop) == {}


@pytest.mark.long
def test_a_mapped_column_is_missing(shop: Shop) -> None:
    shop.settle()
    shop.edit("systems/crm.yaml", "name: name", "name: full_name")
    code, body = shop.call_here("doctor")
    assert (code, body["error"]["code"]) == (2, "does_not_fit")
    assert shop.call_here("apply")[0] == 0
    with shop.running() as run:
        said_of(shop, run, "crm", "has no column full_name")
        shop.sql("crm", "update account set name = 'Birch & Co' where name = 'Birch Foods'")
        assert run.end()[0] == 143
    shop.edit("systems/crm.yaml", "name: full_name", "name: name")
    assert shop.call_here("apply")[0] == 0
    shop.settle()
    assert agreed(shop)
    assert shop.sql("erp", "select 1 from party where name = 'Birch & Co'"), "the change made meanwhile is not lost"


@pytest.mark.long
def test_values_that_do_not_fit_are_kept_and_go_through_once_mended(shop: Shop) -> None:
    shop.edit("entities/customer.yaml", "  name:          {type: text}", "  name: {type: text}\n  since: {type: date}")
    for system in ("crm", "erp"):
        shop.edit(f"systems/{system}.yaml", "      name: name\n", "      name: name\n      since: since\n")
    shop.sql("crm", "alter table account add since text")
    shop.sql("crm", "alter table account alter credit_limit type numeric")
    shop.sql("erp", "alter table party add since date, alter credit_limit type numeric")
    shop.sql("erp", "alter table party add constraint short_names check (length(name) < 30)")
    shop.settle()

    shop.sql("crm", "update account set since = '2024-02-30' where vat_number like 'DE%'")
    shop.sql("erp", f"update party set credit_limit = 98765432109876.54 where {DOGWOOD}")
    long = "Birch Foods and Other Forest Products"
    shop.sql("crm", f"update account set name = '{long}' where vat_number like 'FR%'")
    shop.sql("crm", "update account set name = 'Cedar Works' where vat_number like 'NL%'")
    assert shop.settle()["decisions"] > 0
    assert shop.sql("erp", "select 1 from party where name = 'Cedar Works'"), "the rest goes on"
    letters = dead_letters(shop)
    assert letters.keys() == {"unreadable crm", "unreadable erp", "delivery erp"}
    assert "since" in letters["unreadable crm"]["reason"]
    assert "credit_limit" in letters["unreadable erp"]["reason"]
    assert "constraint short_names" in letters["delivery erp"]["reason"]
    shown = json.dumps(letters)
    assert not any(value in shown for value in ("2024-02-30", "98765432109876", long)), "no values in listings"

    # The row is mended: the letter resolves itself.
    shop.sql("crm", "update account set since = '2024-02-29' where vat_number like 'DE%'")
    shop.settle()
    assert dead_letters(shop).keys() == {"unreadable erp", "delivery erp"}
    # The target is mended.
    shop.sql("erp", "alter table party drop constraint short_names")
    assert shop.call_here("deadletter", "retry", "--reason", "tried", letters["delivery erp"]["id"])[0] == 0
    shop.settle()
    # The mapping is mended: the very same change fits.
    shop.edit("entities/customer.yaml", "decimal(14,2)", "decimal(16,2)")
    assert shop.call_here("apply")[0] == 0
    assert shop.call_here("deadletter", "retry", "--reason", "tried", letters["unreadable erp"]["id"])[0] == 0
    shop.settle()
    assert dead_letters(shop) == {}
    assert agreed(shop)
    assert shop.sql("crm", "select 1 from account where credit_limit = 98765432109876.54")
    assert [str(day) for (day,) in shop.sql("erp", "select since from party where since is not null")] == ["2024-02-29"]
    assert shop.call_here("audit", "verify")[0] == 0
