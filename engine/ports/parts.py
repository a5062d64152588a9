"""How far the parts of a source are, and how the source stands to the rows that its system had to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LOG = "log"
"""What the part of a source is called that has only one."""

FIRST_BASELINE = 1
"""The number of a source's first reading of all its rows."""


@dataclass(frozen=True, slots=True)
class Part:
    """How far one part of a source is, and the epoch of whoever reads it.

    `position` is the source's own text (None: in a part that was taken, never read; in a commit, as the hub has it).
    Where the source says where its rows end (`Source.ends`), positions of a part compare as text: greater is further.
    `message` is news for people: why it stands still from here on until a person mends something; empty: it goes on.
    `baseline` is the number of the one that the position is of, as the hub tells whoever takes the part; what is
    committed is of its lease's."""

    epoch: int
    position: str | None
    message: str | None = None
    baseline: int = FIRST_BASELINE


@dataclass(frozen=True, slots=True)
class Begun:
    """Who begins a new baseline and why, in words, and when (µs since 1970 UTC); `known_by` as an act has it."""

    who: str
    why: str
    at: int
    known_by: str = ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """How a source stands to the rows that its system had to begin with.

    `number` counts how many times its rows have been read from the beginning, the present one included. It stands in
    front of every position, so that what a new baseline says is newer than all that was said before.

    `parts` are those that have been read, each with the number of the baseline that its position is of: another kind
    of source may have read the system before, under other names, and its positions do not compare with these. `told`:
    where the rows end is known; `heard`: all that stands before has come. In a new baseline of a source that says where
    its rows end, rows that were not told of once all is heard are gone (`swept`: they have been looked for). `streams`
    are those whose rows these are; empty: nobody has noted them."""

    number: int = FIRST_BASELINE
    told: bool = False
    swept: bool = True
    heard: bool = False
    streams: tuple[str, ...] = ()
    parts: Mapping[str, int] = field(default_factory=dict)
