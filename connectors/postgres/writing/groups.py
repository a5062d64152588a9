"""Writes sorted into groups that one statement can apply, in an order that foreign keys allow; and their COPY text.

Rows are created before the rows that refer to them (a parent before its children), then updates, and deletes last in
the opposite order. A group of creates carries the same fields throughout, so that a field nobody knows is left to the
column's default; a group of updates carries every field that one of its writes asks for, each row saying which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fieldwarden.connectors.postgres.writing.shapes import identifying
from fieldwarden.connectors.postgres.writing.wide import WIDE
from fieldwarden.engine.change import Value, key_parts
from fieldwarden.engine.guard import GuardViolation, Operation, writable
from fieldwarden.engine.ports.target import Write, WriteResult
from fieldwarden.rules.rulebook import Stream, System

LIMIT = 2_000
"""Writes per group: bounds what one statement holds, and what isolating bad rows among them costs."""

_PIECE = 1 << 20
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(slots=True)
class Group:
    stream: Stream
    operation: Operation
    fields: tuple[str, ...]
    writes: list[Write]
    unguarded: frozenset[str] = frozenset()
    """Fields that are written whatever the rows hold."""
    blocks: frozenset[tuple[str, ...]] = frozenset()
    """Fields that are written together: none of a row's where another of them is not as expected."""
    part: int = 0
    """Which of the stream's temporary tables carries the fields (`wide`)."""


def depths(system: System) -> dict[str, int]:
    """Stream -> how many streams its rows refer to, one behind the other (a cycle counts where it is entered)."""
    result: dict[str, int] = {}

    def depth(name: str, path: frozenset[str]) -> int:
        if name in result:
            return result[name]
        stream = system.streams[name]
        needed = {mapping.reference for mapping in stream.fields.values()} | {stream.parent}
        open_ones = {other for other in needed if other in system.streams and other not in path} - {name, None}
        found = max((depth(other, path | {name}) + 1 for other in open_ones if other is not None), default=0)
        if not path:
            result[name] = found
        return found

    for name in system.streams:
        depth(name, frozenset())
    return result


def arrange(system: System, depth: dict[str, int], writes: Sequence[Write]) -> tuple[list[Group], list[WriteResult]]:
    """The groups in the order in which to apply them, and answers to writes that nothing is sent for.

    Raises GuardViolation where a write is outside what the rulebook allows."""
    collected: dict[tuple[str, str, frozenset[str], int], list[Write]] = {}
    shapes: dict[tuple[str, str, tuple[str, ...], frozenset[str]], list[Write]] = {}
    rejected: list[WriteResult] = []
    allowed = _Allowed(system)
    for write in writes:
        creating = write.operation == "create"
        shape = (write.stream, write.operation, tuple(write.values), write.unguarded)
        members = shapes.get(shape)
        if members is None:
            allowed.check(write)
            # An unguarded write needs a statement of its own; nearly no write is one.
            told_apart = frozenset(write.values) if creating else write.unguarded
            place = (write.stream, write.operation, told_apart, _part(system.streams[write.stream], write))
            members = shapes[shape] = collected.setdefault(place, [])
        if write.key is None and not creating:
            raise allowed.violation(write, "names no row")
        if creating and (reason := allowed.unready(write)):
            rejected.append(WriteResult(write.token, "rejected", reason=reason))
            continue
        members.append(write)
    groups = [
        group
        for (name, *_), members in collected.items()
        if members
        for start in range(0, len(members), LIMIT)
        for group in _group(system.streams[name], members[start : start + LIMIT])
    ]
    phase = {"create": 0, "update": 1, "delete": 2}
    groups.sort(key=lambda g: (phase[g.operation], depth[g.stream.name] * (-1 if g.operation == "delete" else 1)))
    return groups, rejected


def _blank(value: Value) -> bool:
    return isinstance(value, str) and not value.strip()


class _Allowed:
    """The write sets of the streams met so far."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._sets: dict[tuple[str, str], frozenset[str]] = {}
        self._identifying = {name: identifying(stream) for name, stream in system.streams.items()}

    def check(self, write: Write) -> None:
        place = (write.stream, write.operation)
        fields = self._sets.get(place)
        if fields is None:
            fields = self._sets[place] = self._of(write)
        if write.operation != "delete" and not write.values.keys() <= fields:
            names = ", ".join(sorted(write.values.keys() - fields))
            raise self.violation(write, f"carries {names}, which is not in the stream's {write.operation} set")

    def unready(self, write: Write) -> str:
        """Why a row cannot be created yet ("": it can be)."""
        stream = self._system.streams[write.stream]
        if write.parent_key is None and stream.parent_columns:
            return f"its row in {stream.parent} has no key here yet"
        fields = self._identifying[write.stream]
        blank = bool(fields) and not stream.parent_columns
        for field in fields:
            value = write.values.get(field)
            if value is None:
                return f"{field} has no value, but it identifies the row"
            blank = blank and _blank(value)
        if blank:
            # Nothing could tell it from any other such row, nor find it again: a second record would come of it.
            names, verb = " and ".join(fields), "is" if len(fields) == 1 else "are"
            return f"{names} {verb} blank, but {'it identifies' if len(fields) == 1 else 'they identify'} the row"
        return ""

    def _of(self, write: Write) -> frozenset[str]:
        stream = self._system.streams.get(write.stream)
        if stream is None:
            raise self.violation(write, "names a stream the system does not have")
        if write.operation == "create" and not stream.creates:
            raise self.violation(write, "is not allowed: the stream is not declared `create: true`")
        if write.operation == "delete" and stream.on_retire != "delete":
            raise self.violation(write, "is not allowed: the stream is not declared `on_retire: delete`")
        return writable(stream, write.operation)

    def violation(self, write: Write, what: str) -> GuardViolation:
        return GuardViolation(
            f"a {write.operation} for {self._system.name} {write.stream} {what}; nothing was sent",
            suggestion="this is a defect in Fieldwarden: the plan and the rulebook's write sets disagree",
            path=f"{self._system.name}.{write.stream}",
        )


def _group(stream: Stream, writes: list[Write]) -> Iterable[Group]:
    operation = writes[0].operation
    if operation == "delete":
        return [Group(stream, operation, (), writes)]
    asked = writes[0].values.keys() if operation == "create" else set().union(*(w.values for w in writes))
    order = stream.create_fields if operation == "create" else stream.update_fields
    fields = tuple(name for name in order if name in asked)
    blocks = frozenset(block for write in writes for block in write.blocks) if operation == "update" else frozenset()
    return [Group(stream, operation, fields, writes, writes[0].unguarded, blocks, _part(stream, writes[0]))]


def _part(stream: Stream, write: Write) -> int:
    if write.operation != "update" or len(stream.update_fields) <= WIDE:
        return 0
    return min((stream.update_fields.index(name) for name in write.values), default=0) // WIDE


def alike(stream: Stream, writes: Sequence[Write]) -> list[Group]:
    """Writes of one stream and operation, in groups."""
    sets: dict[frozenset[str], list[Write]] = {}
    for write in writes:
        sets.setdefault(frozenset(write.values) if write.operation == "create" else frozenset(), []).append(write)
    return [group for members in sets.values() for group in _group(stream, members)]


def rows(group: Group, first: int) -> list[list[str | None]]:
    """The temporary table's rows, aligned with ord and `Statement.input_columns`; numbered from `first`."""
    stream, fields = group.stream, group.fields
    if group.operation == "create":
        if not stream.external_id and not stream.parent_columns:
            return [
                [str(number), *map(write.values.__getitem__, fields)]
                for number, write in enumerate(group.writes, first)
            ]
        return [
            [*_heads(stream, write, number), *map(write.values.__getitem__, fields)]
            for number, write in enumerate(group.writes, first)
        ]
    result: list[list[str | None]] = []
    width = len(stream.key)
    for number, write in enumerate(group.writes, first):
        row: list[str | None] = [str(number)]
        if width == 1:
            row.append(write.key)
        else:
            row += _parts(stream, write.key, width)
        values, expected = write.values, write.expected.get
        for name in fields:
            if name in values:
                row += ("t", values[name], expected(name))
            else:
                row += ("f", None, None)
        result.append(row)
    return result


def _heads(stream: Stream, write: Write, number: int) -> list[str]:
    """What a created row gets besides its fields."""
    heads = [str(number), write.record] if stream.external_id else [str(number)]
    if stream.parent_columns:
        heads += _parts(stream, write.parent_key, len(stream.parent_columns))
    return heads


def _parts(stream: Stream, key: str | None, width: int) -> tuple[str, ...]:
    try:
        parts = key_parts(key or "", width)
    except json.JSONDecodeError:
        parts = ()
    if len(parts) != width:
        raise GuardViolation(f"a key for {stream.system} {stream.name} does not have its {width} parts")
    return parts


def copy_pieces(row: Sequence[str | None]) -> Iterator[bytes]:
    """A row in the same format, in pieces: for large values."""
    for place, value in enumerate(row):
        if place:
            yield b"\t"
        if value is None:
            yield b"\\N"
            continue
        for start in range(0, len(value), _PIECE):
            yield value[start : start + _PIECE].translate(_ESCAPES).encode()
    yield b"\n"


def copy_text(rows: Sequence[Sequence[str | None]]) -> str:
    """Rows in COPY's text format: null is \\N, an empty string is empty, and every other character is itself.

    Nearly no batch holds a character that needs escaping, so all are joined first and counted afterwards."""
    if not rows:
        return ""
    lines, nulls = [], 0
    for row in rows:
        if None in row:
            nulls += row.count(None)
            lines.append("\t".join(["\\N" if value is None else value for value in row]))
        else:
            lines.append("\t".join(row))  # type: ignore[arg-type]
    text = "\n".join(lines) + "\n"
    if (
        text.count("\\") == nulls
        and text.count("\t") == len(rows) * (len(rows[0]) - 1)
        and text.count("\n") == len(rows)
        and "\r" not in text
    ):
        return text
    return "".join(["\t".join(["\\N" if v is None else v.translate(_ESCAPES) for v in row]) + "\n" for row in rows])
