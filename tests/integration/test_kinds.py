"""A kind of connector from outside: found by its entry point alone, and used like those that are built in."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fieldwarden.operations.shell.schema import schema
from tests.integration.cli_project import Project
from tests.plugin.desk_server import TOKEN, Desk, serving

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "tests" / "plugin"
FILES = {
    "fieldwarden.yaml": 'project: desk\nsystems: [erp, desk]\nonboarding: automatic\nhub: {dsn: "${env:HUB_DSN}"}\n',
    "entities/customer.yaml": """
entity: customer
identity: {match: [email]}
fields:
  email: {type: text}
  name: {type: text, owner: erp, protected: true, seed_from: [desk]}
  phone: {type: text, strategy: recency, among: [erp, desk]}
""",
    "systems/erp.yaml": """
system: erp
connector: {kind: postgres, dsn: "${env:ERP_DSN}"}
streams:
  public.party:
    entity: customer
    key: id
    external_id: ext
    create: true
    fields: {email: email, name: name, phone: phone}
""",
    "systems/desk.yaml": """
system: desk
connector: {kind: desk, url: "${env:DESK_URL}", token: "${env:DESK_TOKEN}"}
streams:
  people:
    entity: customer
    key: id
    external_id: ref
    create: true
    fields: {email: mail, name: full_name, phone: phone}
""",
}
PARTY = """create table party (id int primary key generated always as identity, ext text unique, email text, name text,
    phone text)"""


class Desks(Project):
    """A project of a PostgreSQL and a desk, with what both hold."""

    desk: Desk

    def parties(self) -> set[tuple[str | None, ...]]:
        with psycopg.connect(self.environment["ERP_DSN"]) as connection:
            return {tuple(row) for row in connection.execute("select email, name, phone from party")}

    def people(self) -> set[tuple[str | None, ...]]:
        held = self.desk.held("people").values()
        return {(each.get("mail"), each.get("full_name"), each.get("phone")) for each in held}

    def edit_erp(self, statement: str) -> None:
        with psycopg.connect(self.environment["ERP_DSN"], autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package is installed, in this process and in those that it starts."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "fieldwarden_desk"]:
        del sys.modules[name]


def laid_out(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.lstrip("\n"))
    return folder


@pytest.fixture
def desks(installed: None, tmp_path: Path, make_database: Callable[[], str]) -> Iterator[Desks]:
    hub, erp = make_database(), make_database()
    with serving(Desk()) as desk, psycopg.connect(erp, autocommit=True) as connection:
        connection.execute(PARTY.encode())
        environment = {"HUB_DSN": hub, "ERP_DSN": erp, "DESK_URL": desk.url, "DESK_TOKEN": TOKEN}
        project = Desks(laid_out(tmp_path / "desks", FILES), environment=environment)
        project.desk = desk
        yield project


def test_its_systems_are_validated_examined_replicated_shown_and_compared(desks: Desks) -> None:
    desks.edit_erp(
        "insert into party (email, name, phone) values ('ann@x.test', 'Ann', '1'), ('bob@x.test', 'Bob', '2')"
    )
    desks.desk.put("people", "p1", {"mail": "bob@x.test", "full_name": "Robert", "phone": "22"})
    desks.desk.put("people", "p2", {"mail": "cy@x.test", "full_name": "Cy", "phone": "3"})

    assert desks.call("validate")[0] == 0
    code, body = desks.call("doctor")
    assert code == 0, body
    assert ("desk", "desk answers") in {(each["about"], each["message"]) for each in body["result"]["checks"]}

    code, body = desks.call("run", "--until-idle")
    assert code == 0, body
    assert desks.people() == desks.parties()
    assert {row[:2] for row in desks.people()} == {("ann@x.test", "Ann"), ("bob@x.test", "Bob"), ("cy@x.test", "Cy")}

    desks.desk.put("people", "p2", {"phone": "33"})
    desks.edit_erp("update party set name = 'Anna' where email = 'ann@x.test'")
    code, body = desks.call("run", "--until-idle")
    assert code == 0, body
    assert desks.people() == desks.parties()
    assert ("cy@x.test", "Cy", "33") in desks.parties()
    assert ("ann@x.test", "Anna", "1") in desks.people()

    code, body = desks.call("status", "--check")
    assert code == 0, body
    (desk,) = (each for each in body["result"]["sources"] if each["name"] == "desk")
    assert (desk["state"], desk["read"]) == ("stopped", True)
    desks.is_sound()


@pytest.mark.long
def test_what_somebody_writes_over_a_protected_value_is_put_back(desks: Desks) -> None:
    desks.edit_erp("insert into party (email, name, phone) values ('ann@x.test', 'Ann', '1')")
    desks.settle()
    (id,) = desks.desk.held("people")
    desks.desk.put("people", id, {"full_name": "Mallory"})
    desks.settle()
    assert desks.people() == {("ann@x.test", "Ann", "1")} == desks.parties()


@pytest.mark.long
def test_what_is_deleted_in_a_desk_that_may_retire_is_deleted_as_the_files_say(desks: Desks) -> None:
    desks.edit("entities/customer.yaml", "fields:\n", "delete: {authority: [desk]}\nfields:\n")
    desks.edit("systems/erp.yaml", "    create: true\n", "    create: true\n    on_retire: delete\n")
    desks.desk.put("people", "p1", {"mail": "ann@x.test", "full_name": "Ann", "phone": "1"})
    desks.settle()
    assert desks.parties() == {("ann@x.test", "Ann", "1")}
    desks.desk.put("people", "p1", {}, deleted=True)
    desks.settle()
    assert desks.parties() == set()


@pytest.mark.long
def test_a_field_that_is_mapped_later_is_read_of_all_objects_that_are_there(desks: Desks) -> None:
    mapped = "fields: {email: mail, name: full_name, phone: phone}"
    desks.edit("systems/desk.yaml", mapped, mapped.replace(", phone: phone", ""))
    desks.desk.put("people", "p1", {"mail": "ann@x.test", "full_name": "Ann", "phone": "1"})
    desks.settle()
    assert desks.parties() == {("ann@x.test", "Ann", None)}
    desks.edit("systems/desk.yaml", mapped.replace(", phone: phone", ""), mapped)
    code, body = desks.call_here("apply", "--reason", "phones")
    assert code == 0, body
    desks.settle()
    assert desks.parties() == {("ann@x.test", "Ann", "1")}


@pytest.mark.long
def test_the_source_and_the_target_of_a_system_keep_one_pace(desks: Desks) -> None:
    """The desk counts what comes beside another request, or too soon after one: a session of its own for each half
    would be too hasty."""
    for number in range(30):
        desks.desk.put("people", f"p{number}", {"mail": f"{number}@x.test", "full_name": f"N{number}"})
        desks.edit_erp(f"insert into party (email, name) values ('e{number}@x.test', 'E{number}')")
    desks.settle()
    assert len(desks.people()) == 60
    kinds = {request.partition(" ")[0] for request in desks.desk.requests}
    assert kinds >= {"GET", "POST"}
    assert desks.desk.hasty == 0


def test_a_desk_that_does_not_take_our_token_is_named_by_doctor_and_holds_up_nobody_else(desks: Desks) -> None:
    desks.environment["DESK_TOKEN"] = "hunter2"
    code, body = desks.call_here("doctor")
    assert code == 3
    (wrong,) = (each for each in body["result"]["checks"] if each["level"] == "error")
    assert (wrong["about"], wrong["message"]) == ("desk", "desk: the desk does not take our token")
    assert "hunter2" not in str(body)


WRONG = {
    "an unknown key": ("kind: desk,", "kind: desk, per_minute: 3,", (2, 25, "unknown key 'per_minute'")),
    "a value of another type": (
        "kind: desk,",
        "kind: desk, per_second: 0,",
        (2, 37, "'per_second' must be at least 1"),
    ),
    "a secret": ('"${env:DESK_TOKEN}"', "open", (2, 56, "a secret stands here in the open")),
    "a password": ("${env:DESK_URL}", "http://me:pw@desk", (2, 30, "a password stands here in the open")),
    "its own check": ("key: id", "key: id\n    parent: {people: boss}", (7, 13, "a desk's objects have no parents")),
}


@pytest.mark.parametrize(("old", "new", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_its_settings_is_said_with_its_place(
    old: str, new: str, expected: tuple[int, int, str], installed: None, tmp_path: Path
) -> None:
    project = Project(laid_out(tmp_path / "desks", FILES))
    project.edit("systems/desk.yaml", old, new)
    code, body = project.call_here("validate")
    assert code == 2
    assert expected in {(each["line"], each["column"], each["message"]) for each in body["result"]["problems"]}


def kinds_in(document: dict[str, Any]) -> set[str]:
    """Those that the schema of a system's file knows."""
    return set(document["properties"]["connector"]["discriminator"]["mapping"])


def test_an_editor_is_told_of_the_settings_of_a_kind_that_is_installed(installed: None) -> None:
    document = schema("system").result
    assert kinds_in(document) == {"postgres", "debezium", "salesforce", "rest", "desk"}
    assert {"kind", "url", "token"} == set(document["$defs"]["DeskSettings"]["required"])


def test_a_kind_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    project = Project(laid_out(tmp_path / "desks", FILES))
    code, body = project.call_here("validate")
    assert code == 2
    (problem,) = body["result"]["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("systems/desk.yaml", 2, 19)
    assert (
        problem["message"] == "there is no kind of connector 'desk'; there are postgres, debezium, salesforce and rest"
    )
    assert "docs/connectors.md" in problem["suggestion"]


def test_a_kind_that_is_misspelt_is_told_the_one_that_is_installed(installed: None, tmp_path: Path) -> None:
    files = FILES | {"systems/desk.yaml": FILES["systems/desk.yaml"].replace("kind: desk", "kind: dsek")}
    code, body = Project(laid_out(tmp_path / "desks", files)).call_here("validate")
    (problem,) = body["result"]["problems"]
    assert (code, problem["suggestion"]) == (2, "did you mean 'desk'?")
    assert problem["message"].endswith("there are postgres, debezium, salesforce, rest and desk")


BROKEN = {
    "an exception": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "a missing library": ("import a_library_that_nobody_has", "No module named 'a_library_that_nobody_has'"),
    "an exit": ("raise SystemExit(4)", "SystemExit: 4"),
    "no such object": ("", "has no attribute 'Broken'"),
    "something else": ("class Broken: settings = dict", "are no model made from fieldwarden.rules.settings.Settings"),
}


@pytest.mark.parametrize(("source", "words"), BROKEN.values(), ids=BROKEN)
def test_a_package_that_cannot_be_imported_is_named_and_breaks_nothing_that_does_not_use_it(
    source: str, words: str, installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = laid_out(
        tmp_path / "site",
        {
            "fieldwarden_broken.py": source,
            "fieldwarden_broken-2.dist-info/METADATA": "Metadata-Version: 2.1\nName: fieldwarden-broken\nVersion: 2\n",
            "fieldwarden_broken-2.dist-info/entry_points.txt": (
                "[fieldwarden.connectors]\nbroken = fieldwarden_broken:Broken\n"
            ),
        },
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "fieldwarden_broken", raising=False)
    unharmed = Project(laid_out(tmp_path / "desks", FILES))
    assert unharmed.call_here("validate")[0] == 0

    files = FILES | {"systems/desk.yaml": FILES["systems/desk.yaml"].replace("kind: desk", "kind: broken")}
    code, body = Project(laid_out(tmp_path / "broken", files)).call_here("validate")
    assert code == 2
    (problem,) = body["result"]["problems"]
    assert (problem["file"], problem["line"]) == ("systems/desk.yaml", 2)
    assert "fieldwarden-broken" in problem["message"]
    assert words in problem["message"]
    assert "fieldwarden-broken" in problem["suggestion"]

    report = schema("system")
    assert kinds_in(report.result) == {"postgres", "debezium", "salesforce", "rest", "desk"}, (
        "an editor goes on with the others"
    )
    (note,) = report.notes
    assert words in note


def test_two_packages_with_one_kind_are_both_named(
    installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = laid_out(
        tmp_path / "site",
        {
            "other_desk-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: other-desk\nVersion: 1\n",
            "other_desk-1.dist-info/entry_points.txt": "[fieldwarden.connectors]\ndesk = other_desk:Kind\n",
        },
    )
    monkeypatch.syspath_prepend(str(site))
    code, body = Project(laid_out(tmp_path / "desks", FILES)).call_here("validate")
    (problem,) = body["result"]["problems"]
    assert code == 2
    assert "several packages: fieldwarden-desk, other-desk" in problem["message"]


def shown(language: str) -> str:
    """The first block of this language below "A complete kind", in docs/connectors.md."""
    _, _, text = (ROOT / "docs" / "connectors.md").read_text("utf-8").partition("### A complete kind")
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def leads(tmp_path: Path, make_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project with the system that the documentation shows, and its kind installed."""
    points = "[fieldwarden.connectors]\nlines = fieldwarden_lines:LinesKind\n"
    site = laid_out(
        tmp_path / "site",
        {
            "fieldwarden_lines.py": shown("python"),
            "fieldwarden_lines-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: fieldwarden-lines\nVersion: 1\n",
            "fieldwarden_lines-1.dist-info/entry_points.txt": points,
        },
    )
    monkeypatch.syspath_prepend(str(site))
    files = {name: text.replace("desk", "leads") for name, text in FILES.items() if name != "systems/desk.yaml"}
    files |= {"systems/leads.yaml": shown("yaml"), "leads.jsonl": ""}
    files["entities/customer.yaml"] = files["entities/customer.yaml"].replace("among: [erp, leads]", "among: [erp]")
    environment = {"HUB_DSN": make_database(), "ERP_DSN": make_database()}
    with psycopg.connect(environment["ERP_DSN"], autocommit=True) as connection:
        connection.execute(PARTY.encode())
    yield Project(laid_out(tmp_path / "leads", files), environment=environment)
    sys.modules.pop("fieldwarden_lines", None)


def test_the_kind_in_the_documentation_works(leads: Project) -> None:
    def write(*lines: dict[str, str]) -> None:
        with (leads.folder / "leads.jsonl").open("a") as file:
            file.writelines(f"{json.dumps(each)}\n" for each in lines)

    def parties() -> set[tuple[str | None, ...]]:
        with psycopg.connect(leads.environment["ERP_DSN"]) as connection:
            return {tuple(row) for row in connection.execute("select email, name from party")}

    write({"id": "1", "mail": "ann@x.test", "full_name": "Ann"})
    code, body = leads.call_here("doctor")
    assert code == 0, body
    leads.settle()
    assert parties() == {("ann@x.test", "Ann")}
    write({"id": "1", "mail": "ann@y.test", "full_name": "Ann"}, {"id": "2", "mail": "bob@x.test", "full_name": "Bob"})
    leads.settle()
    assert parties() == {("ann@y.test", "Ann"), ("bob@x.test", "Bob")}

    code, body = leads.call_here("check")
    assert code == 0, body
    (skipped,) = (each for each in body["result"]["not_compared"] if each["system"] == "leads")
    assert skipped["reason"] == "it is a file, which says nothing of now"

    leads.edit("systems/leads.yaml", "mode: source\n", "")
    code, body = leads.call_here("validate")
    assert code == 2
    assert "leads is a file, which is only read" in {each["message"] for each in body["result"]["problems"]}


def test_what_the_documented_kind_reads_again_is_newer_than_all_that_it_said_before(leads: Project) -> None:
    """Also where the file was written anew, and its lines are counted from the first again."""
    file = leads.folder / "leads.jsonl"

    def emails() -> set[str | None]:
        with psycopg.connect(leads.environment["ERP_DSN"]) as connection:
            return {email for (email,) in connection.execute("select email from party")}

    lines = [json.dumps({"id": "1", "mail": f"ann@{where}.test", "full_name": "Ann"}) for where in "xyz"]
    file.write_text(f"{lines[0]}\n{lines[1]}\n")
    leads.settle()
    assert emails() == {"ann@y.test"}
    file.write_text(f"{lines[2]}\n")
    code, body = leads.call_here("run", "--rebaseline", "leads", "--until-idle", "--port", "0")
    assert code == 0, body
    assert emails() == {"ann@z.test"}
