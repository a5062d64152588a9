"""The error tree is drawn in one place, and the drawing is the tree: classes, parents, rooms and exit codes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import NamedTuple

from fieldwarden.rules import errors
from fieldwarden.rules.errors import FieldwardenError
from tests.files.test_architecture import MODULES

WIDTH = 4
"""Of one step inwards in the drawing."""


class Drawn(NamedTuple):
    parent: str
    name: str
    exit_code: int
    room: str


def drawn() -> Iterator[Drawn]:
    """The lines of the drawing, each under the class that it hangs from."""
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if "── " not in line:
            continue
        lead, _, told = line.partition("── ")
        depth = len(lead) // WIDTH - 1
        name, code, room, *_ = [*told.split(), ""]
        above[depth:] = [name]
        yield Drawn(above[depth - 1] if depth else "FieldwardenError", name, int(code), room)


def there(root: type[FieldwardenError] = FieldwardenError) -> Iterator[type[FieldwardenError]]:
    for each in root.__subclasses__():
        yield each
        yield from there(each)


def every() -> list[type[FieldwardenError]]:
    """All of ours, with every module of the program known."""
    for name in MODULES:
        importlib.import_module(f"fieldwarden.{name}")
    return [each for each in there() if each.__module__.startswith("fieldwarden.")]


def test_the_drawing_is_the_tree() -> None:
    lines, classes = list(drawn()), every()
    parents = {each.__name__: [base.__name__ for base in each.__bases__] for each in classes}
    assert {each.name: [each.parent] for each in lines} == parents
    assert {each.name: each.exit_code for each in lines} == {each.__name__: each.exit_code for each in classes}
    rooms = {each.__name__: each.__module__.removeprefix("fieldwarden.") for each in classes}
    for each in lines:
        assert f"{rooms[each.name]}.".startswith(f"{each.room}."), f"{each.name} stands in {rooms[each.name]}"


def test_each_error_is_drawn_once() -> None:
    names = [each.name for each in drawn()]
    assert len(names) == len(set(names)) == len(every())
