"""The port behind which one system's rows are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fieldwarden.engine.change import Value


@dataclass(slots=True)
class Write:
    """Bring one row of one target to these values.

    `values` are in the target's own terms (codes and references translated), by field name; None is null.
    `expected` holds, for an update, what the row held when we last saw it (a field missing here is written
    only if the row's value is null), but for `unguarded` fields: those are written whatever the row holds, because what
    it holds cannot be read and its system has no say in them, so that any other value would be corrected just the same.
    `key` is None for a create. `token` is the caller's, returned as it is.
    `blocks`: fields of which none is written if the target refuses one, or if somebody has changed one.
    `large`: some text of it may be large.
    """

    token: int
    record: str
    stream: str
    operation: Literal["create", "update", "delete"]
    key: str | None
    values: dict[str, Value]
    expected: dict[str, Value] = field(default_factory=dict)
    parent_key: str | None = None
    blocks: tuple[tuple[str, ...], ...] = ()
    unguarded: frozenset[str] = frozenset()
    large: bool = False

    def torn(self, differing: Mapping[str, Value]) -> frozenset[str]:
        """The fields that were not written since somebody has changed one of their block: `differing` are those that
        do not hold what they should, with what they hold."""
        changed = {name for name, value in differing.items() if self.expected.get(name) != value}
        return frozenset(name for block in self.blocks if not changed.isdisjoint(block) for name in block)


@dataclass(slots=True)
class WriteResult:
    """What became of one write.

    - done: the row holds what we wanted, but for the fields in `differing` (field -> what it holds instead:
      somebody changed it since we looked, or the target rewrites what it is given).
    - rejected: bad data for this target (`reason` in words, no values); a dead letter.
    - missing: there is no such row any more. unknown: look it up before trying again.
    `refused`: fields that the target does not take (and why), if others were written or it does not take them either.
    `said`: the target's own words about what it refused, values and all: for the letter, for no log and no list.
    `later`: of a rejected write, that it is worth a few more tries before a person is asked.
    `holder`: of a rejected write the key of the stream's row that stands in its way, by a value that must be unique.
    """

    token: int
    status: Literal["done", "missing", "rejected", "unknown"]
    key: str | None = None  # also of a created row
    differing: dict[str, Value] = field(default_factory=dict)
    reason: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    holder: str | None = None
    said: str = field(default="", repr=False)
    later: bool = False


class Target(Protocol):
    system: str

    async def write(self, writes: Sequence[Write]) -> Sequence[WriteResult]:
        """Apply all writes, each guarded; one result per write, in any order. Raises TransientError (nothing is known
        to have been applied; writing again is safe) or TargetBusy."""

    async def close(self) -> None: ...
