"""A target in dictionaries, guarded by compare-and-set, with the faults that it is told."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from fieldwarden.engine.change import Value
from fieldwarden.engine.ports.target import Capabilities, Found, Intent, Write, WriteResult


def _kept(_stream: str, _name: str, value: Value) -> Value:
    return value


def _taken(_write: Write) -> str:
    return ""


def _fine(_stream: str, _name: str, _value: Value) -> str:
    return ""


def _nothing(*_: object) -> None:
    return


@dataclass(slots=True)
class TargetRow:
    values: dict[str, Value]
    record: str = ""
    parent: str | None = None


Feed = Callable[[str, str, Mapping[str, Value] | None, str], None]
"""(stream, key, the row's values after the write or None when it was deleted, the record): what a feed would tell."""


@dataclass
class MemoryTarget:
    """Rows by stream and key, written by compare-and-set as a guarded target does.

    `rewrite` is what the target makes of a value it is given; `reject` gives a reason to refuse a write ("" takes
    it), `refuse` one to refuse a field's value; `before` and `after` are called around each `write` and may raise:
    before, nothing was applied; after, all of it was, and the answer was lost. `feed` hears every row that was
    changed. Creating a record's row twice yields one row.
    """

    system: str
    rows: dict[str, dict[str, TargetRow]] = field(default_factory=dict)
    rewrite: Callable[[str, str, Value], Value] = _kept
    reject: Callable[[Write], str] = _taken
    refuse: Callable[[str, str, Value], str] = _fine
    before: Callable[[Sequence[Write]], None] = _nothing
    after: Callable[[Sequence[Write]], None] = _nothing
    feed: Feed = _nothing
    written: int = 0
    capabilities: Capabilities = field(default_factory=Capabilities)
    _keys: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        self.before(writes)
        results = [self.carry_out(write) for write in writes]
        self.after(writes)
        for result in results:
            yield result

    async def look_up(self, _intents: Sequence[Intent]) -> Sequence[Found]:
        return []  # it leaves no doubt

    async def close(self) -> None:
        return

    def carry_out(self, write: Write) -> WriteResult:
        reason = self.reject(write)
        if reason:
            return WriteResult(write.token, "rejected", reason=reason)
        refused = self._refused(write)
        if refused:
            left = {name: value for name, value in write.values.items() if name not in refused}
            if write.operation == "update" and not left:
                return WriteResult(
                    write.token, "rejected", write.key, reason=next(iter(refused.values())), refused=refused
                )
            write = replace(write, values=left)
        result = self._apply(write)
        if result.status == "applied":
            result.refused = refused
        return result

    def _refused(self, write: Write) -> dict[str, str]:
        """The fields that are not taken, with what goes with them."""
        found = {name: self.refuse(write.stream, name, value) for name, value in write.values.items()}
        refused = {name: reason for name, reason in found.items() if reason}
        for block in write.blocks:
            for name in [name for name in block if name in refused][:1]:
                refused |= {other: refused.get(other, refused[name]) for other in block if other in write.values}
        return refused

    def _apply(self, write: Write) -> WriteResult:
        rows = self.rows.setdefault(write.stream, {})
        if write.operation == "create":
            return self._create(write, rows)
        row = rows.get(write.key or "")
        if row is None:
            gone: Literal["applied", "missing"] = "applied" if write.operation == "delete" else "missing"
            return WriteResult(write.token, gone, key=write.key)
        if write.operation == "delete":
            del rows[write.key or ""]
            self.written += 1
            self.feed(write.stream, write.key or "", None, write.record)
            return WriteResult(write.token, "applied", key=write.key)
        return self._update(write, row)

    def _create(self, write: Write, rows: dict[str, TargetRow]) -> WriteResult:
        for key, row in rows.items():
            if row.record == write.record and row.parent == write.parent_key:
                return WriteResult(write.token, "applied", key=key, differing=self._differing(write, row))
        key = f"{self.system}-{next(self._keys)}"
        values = {name: self.rewrite(write.stream, name, value) for name, value in write.values.items()}
        rows[key] = TargetRow(values, write.record, write.parent_key)
        self.written += 1
        self.feed(write.stream, key, dict(values), write.record)
        return WriteResult(write.token, "applied", key=key, differing=self._differing(write, rows[key]))

    def _update(self, write: Write, row: TargetRow) -> WriteResult:
        before = dict(row.values)
        taken = {
            name
            for name, value in write.values.items()
            if name not in write.unguarded and before.get(name) not in (write.expected.get(name), value)
        }
        torn = {name for block in write.blocks if not taken.isdisjoint(block) for name in block}
        for name, value in write.values.items():
            if name not in torn and (name in write.unguarded or before.get(name) == write.expected.get(name)):
                row.values[name] = self.rewrite(write.stream, name, value)
        if row.values != before:
            self.written += 1
            self.feed(write.stream, write.key or "", dict(row.values), write.record)
        return WriteResult(write.token, "applied", key=write.key, differing=self._differing(write, row))

    def _differing(self, write: Write, row: TargetRow) -> dict[str, Value]:
        return {name: row.values.get(name) for name, value in write.values.items() if row.values.get(name) != value}
