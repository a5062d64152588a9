"""The commands that only read and write files: init, validate, schema, and how every command ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fieldwarden.cli import cli
from fieldwarden.operations.shell import validate
from tests.patience import called

COMMAND = Path(sys.executable).with_name("fieldwarden")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    return


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def answer(result: Result) -> dict[str, Any]:
    """The object on the last line, checked for its shape."""
    body: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert body.keys() == ({"ok", "result"} if body["ok"] else {"ok", "result", "error"})
    if not body["ok"]:
        assert body["error"].keys() == {"code", "message", "suggestion", "path"}
        assert all(isinstance(value, str) for value in body["error"].values())
    return body


@pytest.fixture
def shop() -> Path:
    assert invoke("init", "shop").exit_code == 0
    return Path("shop")


# --- init ----------------------------------------------------------------------------------------------------


def test_init_lays_out_a_project_that_validates(shop: Path) -> None:
    assert "project: shop" in (shop / "fieldwarden.yaml").read_text()
    result = invoke("validate", "--project", "shop", "--json")
    assert result.exit_code == 0
    body = answer(result)
    assert body["result"] | {"entities": 1, "systems": 2, "streams": 2, "protected": 2} == body["result"]
    assert body["result"]["owners"] == ["erp"]
    assert body["result"]["warnings"] == []


def test_init_overwrites_nothing(shop: Path) -> None:
    before = {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()}
    result = invoke("init", "shop", "--json")
    assert result.exit_code == 2
    assert answer(result)["error"]["code"] == "init"
    assert {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()} == before


def test_init_takes_an_empty_folder_and_a_path() -> None:
    Path("a/b").mkdir(parents=True)
    result = invoke("init", "a/b", "--json")
    assert answer(result)["result"]["project"] == "b"


@pytest.mark.parametrize("name", ["9lives", "Sho p", "-x-", "naïve", "x" * 64])
def test_init_checks_the_name(name: str) -> None:
    result = invoke("init", "--json", "--", name)
    assert result.exit_code == 2
    assert not Path(name).exists()


def test_init_onto_a_file_or_where_nothing_can_be_written() -> None:
    Path("taken").write_text("x")
    assert invoke("init", "taken").exit_code == 2
    result = invoke("init", "taken/below", "--json")
    assert (result.exit_code, answer(result)["error"]["code"]) == (2, "init")


def test_init_names_the_examples_it_has() -> None:
    result = invoke("init", "x", "--example", "nope", "--json")
    assert (result.exit_code, Path("x").exists()) == (2, False)
    assert "starter" in answer(result)["error"]["suggestion"]


# --- validate ------------------------------------------------------------------------------------------------


def test_validate_finds_the_project_from_below(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop / "systems")
    result = invoke("validate")
    assert result.exit_code == 0
    assert result.stdout.startswith("ok: 1 entity with 5 fields (2 owned, 2 protected), 2 systems with 2 streams")


def test_validate_names_every_problem_with_its_place(shop: Path) -> None:
    customer = shop / "entities/customer.yaml"
    customer.write_text(customer.read_text().replace("owner: erp", "owner: errp", 1) + "colour: red\n")
    crm = shop / "systems/crm.yaml"
    crm.write_text(crm.read_text().replace("lower(email)", "pg_read_file('/etc/passwd')"))
    result = invoke("validate", "--project", "shop", "--json")
    assert result.exit_code == 2
    problems = answer(result)["result"]["problems"]
    assert {p["file"] for p in problems} == {"entities/customer.yaml", "systems/crm.yaml"}
    assert len(problems) >= 3
    assert all(p["line"] > 0 and p["column"] > 0 and p["message"] for p in problems)

    text = invoke("validate", "--project", "shop")
    assert text.exit_code == 2
    assert all(f"{p['file']}:{p['line']}:{p['column']}: " in text.stderr for p in problems)


def test_broken_yaml_is_one_problem_with_a_line(shop: Path) -> None:
    (shop / "systems/erp.yaml").write_text("system: erp\nconnector: {kind: postgres\nstreams: [")
    result = invoke("validate", "--project", "shop", "--json")
    assert result.exit_code == 2
    assert any(p["file"] == "systems/erp.yaml" and p["line"] >= 2 for p in answer(result)["result"]["problems"])


def test_every_project_command_refuses_a_broken_project_before_it_starts_anything(shop: Path) -> None:
    (shop / "fieldwarden.yaml").write_text("project: shop\nsystems: [erp, crm]\nwhat: now\n")
    for words in (["doctor"], ["run", "--until-idle"], ["status"], ["deadletter", "list"]):
        result = invoke(*words, "--project", "shop", "--json")
        assert (result.exit_code, answer(result)["error"]["code"]) == (2, "configuration"), words
    assert not (shop / ".fieldwarden").exists()


@pytest.mark.parametrize("words", [["validate"], ["status"], ["doctor"], ["run"], ["deadletter", "list"]])
def test_no_project_here(words: list[str]) -> None:
    result = invoke(*words, "--json")
    assert (result.exit_code, answer(result)["error"]["code"]) == (2, "no_project")
    result = invoke(*words, "--project", "nowhere", "--json")
    assert (result.exit_code, answer(result)["error"]["path"]) == (2, "nowhere")


# --- schema --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["entity", "system", "project", "vendor"])
def test_schema_is_json_schema(kind: str) -> None:
    text = invoke("schema", kind)
    assert text.exit_code == 0
    document = json.loads(text.stdout)
    assert document["type"] == "object"
    assert document["additionalProperties"] is False
    assert answer(invoke("schema", kind, "--json"))["result"] == document


# --- how commands end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["nope"], ["schema", "nope"], ["deadletter", "list", "--limit", "none"], ["validate", "--nope"], ["schema"]],
)
def test_wrong_usage_is_exit_2(words: list[str]) -> None:
    assert invoke(*words).exit_code == 2
    result = invoke(*words, "--json")
    assert (result.exit_code, answer(result)["error"]["code"]) == (2, "usage")


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["run", "-h"], ["deadletter", "retry", "-h"]])
def test_help(words: list[str]) -> None:
    result = invoke(*words)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")


def test_every_command_has_json_and_help() -> None:
    def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from leaves(command, (*path, name))
            else:
                yield (*path, name), command

    for path, command in leaves(cli):
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options, path
        assert command.help, path
        if path[0] not in ("init", "schema", "demo", "sandbox"):
            assert "--project" in options, path


def test_a_bug_is_owned_up_to_in_one_paragraph(shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = "4111 1111 1111 1111"

    def broken(_folder: object) -> None:
        raise LookupError(card)

    monkeypatch.setattr(validate, "validate", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    text = invoke("validate")
    assert text.exit_code == 1
    assert "a bug in Fieldwarden" in text.stderr
    assert "Traceback" not in text.stderr
    body = answer(invoke("validate", "--json"))
    assert body["error"]["code"] == "bug"
    assert "4111" not in text.stderr + json.dumps(body)
    filed = Path(body["error"]["path"])
    assert "LookupError" in filed.read_text()
    assert filed.stat().st_mode & 0o077 == 0
    shown = invoke("validate", "--debug")
    assert shown.exit_code == 1
    assert "Traceback" in shown.stderr
    assert "LookupError" in shown.stderr
    assert "in broken" in shown.stderr
    assert "4111" not in shown.stderr + filed.read_text()


# --- as a real process ---------------------------------------------------------------------------------------


def process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return called([COMMAND, *words], env=os.environ | environment)


def test_light_commands_load_no_driver() -> None:
    script = (
        "import sys; sys.argv = ['fieldwarden', '--help']\n"
        "import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'psycopg', 'pydantic', 'sqlglot', 'structlog', 'rich', 'prometheus_client'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version_and_completion() -> None:
    assert process("--version").stdout.startswith("fieldwarden 0.")
    assert "_FIELDWARDEN_COMPLETE" in process(_FIELDWARDEN_COMPLETE="bash_source").stdout
    done = process(_FIELDWARDEN_COMPLETE="bash_complete", COMP_WORDS="fieldwarden va", COMP_CWORD="1")
    assert "validate" in done.stdout


def test_no_color_codes_when_not_a_terminal(shop: Path) -> None:
    done = process("validate", "--project", "shop")
    assert done.returncode == 0
    assert "\x1b[" not in done.stdout + done.stderr


def test_a_closed_pipe_ends_quietly() -> None:
    command = f"{COMMAND} schema system | head -c 5"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
