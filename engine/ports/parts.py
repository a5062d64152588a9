"""How far the partitions of a source are, and how the source stands to the rows that its system had to begin with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """How far one partition of a source is, and the epoch of whoever reads it.

    `position` compares as text: greater is further (None: never read). `message` is news for people: why it stands
    still from here on until a person mends something; empty: it goes on."""

    epoch: int
    position: str | None
    message: str | None = None


FIRST_BASELINE = 1
"""The number of a source's first reading of all its rows."""


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

    `parts`: a partition has a position, which does not compare with those of a source that reads the system as one
    stream. The rest is of sources of partitions. `told`: where the rows end is known; `heard`: all that stands before
    has come. In a new baseline, once all is heard, rows that were not told of are gone (`swept`: they have been looked
    for). `direct` is the position of whoever read the system before as one stream, whose positions do not compare with
    these. `streams` are those whose rows these are; empty: nobody has noted them."""

    number: int = FIRST_BASELINE
    told: bool = False
    swept: bool = True
    direct: str | None = None
    heard: bool = False
    streams: tuple[str, ...] = ()
    parts: bool = False
