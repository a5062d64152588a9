"""SQL stands in named, commented files: each statement says what it is for, stands once, and is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fieldwarden.engine.named_sql import statements

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    path
    for folder in ("engine", "connectors", "operations")
    for path in sorted((ROOT / folder).rglob("*.sql"))
    if path.parent.name != "migrations"
]


def used() -> str:
    folders = ("engine", "connectors", "operations", "tests")
    return "\n".join(path.read_text("utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_statement_says_what_it_is_for_and_is_used(path: Path) -> None:
    code = used()
    for name, body in statements(path).items():
        assert f'"{name}"' in code, f"nobody uses {name}"
        if path.parent.name == "postgres":
            assert body.startswith(b"--"), f"{name} does not say what it is for"


def test_two_statements_of_one_name_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- name: one\nselect 1\n")
    (tmp_path / "b.sql").write_text("-- name: two\nselect 2\n\n-- name: one\nselect 3\n")
    with pytest.raises(ValueError, match=re.escape("b.sql: there are two statements named one")):
        statements(tmp_path / "a.sql", tmp_path / "b.sql")


def test_queries_of_catalogues_stand_in_no_module() -> None:
    """But for those that are made of names and conditions of the files: they are composed where that is done."""
    for path in sorted((ROOT / "connectors").rglob("*.py")):
        for query in re.findall(r'execute\(\s*"(select|with) ', path.read_text("utf-8")):
            raise AssertionError(f"{path.relative_to(ROOT)} holds a query ({query} ...)")
