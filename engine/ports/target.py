"""The port behind which one system's rows are written.

What a system can promise differs, and so it is stated (`Capabilities`): one writes two thousand rows in a transaction
and compares before it sets, another takes one call per record and may carry it out a minute after we gave up waiting.
The loop (`engine.running.delivery`) does the rest by these facts alone. docs/connectors.md says what they mean to
whoever writes a target.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fieldwarden.engine.change import Value

Operation = Literal["create", "update", "delete"]
Status = Literal["applied", "missing", "conflict", "refused", "rejected", "busy", "unknown"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a target can do.

    `batch`: writes that one call of `write` takes. `concurrency`: calls that may be under way at once, each with other
    records. `compares`: an update is made only where the row still is as we knew it (by `Write.expected`, or by
    `Write.row_version`). `creates_once`: creating twice yields one row, by an external id that is unique there.
    `settles_within`: seconds after which a call that nobody waits for any more has no effect; 0: it has none once it
    has failed, as with a transaction that was not committed. `at_once`: the results of a call come together, once all
    of it is done, so that none is settled before the others.

    >>> Capabilities().leaves_doubt
    False
    >>> Capabilities(creates_once=False).leaves_doubt
    True
    """

    batch: int = 2000
    concurrency: int = 1
    compares: bool = True
    creates_once: bool = True
    settles_within: float = 0.0
    at_once: bool = False

    @property
    def leaves_doubt(self) -> bool:
        """Whether a write without an answer may do harm if it is simply made again: then the intent is durable first,
        and what became of it is looked up."""
        return not (self.compares and self.creates_once) or self.settles_within > 0


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
    `version` is the record's. `row_version`: what the target last called the row's version (an ETag, a SyncToken, a
    lock version); "" where it never did. `repeats`: the idempotency key of the call that this one makes again, since no
    answer came; `turn` sets every other call apart from all that were answered before it.
    """

    token: int
    record: str
    stream: str
    operation: Operation
    key: str | None
    values: dict[str, Value]
    expected: dict[str, Value] = field(default_factory=dict)
    parent_key: str | None = None
    blocks: tuple[tuple[str, ...], ...] = ()
    unguarded: frozenset[str] = frozenset()
    large: bool = False
    system: str = ""
    version: int = 0
    row_version: str = ""
    repeats: str = ""
    turn: str = ""

    @property
    def idempotency_key(self) -> str:
        """What the target may know a repeated call by: made of the target, the record, its version and the call's turn.
        A call without an answer that is made again has the same, also after a restart and for a later version. One
        that was answered, as by a conflict, has had its turn: a service that keeps its answers by this key would give
        that answer again. Of several rows of one record each has its own.

        >>> Write(0, "0190-7", "customer", "create", None, {}, system="billing", version=3, turn="a1").idempotency_key
        'billing/customer/0190-7/3/create/a1'
        """
        row = (
            ""
            if self.key is None
            else f"/{hashlib.sha256(self.key.encode(errors='backslashreplace')).hexdigest()[:16]}"
        )
        turn = f"/{self.turn}" if self.turn else ""
        return self.repeats or f"{self.system}/{self.stream}/{self.record}/{self.version}/{self.operation}{row}{turn}"

    def torn(self, differing: Mapping[str, Value]) -> frozenset[str]:
        """The fields that were not written since somebody has changed one of their block: `differing` are those that
        do not hold what they should, with what they hold."""
        changed = {name for name, value in differing.items() if self.expected.get(name) != value}
        return frozenset(name for block in self.blocks if not changed.isdisjoint(block) for name in block)


@dataclass(slots=True)
class WriteResult:
    """What became of one write.

    - applied: the row holds what we wanted, but for the fields in `differing` (field -> what it holds instead:
      somebody changed it since we looked, or the target rewrites what it is given).
    - conflict: nothing was written, since the row has another `row_version` by now; `seen` if the target told what the
      row holds: then `differing` names what is not as we wanted it.
    - refused: a rule of the target forbids it, whatever the values are. rejected: bad data for this target. Either with
      a `reason` in words, without values; for a person.
    - missing: there is no such row any more.
    - busy: nothing was done, and nothing more is wanted for `pause` seconds (`Retry-After`); no failed attempt.
    - unknown: no answer; it may have happened, or may happen yet.
    `refused`: fields that the target does not take (and why), if others were written or it does not take them either.
    `said`: the target's own words about what it refused, values and all: for the letter, for no log and no list.
    `later`: of a rejected write, that it is worth a few more tries before a person is asked.
    `holder`: of a rejected write the key of the stream's row that stands in its way, by a value that must be unique.
    `row_version`: what the target calls the row's version now; "" where it has none.
    """

    token: int
    status: Status
    key: str | None = None  # also of a created row
    differing: dict[str, Value] = field(default_factory=dict)
    reason: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    holder: str | None = None
    said: str = field(default="", repr=False)
    later: bool = False
    row_version: str = ""
    seen: bool = False
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Intent:
    """A write that is about to be made, or was, and whose result is not known. `key` is its idempotency key, `row` the
    key of the row that it changes, None for a create; `values` are those that it brings."""

    key: str
    record: str
    stream: str
    operation: Operation
    row: str | None
    parent: str | None
    version: int
    values: Mapping[str, Value] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """What the target holds of an intent, `intent` being its key. `row` is the key of the row, None: there is none now;
    `values` what it holds, by field, as far as it was told."""

    intent: str
    row: str | None
    values: Mapping[str, Value] = field(default_factory=dict, repr=False)
    row_version: str = ""


class Target(Protocol):
    system: str
    capabilities: Capabilities

    def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        """Make all writes, each guarded as far as the target can; one result per write, in any order, each as soon as
        it is known. Raises TransientError or TargetBusy: the writes without a result then have none, the others keep
        theirs."""

    async def look_up(self, intents: Sequence[Intent], /) -> Sequence[Found]:
        """What became of these: a created row is found by its external id (the record's) or by a natural key among the
        intent's values, a changed one by its key. Nothing is said of what cannot be known yet. It is asked only where
        the capabilities leave a doubt."""

    async def close(self) -> None: ...


async def answers(target: Target, writes: Sequence[Write]) -> list[WriteResult]:
    """All results at once, for whoever can do nothing with the first before it has the last."""
    return [result async for result in target.write(writes)]
