"""The port behind which one system's committed changes are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.ports.forged import NONE, Forged
from fieldwarden.engine.ports.parts import FIRST_BASELINE, Part

Phase = Literal["running", "done"] | None
"""Of a source that reads its rows by itself: they are being read, or with this batch all have been."""


@dataclass(slots=True)
class Batch:
    """What a source hands over at once; committing its `parts` with it makes all of it durable.

    `changes` stand in the order in which they happened to each row: a list, or a `Block` where the source has them by
    columns.

    `parts` says how far each part is with this batch, fenced by the epoch under which it was taken. Every part that a
    change is of stands there, with the position None where it is no further. `streams`: of a snapshot that does not
    read all of them, those that it reads. `parked`: streams that cannot be followed for the moment, while all others
    are, with why and what to do. `partial`: its last transaction goes on in the next batch. `forged`: transactions of
    which somebody says, by a mark that is not ours, that we wrote them."""

    changes: Sequence[RawChange]
    parts: dict[str, Part]
    snapshot: Phase = None
    lag_bytes: int | None = None
    streams: tuple[str, ...] = ()
    parked: Mapping[str, str] = field(default_factory=dict)
    partial: bool = False
    forged: Forged = NONE


Take = Callable[[Sequence[str]], Awaitable[dict[str, Part]]]
"""`Hub.take` of one source."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a look found of one row: `image` shows it (an "observe"), or it is not there (None).

    `position` is the look's place among the changes of this row: of what the source tells of the row, nothing that was
    done before the look is greater, and all that is done after it is. A version `7` that is the row's last, for
    example, gives `7!`: greater than `7`, less than `8`. "": the source cannot say. The look is then taken to stand
    behind all that was told of the row before it was asked for: right where one lane alone tells of the row."""

    row: RowRef
    image: RawChange | None
    position: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """With what a source is opened. `baseline` is the present one's number, which stands in front of the positions of
    all that is told.

    `take` takes over parts by name, when the source is opened and whenever it is given others: after that, whoever had
    them can commit nothing more of them. It tells how far each is durable. A part without a position, or whose position
    is of a baseline before (`is_new_to`), is read from the beginning of its rows.

    >>> part = Part(epoch=3, position="17", baseline=1)
    >>> Start(take=None, baseline=2).is_new_to(part), Start(take=None, baseline=1).is_new_to(part)
    (True, False)
    """

    take: Take
    baseline: int = FIRST_BASELINE

    def is_new_to(self, part: Part) -> bool:
        """Whether the baseline has begun, and nothing of it is durable in this part, which was read before."""
        return part.position is not None and part.baseline < self.baseline


class Source(Protocol):
    """One system's committed changes. Each part of it is an ordered stream; what is of one row stays in one part.

    Where only one worker at a time reads a system there may be one part (`engine.ports.parts.LOG`), or one per object;
    the partitions of a Kafka topic are shared by all workers.

    A change names the columns that it speaks of: all others are UNKNOWN, and stay as they were. A null that it names is
    a null. A change may be a hint, which says nothing but that its row may have changed; the row is then looked at."""

    system: str

    async def open(self, start: Start) -> None:
        """Go on where the parts are durable, or with all rows first (see Start). Raises SourceGap, EnvironmentUnfit,
        TransientError."""

    async def ends(self, baseline: int) -> Mapping[str, str] | None:
        """Where each part ends now, as positions of a baseline of this number that begins there: what stands before is
        passed over, and every row is told once more behind it. None: the source reads its rows by itself.

        It may be asked while the source is closed. Raises EnvironmentUnfit, SchemaDrift, TransientError; then no
        baseline begins, and it is asked again after a pause."""

    def batches(self) -> AsyncIterator[Batch]:
        """Whatever has queued, as soon as there is any, bounded in changes and bytes. Empty batches only move
        the positions on. Raises TransientError when the connection is lost, SchemaDrift, SourceGap."""

    async def acknowledge(self, batch: Batch) -> None:
        """`batch`, and all before it, is durable in the hub: the source may forget everything up to it."""

    async def again(self, raw: RawChange) -> RawChange:
        """A change that could not be decoded, tried again (the same, if in vain). Raises TransientError."""

    async def look(self, rows: Sequence[RowRef]) -> Sequence[Observation]:
        """What these rows (each named once, a few hundred at most) hold now, as the system says itself: one observation
        of each, in any order. Nothing is said of rows that cannot be asked for. Only while it is open.

        Raises EnvironmentUnfit, TransientError; then nothing is known of any of them, and it is asked again."""

    async def close(self) -> None: ...
