"""The documentation is part of the product: every command in it exists, every file it shows would be accepted."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from fieldwarden.cli import cli
from fieldwarden.engine.hub.roles import RIGHTS
from fieldwarden.rules.documents import read_yaml
from fieldwarden.rules.models import BuiltInSystemFile, EntityFile, ProjectFile
from fieldwarden.rules.wording import validate

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").glob("*/*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(fieldwarden [a-z][^`]*)`")


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text("utf-8")
        lines = [line for language, body in _BLOCK.findall(text) if not language for line in body.splitlines()]
        for line in [*lines, *_INLINE.findall(_BLOCK.sub("", text))]:
            for part in re.split(r"&&|\|\||[;|]", line.split("  #")[0]):
                if part.strip().startswith("fieldwarden "):
                    yield page.name, part.strip()


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_every_command_in_the_documentation_exists(page: str, line: str) -> None:
    if "|" in line.split()[1]:
        return
    words = [word for word in shlex.split(line)[1:] if word != "..."]
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        if words[0].startswith("-"):
            break
        name = words.pop(0)
        assert name in command.commands, f"{page}: there is no `{line}`"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word.startswith("--"):
            assert word.split("=")[0] in known | {"--help", "--version"}, f"{page}: `{line}` has no option {word}"


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for name, command in cli.commands.items():
        names = [f"{name} {sub}" for sub in command.commands] if isinstance(command, click.Group) else [name]
        for each in names:
            group, _, last = each.partition(" ")
            assert f"fieldwarden {each}" in text or (
                last and f"fieldwarden {group} list" in text and f"`{last}`" in text
            )


def yaml_blocks() -> Iterator[tuple[str, str]]:
    for page in (ROOT / "docs" / "configuration.md", ROOT / "README.md"):
        for language, body in _BLOCK.findall(page.read_text("utf-8")):
            if language == "yaml":
                yield page.name, body


@pytest.mark.parametrize(("page", "body"), list(yaml_blocks()))
def test_every_file_shown_would_be_accepted(page: str, body: str) -> None:
    document, problems = read_yaml(page, body.encode())
    assert document is not None
    first = next(iter(document.data))
    kinds: dict[str, type[BaseModel]] = {"project": ProjectFile, "entity": EntityFile, "system": BuiltInSystemFile}
    kind = kinds[first]
    _, more = validate(kind, document)
    assert [*problems, *more] == []


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_changelog_knows_this_version() -> None:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version is not None
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_security_page_states_the_very_rights_of_the_hubs_runtime() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    stated = dict(re.findall(r"^\| (\w+) \| ((?:select|insert|update|delete)[a-z, ]*) \|$", text, re.MULTILINE))
    assert stated == dict(RIGHTS)


def promised() -> list[tuple[str, str]]:
    """The tests that docs/architecture.md names beside what each would catch the loss of."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)


def test_every_invariant_has_a_test() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| I\d ", line)]
    assert [line[2:4] for line in rows] == [f"I{number}" for number in range(1, 9)]
    assert all("::" in line for line in rows)


@pytest.mark.parametrize(("file", "test"), promised())
def test_what_shows_an_invariant_is_of_the_first_part(file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    [found] = [
        each for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name == test
    ]
    marks = [ast.unparse(each) for each in found.decorator_list]
    marks += [
        ast.unparse(each) for each in tree.body if isinstance(each, ast.Assign) and "pytestmark" in ast.unparse(each)
    ]
    assert not any(re.search(r"(= |^)pytest\.mark\.(long|kafka)$", mark) for mark in marks)
