"""Whole projects under roles that have exactly the rights which `hub roles` and `target roles` print, and no other.

Nothing is left to PUBLIC: not the database, not the schema, not the function that marks our transactions.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from fieldwarden.operations import examples
from tests.integration.cli_project import Project, Shop, execute
from tests.integration.hub_roles import drop, refused
from tests.integration.test_cli_run import customers

_numbers = itertools.count(1)

NOTHING_FOR_PUBLIC = (Path(__file__).resolve().parents[2] / "deploy/postgres/roles/closed.sql").read_text("utf-8")


class Roles:
    """Of a project whose systems are databases of the tests' server: who enters what, as its environment says."""

    def __init__(self, project: Project, hub: str, systems: dict[str, str]) -> None:
        self.project, self.hub, self.systems = project, hub, systems
        self.number = f"{os.getpid()}_{next(_numbers)}"

    def make(self) -> None:
        """Run what is printed, as a superuser does, and let the project enter as these roles from then on."""
        hub = self.project.environment["HUB_DSN"] = self.hub
        names = {f"--{each}": f"{each}_{self.number}" for each in ("owner", "runtime", "reader", "auditor")}
        assert self.project.call_here("hub", "migrate")[0] == 0
        options = [word for pair in names.items() for word in pair]
        execute(hub, NOTHING_FOR_PUBLIC)
        execute(hub, self.project.call_here("hub", "roles", "--print", *options)[1]["result"]["sql"])
        for name, dsn in self.systems.items():
            execute(dsn, NOTHING_FOR_PUBLIC)
            execute(dsn, self.printed(name))
        self.project.environment |= {
            "HUB_DSN": make_conninfo(hub, user=names["--runtime"]),
            "HUB_OWNER_DSN": make_conninfo(hub, user=names["--owner"]),
            **{f"{name.upper()}_DSN": self.source(name) for name in self.systems},
            **{f"{name.upper()}_TARGET_DSN": self.target(name) for name in self.systems},
        }
        self.names = list(names.values())

    def printed(self, system: str) -> str:
        names = ["--source", f"{system}_source_{self.number}", "--target", f"{system}_target_{self.number}"]
        code, body = self.project.call_here("target", "roles", system, "--print", *names)
        assert code == 0, body
        return str(body["result"]["sql"])

    def source(self, system: str) -> str:
        return make_conninfo(self.systems[system], user=f"{system}_source_{self.number}")

    def target(self, system: str) -> str:
        return make_conninfo(self.systems[system], user=f"{system}_target_{self.number}")

    def gone(self) -> None:
        drop(self.hub, *(f"{each}_{self.number}" for each in ("owner", "runtime", "reader", "auditor")))
        for name, dsn in self.systems.items():
            drop(dsn, f"{name}_source_{self.number}", f"{name}_target_{self.number}")


def write_by_another_role(project: Project, systems: dict[str, str]) -> None:
    for name in systems:
        project.edit(
            f"systems/{name}.yaml",
            "kind: postgres, ",
            f'kind: postgres, target_dsn: "${{env:{name.upper()}_TARGET_DSN}}", ',
        )
    project.edit(
        "fieldwarden.yaml", 'dsn: "${env:HUB_DSN}"', 'dsn: "${env:HUB_DSN}", owner_dsn: "${env:HUB_OWNER_DSN}"'
    )
    project.environment |= {"HUB_OWNER_DSN": project.environment["HUB_DSN"]}


@pytest.fixture
def roled(shop: Shop) -> Iterator[Roles]:
    systems = {"crm": shop.crm, "erp": shop.erp}
    write_by_another_role(shop, systems)
    roles = Roles(shop, shop.hub, systems)
    roles.make()
    yield roles
    roles.gone()


@pytest.mark.long
def test_a_project_runs_wholly_with_what_is_printed(shop: Shop, roled: Roles) -> None:
    """First copy, streaming, delivery, a correction, a deletion, a row created on either side, and what people ask."""
    assert shop.settle()["changes"] >= 5
    crm, erp = customers(shop)
    assert crm == erp
    assert len(crm) == 4
    shop.sql("crm", "update account set credit_limit = 1, email = 'new@alder.example' where vat_number = 'DE811907980'")
    shop.sql("crm", "insert into account (name, vat_number) values ('Elm', 'DE136695976')")
    shop.sql("erp", "insert into party (name, tax_number) values ('Fir', 'DE129273398')")
    shop.sql("crm", "delete from account where vat_number = 'NL001234567B01'")
    assert shop.settle()["refused"] == 1
    found = {str(row[0]): row for row in customers(shop)[0]}
    assert str(found["DE811907980"][3]) == "25000.00", "the refused edit was corrected"
    assert {"DE136695976", "DE129273398"} <= set(found)
    shop.is_sound()
    for words in (["status"], ["trail", "customer", "DE811907980"], ["deadletter", "list"], ["audit", "export"]):
        assert shop.call_here(*words)[0] == 0, words


@pytest.mark.long
def test_doctor_has_nothing_to_say_of_these_roles(shop: Shop, roled: Roles) -> None:
    for _ in range(2):
        code, body = shop.call_here("doctor")
        assert code == 0, body
        assert [c for c in body["result"]["checks"] if c["level"] in ("warning", "error")] == []
        shop.settle()


@pytest.mark.long
def test_doctor_names_whom_nothing_would_stop(shop: Shop) -> None:
    shop.settle()
    code, body = shop.call_here("doctor")
    assert code == 0, body
    told = {c["about"]: c for c in body["result"]["checks"] if c["subject"] == "role"}
    assert {each["level"] for each in told.values()} == {"warning"}
    assert "a superuser" in told["hub"]["message"]
    assert "fieldwarden hub roles" in told["hub"]["suggestion"]
    assert "fieldwarden target roles crm --print" in told["crm"]["suggestion"]
    assert set(told) == {"hub", "crm", "erp"}


def test_doctor_names_a_hub_that_its_owner_works_in(shop: Shop, roled: Roles) -> None:
    shop.environment["HUB_DSN"] = shop.environment["HUB_OWNER_DSN"]
    code, body = shop.call_here("doctor")
    assert code == 0, body
    (told,) = [c for c in body["result"]["checks"] if c["subject"] == "role"]
    assert "the owner of its schema" in told["message"]


def test_doctor_says_what_the_writing_role_lacks(shop: Shop, roled: Roles) -> None:
    role = f"erp_target_{roled.number}"
    shop.sql("erp", f"revoke update (email), select (tax_number) on party from {role}")
    code, body = shop.call_here("doctor")
    wrong = [c["suggestion"] for c in body["result"]["checks"] if c["level"] == "error"]
    assert code == 2
    assert sorted(wrong) == [
        "GRANT SELECT (tax_number) ON public.party to the role",
        "GRANT UPDATE (email) ON public.party to the role",
    ]


def test_the_source_role_reads_what_is_mapped_and_writes_nothing(shop: Shop, roled: Roles) -> None:
    shop.sql("crm", "alter table account add column private text")
    for statement in (
        "select private from public.account",
        "select * from public.account",
        "insert into public.account (name) values ('x')",
        "update public.account set email = ''",
        "delete from public.account",
        "truncate public.account",
        "create table public.mine ()",
        "create temporary table mine ()",
        "select pg_logical_emit_message(true, 'fieldwarden', '')",
        "create publication mine for table public.account",
    ):
        assert refused(roled.source("crm"), statement), statement


def test_the_target_role_writes_what_is_delivered_and_nothing_that_finance_owns(shop: Shop, roled: Roles) -> None:
    shop.sql("erp", "alter table party add column private text")
    for statement in (
        "update public.party set credit_limit = 1",
        "update public.party set term_code = 'N00'",
        "update public.party set fieldwarden_id = 'x'",
        "update public.party set id = 1",
        "insert into public.party (name, credit_limit) values ('x', 1)",
        "insert into public.party (id, name) values (1, 'x')",
        "select private from public.party",
        "delete from public.party",
        "truncate public.party",
        "alter table public.party disable trigger all",
        "create trigger mine before update on public.party execute function suppress_redundant_updates_trigger()",
        "create table public.mine ()",
        "select pg_create_logical_replication_slot('mine', 'pgoutput')",
    ):
        assert refused(roled.target("erp"), statement), statement
    assert not refused(roled.target("erp"), "update public.party set email = 'x'")


@pytest.mark.long
def test_rows_are_deleted_only_where_the_mapping_deletes(shop: Shop, roled: Roles) -> None:
    assert refused(roled.target("erp"), "delete from public.party where id = 1")
    shop.edit("systems/erp.yaml", "create: true", "create: true\n    on_retire: delete")
    execute(shop.erp, roled.printed("erp"))
    assert not refused(roled.target("erp"), "delete from public.party where id = 1")
    shop.settle()
    rows = "select count(*) from party where tax_number = 'DE811907980'"
    assert shop.sql("erp", rows) == [(1,)], "it is there to be deleted"
    shop.sql("crm", "delete from account where vat_number = 'DE811907980'")
    shop.settle()
    assert shop.sql("erp", rows) == [(0,)]


@pytest.mark.long
def test_a_publication_of_ours_becomes_one_that_is_only_checked(shop: Shop) -> None:
    """A project that ran as a superuser goes on under its roles, through a new baseline."""
    shop.settle()
    systems = {"crm": shop.crm, "erp": shop.erp}
    write_by_another_role(shop, systems)
    roles = Roles(shop, shop.hub, systems)
    try:
        roles.make()
        shop.sql("crm", "update account set email = 'late@cedar.example' where vat_number = 'NL001234567B01'")
        shop.settle()
        code, body = shop.call("run", "--until-idle", "--port", "0", "--rebaseline", "crm", "--rebaseline", "erp")
        assert code == 0, body
        crm, erp = customers(shop)
        assert crm == erp
    finally:
        roles.gone()


@pytest.mark.long
def test_the_large_example_runs_wholly_with_what_is_printed(tmp_path: Path, make_database: Callable[..., str]) -> None:
    """Normalised tables, sequences behind defaults, triggers, child rows: every edit of the demo."""
    systems = {name: make_database() for name in ("crm", "billing", "erp")}
    folder = tmp_path / "shop"
    examples.lay_out("quote-to-cash", folder)
    hub = make_database()
    project = Project(folder, environment={"HUB_DSN": hub})
    settings = folder / "fieldwarden.yaml"
    settings.write_text(
        'project: quote-to-cash\nsystems: [erp, billing, crm]\nonboarding: automatic\nhub: {dsn: "${env:HUB_DSN}"}\n'
    )
    for name, dsn in systems.items():
        project.edit(f"systems/{name}.yaml", f"${{embedded:{name}}}", f"${{env:{name.upper()}_DSN}}")
        execute(dsn, (folder / f"sql/{name}.sql").read_text())
    write_by_another_role(project, systems)
    roles = Roles(project, hub, systems)
    try:
        roles.make()
        project.settle()
        for script in sorted((folder / "edits").glob("*.sql")):
            execute(systems[script.name.split(".")[1]], script.read_text())
        project.settle()
        project.is_sound()
    finally:
        roles.gone()


def test_the_roles_of_what_only_debezium_asks_are_not_ours(shop: Shop) -> None:
    shop.edit("systems/crm.yaml", "kind: postgres", "kind: debezium, database: mysql")
    shop.edit("systems/crm.yaml", "system: crm", "system: crm\nmode: source")
    shop.edit("systems/crm.yaml", "create: true", "create: false")
    shop.edit("fieldwarden.yaml", "hub:", "kafka: {servers: kafka.example:9092}\nhub:")
    code, body = shop.call_here("target", "roles", "crm", "--print")
    assert (code, body["error"]["code"]) == (3, "environment"), body
    assert body["error"]["message"] == "crm is mysql, which only Debezium reads"


def test_the_roles_of_a_system_that_is_not_there_are_not_printed(shop: Shop) -> None:
    code, body = shop.call_here("target", "roles", "nobody", "--print")
    assert code == 2, body
    assert "there is no system 'nobody'" in body["error"]["message"]
    assert "crm" in body["error"]["suggestion"]


@pytest.mark.long
def test_what_the_runtime_adds_to_a_block_that_is_there_is_found(shop: Shop, roled: Roles) -> None:
    shop.settle()
    runtime = shop.environment["HUB_DSN"]
    ((lane, height, ordinal),) = execute(
        runtime, "select lane, height, ordinal from fieldwarden.ledger_entry order by 1, 2, 3 desc limit 1"
    )
    execute(
        runtime,
        f"insert into fieldwarden.ledger_entry select lane, height, {ordinal + 1}, record, version, body"
        f" from fieldwarden.ledger_entry where (lane, height, ordinal) = ('{lane}', {height}, {ordinal})",
    )
    code, body = shop.call_here("audit", "verify")
    assert code == 1, body


@pytest.mark.long
def test_an_auditor_is_shown_everything_and_changes_nothing(shop: Shop, roled: Roles) -> None:
    shop.settle()
    shop.environment["HUB_DSN"] = make_conninfo(shop.hub, user=f"auditor_{roled.number}")
    for words in (["status"], ["audit", "verify"], ["trail", "customer", "DE811907980"], ["plan"], ["check"]):
        code, body = shop.call_here(*words)
        assert code == 0, (words, body)
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert (code, body["error"]["code"]) == (3, "environment")
    assert "permission denied" in body["error"]["message"]
    assert "fieldwarden hub roles" in body["error"]["suggestion"]


@pytest.mark.long
def test_a_reader_is_told_what_it_may_not_see(shop: Shop, roled: Roles) -> None:
    shop.settle()
    shop.environment["HUB_DSN"] = make_conninfo(shop.hub, user=f"reader_{roled.number}")
    for words in (["status"], ["audit", "verify"], ["trail", "customer", "DE811907980"]):
        code, body = shop.call_here(*words)
        assert (code, body["error"]["code"]) == (3, "environment"), (words, body)
