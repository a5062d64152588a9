"""The port behind which one system's committed changes are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.ports.forged import NONE, Forged
from fieldwarden.engine.ports.parts import FIRST_BASELINE, Part


@dataclass(slots=True)
class Batch:
    """What a source hands over at once; committing `position` with it makes all of it durable.

    A source of many partitions has none of its own: `parts` says how far each is with this batch, fenced by its own
    epoch. `streams`: of a snapshot that does not read all of them, those that it reads. `parked`: streams that cannot
    be followed for the moment, while all others are, with why and what to do. `partial`: its last transaction goes on
    in the next batch. `forged`: transactions of which somebody says, by a mark that is not ours, that we wrote them."""

    changes: list[RawChange]
    position: str
    snapshot: Literal["running", "done"] | None = None
    lag_bytes: int | None = None
    streams: tuple[str, ...] = ()
    parts: dict[str, Part] = field(default_factory=dict)
    parked: Mapping[str, str] = field(default_factory=dict)
    partial: bool = False
    forged: Forged = NONE


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
    """From where a source is opened: after `position`, the last that is durable (None: none is).

    `baseline` is the present one's number, which stands in front of the positions of all that is told. `anew`: it has
    begun, and all rows are to be read, whatever `position` says; that is where the one before stood."""

    position: str | None = None
    baseline: int = FIRST_BASELINE
    anew: bool = False


class Source(Protocol):
    """One ordered stream of committed changes out of one system.

    A change names the columns that it speaks of: all others are UNKNOWN, and stay as they were. A null that it names is
    a null. A change may be a hint, which says nothing but that its row may have changed; the row is then looked at."""

    system: str

    async def open(self, start: Start) -> None:
        """Go on from `start`; without a position, or `anew`, begin with a snapshot. Raises SourceGap, EnvironmentUnfit,
        TransientError."""

    async def ends(self, baseline: int) -> Mapping[str, str] | None:
        """Where each part ends now, as positions of a baseline of this number that begins there: what stands before is
        passed over, and every row is told once more behind it. None: the source reads its rows by itself.

        It may be asked while the source is closed. Raises EnvironmentUnfit, SchemaDrift, TransientError; then no
        baseline begins, and it is asked again after a pause."""

    def batches(self) -> AsyncIterator[Batch]:
        """Whatever has queued, as soon as there is any, bounded in changes and bytes. Empty batches only move
        the position on. Raises TransientError when the connection is lost, SchemaDrift, SourceGap."""

    async def acknowledge(self, batch: Batch) -> None:
        """`batch`, and all before it, is durable in the hub: the source may forget everything up to it."""

    async def again(self, raw: RawChange) -> RawChange:
        """A change that could not be decoded, tried again (the same, if in vain). Raises TransientError."""

    async def look(self, rows: Sequence[RowRef]) -> Sequence[Observation]:
        """What these rows (each named once, a few hundred at most) hold now, as the system says itself: one observation
        of each, in any order. Nothing is said of rows that cannot be asked for. Only while it is open.

        Raises EnvironmentUnfit, TransientError; then nothing is known of any of them, and it is asked again."""

    async def close(self) -> None: ...
