"""The pure core says what it does: everything public has a docstring, and every example in one is run."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldwarden.engine.change import UNKNOWN, Change, RowRef
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.rulebook import Entity, Field, Policy, Stream, Unit

ENGINE = Path(__file__).resolve().parents[3] / "engine"
FILES = [ENGINE / f"{name}.py" for name in ("change", "errors", "guard", "record")]
FILES += [
    ENGINE / "deciding" / f"{name}.py"
    for name in (
        *("resolve", "unrivalled", "plural", "reresolve", "unreadable", "meant"),
        *("contribution", "echoes", "consequences"),
    )
]
WORDS = {
    **{
        each.__name__: each
        for each in (Change, RowRef, Contribution, Record, Stamp, Entity, Field, Policy, Stream, Unit)
    },
    "UNKNOWN": UNKNOWN,
}
"""What examples speak in without importing it."""
WITHOUT = {"fieldwarden.engine.deciding.unrivalled"}
"""Modules without an example, since none of their public functions and classes can be shown at work in a few lines."""

Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def module(path: Path) -> str:
    return ".".join(("fieldwarden", *path.relative_to(ENGINE.parent).with_suffix("").parts))


def public(node: ast.Module | Named) -> Iterator[tuple[str, Named]]:
    for child in node.body:
        if isinstance(child, Named) and not child.name.startswith("_"):
            yield child.name, child
            if isinstance(child, ast.ClassDef):
                yield from ((f"{child.name}.{name}", method) for name, method in public(child))


@pytest.mark.parametrize("path", FILES, ids=module)
def test_everything_public_says_what_it_does(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree)
    assert [name for name, node in public(tree) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", FILES, ids=module)
def test_examples_give_what_they_say(path: Path) -> None:
    tested = importlib.import_module(module(path))
    failed, tried = doctest.testmod(tested, extraglobs=WORDS, optionflags=doctest.ELLIPSIS)
    assert failed == 0
    assert bool(tried) == (module(path) not in WITHOUT), "WITHOUT names exactly the modules that have no example"
