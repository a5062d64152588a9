"""A YAML file as plain values together with the line and column of each, so that an error can point at its cause.

Read at node level: nothing is constructed but text, integers, booleans, null, lists and mappings. A number with a
point stays text, so that no amount passes through binary floating point. Anchors, aliases and tags are refused:
they make a file mean something else than it shows, and can make a small file expand without bound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rules.errors import Problem

MAX_BYTES = 1_000_000
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})$")
_UNSTORABLE = re.compile("[\\0\\ud800-\\udfff]")
_CORE = "tag:yaml.org,2002:"

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file, lines and columns counted from 1."""

    file: str
    line: int
    column: int

    def problem(self, message: str, suggestion: str = "") -> Problem:
        return Problem(self.file, self.line, self.column, message, suggestion)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Document:
    """One file: `data` in plain values, and where each key and value stands."""

    file: str
    data: Any
    keys: Mapping[Path, tuple[int, int]] = field(default_factory=dict)
    values: Mapping[Path, tuple[int, int]] = field(default_factory=dict)

    def at(self, *path: str | int) -> Position:
        """Where the value at `path` stands; parts that the file does not have are passed over."""
        return Position(self.file, *self.values.get(self.nearest(path), (1, 1)))

    def key_at(self, *path: str | int) -> Position:
        """Where the key that ends `path` stands (the value, for an item of a list)."""
        known = self.nearest(path)
        return Position(self.file, *(self.keys.get(known) or self.values.get(known) or (1, 1)))

    def nearest(self, path: Sequence[str | int]) -> Path:
        """The path without the parts that are not in the file (the names that pydantic gives to alternatives)."""
        known: Path = ()
        for part in path:
            if (*known, part) in self.values:
                known = (*known, part)
        return known


def read_yaml(file: str, content: bytes) -> tuple[Document | None, list[Problem]]:
    """One document, or none with the reasons."""
    top = Position(file, 1, 1)
    if len(content) > MAX_BYTES:
        return None, [top.problem(f"the file is larger than {MAX_BYTES:,} bytes", "split it")]
    text = as_text(file, content)
    if isinstance(text, Problem):
        return None, [text]
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Position(file, mark.line + 1, mark.column + 1) if mark else top
        return None, [place.problem(f"not valid YAML: {_syntax(error)}", "check indentation, colons and quotes")]
    except YAMLError:
        return None, [top.problem("not valid YAML: it holds a character that YAML does not allow")]
    except RecursionError:
        return None, [top.problem("nested too deeply")]
    if not isinstance(root, MappingNode):
        return None, [top.problem("the file must hold a mapping of keys to values")]
    reader = _Reader(file)
    data = reader.value(root, ())
    return Document(file, data, reader.keys, reader.values), reader.problems


def as_text(file: str, content: bytes) -> str | Problem:
    """A file's bytes as text, or what is wrong with them."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Position(file, line, 1).problem("the file is not UTF-8 text", "save it as UTF-8")


def _syntax(error: MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return ", ".join(str(part).strip() for part in parts) or "it cannot be read"


class _Reader:
    """Turns nodes into plain values and notes where each stood."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.keys: dict[Path, tuple[int, int]] = {}
        self.values: dict[Path, tuple[int, int]] = {}
        self.seen: set[int] = set()

    def value(self, node: Node, path: Path) -> Any:
        self.values[path] = place = (node.start_mark.line + 1, node.start_mark.column + 1)
        if id(node) in self.seen or node.anchor is not None:
            self.problem(place, "anchors (&) and aliases (*) are not supported", "write the value out")
            return None
        self.seen.add(id(node))
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self.scalar(node, place)

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, ScalarNode):
                self.problem(place, "a key must be plain text")
                continue
            key = str(key_node.value)
            if key in result:
                first = self.keys[(*path, key)][0]
                self.problem(place, f"key {key!r} stands here twice, first on line {first}", "remove one")
                continue
            self.keys[(*path, key)] = place
            result[key] = self.value(value_node, (*path, key))
            if value_node.start_mark.index == value_node.end_mark.index:  # nothing written: YAML points past it
                self.values[(*path, key)] = place
        return result

    def scalar(self, node: ScalarNode, place: tuple[int, int]) -> Any:
        text = str(node.value)
        if _UNSTORABLE.search(text):
            self.problem(place, "the text holds a character that cannot be stored (NUL or a lone surrogate)")
            return None
        kind = str(node.tag).removeprefix(_CORE)
        if node.style is not None or kind in ("str", "float", "timestamp", "value", "merge"):
            return text
        if kind == "int":
            return int(text) if _INTEGER.match(text) else text
        if kind == "bool":
            return text.lower() == "true"
        if kind == "null":
            return None
        self.problem(place, "tags (!) are not supported", "write a plain value")
        return None

    def problem(self, place: tuple[int, int], message: str, suggestion: str = "") -> None:
        self.problems.append(Problem(self.file, *place, message, suggestion))
