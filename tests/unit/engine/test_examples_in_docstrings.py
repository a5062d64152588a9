"""The pure core says what it does: everything public has a docstring, and every example in one is run."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldwarden.engine.change import UNKNOWN, Change, RawChange, Relation, RowRef
from fieldwarden.engine.deciding.known import Mapped
from fieldwarden.engine.deciding.scope import plans_of, scope_of
from fieldwarden.engine.ledger.entries import Decision
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.rulebook import Entity, Field, FieldMap, MatchKey, Policy, Stream, Unit
from fieldwarden.rules.values import FieldType
from tests.builders import ACCOUNT, CUSTOMER, SUBSCRIBER, raw, rulebook, said, whole

ENGINE = Path(__file__).resolve().parents[3] / "engine"
FILES = [ENGINE / f"{name}.py" for name in ("change", "errors", "guard", "record")]
for room in ("checking", "deciding", "ledger", "words"):
    FILES += sorted((ENGINE / room).glob("[!_]*.py"))
_CLASSES = (Change, Decision, RawChange, Relation, RowRef, Contribution, Record, Stamp)
_RULES = (Entity, Field, FieldMap, FieldType, MatchKey, Policy, Stream, Unit)


def mapped(change: Change) -> Mapped:
    return Mapped(raw(change.row.stream, "update", 1, id=change.row.key), change.row, change.entity, change)


_WORDS = (mapped, raw, rulebook, said, whole)
_RULEBOOK = rulebook()
_GIVEN = {
    "ACCOUNT": ACCOUNT,
    "SUBSCRIBER": SUBSCRIBER,
    "CUSTOMER": CUSTOMER,
    "RULES": _RULEBOOK,
    "SCOPE": scope_of(_RULEBOOK, "crm", plans_of(_RULEBOOK), ordered=True),
    "UNKNOWN": UNKNOWN,
}
WORDS = {**_GIVEN, **{each.__name__: each for each in (*_CLASSES, *_RULES, *_WORDS)}}
"""What examples speak in without importing it. RULES are those of three systems that share customers,
SCOPE the part of them that matters to changes of the first."""

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


@pytest.mark.parametrize("path", [*FILES, ENGINE / "ports" / "source.py"], ids=module)
def test_examples_give_what_they_say(path: Path) -> None:
    tested = importlib.import_module(module(path))
    failed, tried = doctest.testmod(tested, extraglobs=WORDS, optionflags=doctest.ELLIPSIS)
    assert failed == 0
    assert tried, "an example shows what it is for"
