"""A YAML file as plain values together with the line and column of each, so that an error can point at its cause.

Read event by event from libyaml, which is linear in the file's length: nothing is constructed but text, integers,
booleans, null, lists and mappings. Plain words mean what YAML 1.2's core schema says (`no` and `on` are words). A
number with a point stays text, so that no amount passes through binary floating point. Anchors, aliases and tags are
refused: they make a file mean something else than it shows, and can make a small file expand without bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml
from yaml.error import Mark, MarkedYAMLError, YAMLError

from fieldwarden.rules.errors import Problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_VALUES = 30_000
_TOO_DEEP = ("nested too deeply", f"no file has more than {MAX_DEPTH} levels")
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})$", re.ASCII)
_UNSTORABLE = re.compile("[\\0\\ud800-\\udfff]")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the other where PyYAML was built without libyaml

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class FilePosition:
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

    def at(self, *path: str | int) -> FilePosition:
        """Where the value at `path` stands; parts that the file does not have are passed over."""
        return FilePosition(self.file, *self.values.get(self.nearest(path), (1, 1)))

    def key_at(self, *path: str | int) -> FilePosition:
        """Where the key that ends `path` stands (the value, for an item of a list)."""
        known = self.nearest(path)
        return FilePosition(self.file, *(self.keys.get(known) or self.values.get(known) or (1, 1)))

    def nearest(self, path: Sequence[str | int]) -> Path:
        """The path without the parts that are not in the file (the names that pydantic gives to alternatives)."""
        known: Path = ()
        for part in path:
            if (*known, part) in self.values:
                known = (*known, part)
        return known


def read_yaml(file: str, content: bytes) -> tuple[Document | None, list[Problem]]:
    """One document, or none with the reasons."""
    top = FilePosition(file, 1, 1)
    if len(content) > MAX_BYTES:
        return None, [top.problem(f"the file is larger than {MAX_BYTES:,} bytes", "split it")]
    text = as_text(file, content)
    if isinstance(text, Problem):
        return None, [text]
    reader = _Reader(file, _Loader(text).get_event)
    try:
        data = reader.document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = FilePosition(file, mark.line + 1, mark.column + 1) if mark else top
        if "nesting depth" in str(error.problem):  # libyaml has a bound of its own, and looks ahead
            return None, [place.problem(*_TOO_DEEP)]
        return None, [place.problem(f"not valid YAML: {_syntax(error)}", "check indentation, colons and quotes")]
    except YAMLError:
        return None, [top.problem("not valid YAML: it holds a character that YAML does not allow")]
    except _TooMuch as error:
        return None, [error.problem]
    if not isinstance(data, dict):
        return None, [top.problem("the file must hold a mapping of keys to values")]
    return Document(file, data, reader.keys, reader.values), reader.problems


def as_text(file: str, content: bytes) -> str | Problem:
    """A file's bytes as text, or what is wrong with them."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return FilePosition(file, line, 1).problem("the file is not UTF-8 text", "save it as UTF-8")


def _syntax(error: MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return ", ".join(str(part).strip() for part in parts) or "it cannot be read"


class _TooMuch(Exception):
    """Reading ends here."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _Reader:
    """Turns events into plain values and notes where each stood."""

    def __init__(self, file: str, next_event: Callable[[], yaml.Event], count: int = 0) -> None:
        self.file = file
        self.next = next_event
        self.problems: list[Problem] = []
        self.keys: dict[Path, tuple[int, int]] = {}
        self.values: dict[Path, tuple[int, int]] = {}
        self.count = count

    def document(self) -> Any:
        """The only document's value; None if there is none. Raises YAMLError, _TooMuch."""
        self.next()
        if isinstance(self.next(), yaml.StreamEndEvent):
            return None
        data = self.value(self.next(), ())
        self.next()
        if not isinstance(after := self.next(), yaml.StreamEndEvent):
            message = "not valid YAML: expected a single document, and here another one begins"
            raise self.too_much(after, message, "remove it, or make it a file of its own")
        return data

    def value(self, event: yaml.Event, path: Path) -> Any:
        self.values[path] = place = _place(event.start_mark)
        self.count += 1
        if len(path) > MAX_DEPTH:
            raise self.too_much(event, *_TOO_DEEP)
        if self.count > MAX_VALUES:
            raise self.too_much(event, f"the file holds more than {MAX_VALUES:,} values", "split it")
        self.check(event, place)
        if isinstance(event, yaml.AliasEvent):
            return None
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.scalar(event, place)

    def check(self, event: yaml.Event, place: tuple[int, int]) -> None:
        if event.anchor is not None:  # an alias names one, too
            self.problem(place, "anchors (&) and aliases (*) are not supported", "write the value out")
        elif event.tag is not None and event.tag != "!":
            self.problem(place, "tags (!) are not supported", "write a plain value")

    def sequence(self, path: Path) -> list[Any]:
        result: list[Any] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            result.append(self.value(event, (*path, len(result))))
        return result

    def mapping(self, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            place = _place(event.start_mark)
            if not isinstance(event, yaml.ScalarEvent):
                self.problem(place, "a key must be plain text")
                self.skip(event, path)
            elif (key := str(event.value)) in result:
                first = self.keys[(*path, key)][0]
                self.problem(place, f"key {key!r} stands here twice, first on line {first}", "remove one")
            else:
                self.check(event, place)
                result[key] = self.keyed((*path, key), place)
                continue
            self.skip(self.next(), path)
        return result

    def keyed(self, path: Path, place: tuple[int, int]) -> Any:
        self.keys[path] = place
        event = self.next()
        value = self.value(event, path)
        if isinstance(event, yaml.ScalarEvent) and event.start_mark.index == event.end_mark.index:
            # Nothing is written there: YAML points past it.
            self.values[path] = place
        return value

    def skip(self, event: yaml.Event, path: Path) -> None:
        """Pass over a value that has no place of its own; what is wrong inside need not be told."""
        aside = _Reader(self.file, self.next, self.count)
        aside.value(event, (*path, 0))
        self.count = aside.count

    def scalar(self, event: yaml.ScalarEvent, place: tuple[int, int]) -> Any:
        text = str(event.value)
        if _UNSTORABLE.search(text):
            self.problem(place, "the text holds a character that cannot be stored (NUL or a lone surrogate)")
            return None
        if event.style or text not in _WORDS:
            return int(text) if not event.style and _INTEGER.match(text) else text
        return _WORDS[text]

    def too_much(self, event: yaml.Event, message: str, suggestion: str) -> _TooMuch:
        return _TooMuch(FilePosition(self.file, *_place(event.start_mark)).problem(message, suggestion))

    def problem(self, place: tuple[int, int], message: str, suggestion: str = "") -> None:
        self.problems.append(Problem(self.file, *place, message, suggestion))


def _place(mark: Mark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1
