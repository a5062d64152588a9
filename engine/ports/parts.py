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


@dataclass(frozen=True, slots=True)
class Baseline:
    """How a source of partitions stands to the rows that its system had to begin with.

    `told`: where they end is known; `heard`: all that stands before has come. `floor` is set by a new baseline: what
    is told since stands at or above it, and once all is heard, rows that were not told of are gone (`swept`: they have
    been looked for). `direct` is the position of whoever read the system before as one stream, whose positions do not
    compare with these. `streams` are those whose rows these are; empty: nobody has noted them."""

    floor: str = ""
    told: bool = False
    swept: bool = True
    direct: str | None = None
    heard: bool = False
    streams: tuple[str, ...] = ()
