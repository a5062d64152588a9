"""How far a PostgreSQL source has come: the opaque token that the hub stores with every batch.

`end` is the end LSN up to which every transaction is durable. While one transaction is handed over in several
batches, `final` is its commit's LSN and `ordinal` how many of its changes are durable: an LSN alone is not unique, and
a restart inside a transaction must neither lose nor repeat a row. `streams` are those whose rows have been read
from the start; one that is mapped later has a gap. `parked` are those of them whose changes are missing, since their
tables could not be followed for a while: they are read again. `server` is the source's system identifier, and
`timeline` the one that it was on (0: unknown, as in tokens of former versions).

`baseline` is the number of the baseline that is read (`engine.ports.parts`). It stands in front of every row's
position, since a baseline may be read from a server whose LSNs are lower than those read before (a restore, a new
cluster): what it says is newer all the same. Tokens of former versions call it `epoch`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from fieldwarden.engine.ports.parts import FIRST_BASELINE


@dataclass(frozen=True, slots=True)
class WalPosition:
    """A decoded token: see the module. LSNs are integers; `ordinal` 0 means that no transaction is half durable."""

    phase: Literal["snapshot", "stream"]
    end: int
    final: int = 0
    ordinal: int = 0
    streams: tuple[str, ...] = ()
    server: str = ""
    baseline: int = FIRST_BASELINE
    parked: tuple[str, ...] = ()
    timeline: int = 0

    def encode(self) -> str:
        token: dict[str, object] = {"v": 1, "phase": self.phase, "end": lsn_text(self.end)}
        if self.ordinal:
            token["partial"] = [lsn_text(self.final), self.ordinal]
        token["streams"] = self.streams
        token["server"] = self.server
        token["baseline"] = self.baseline
        if self.parked:
            token["parked"] = self.parked
        if self.timeline:
            token["timeline"] = self.timeline
        return json.dumps(token, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> WalPosition:
        """The inverse of `encode`. Raises ValueError on anything else."""
        try:
            token = json.loads(text)
            if token["v"] != 1 or token["phase"] not in ("snapshot", "stream"):
                raise ValueError("another version or phase")
            final, ordinal = token.get("partial", ("0/0", 0))
            return cls(
                token["phase"],
                parse_lsn(token["end"]),
                parse_lsn(final),
                int(ordinal),
                tuple(token["streams"]),
                token["server"],
                int(token.get("baseline", token.get("epoch", FIRST_BASELINE))),
                tuple(token.get("parked", ())),
                int(token.get("timeline", 0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a position of a PostgreSQL source: {error}") from error

    @classmethod
    def known(cls, text: str | None) -> WalPosition | None:
        """The position that is stored; None where there is none, or what is there cannot be read."""
        try:
            return None if text is None else cls.decode(text)
        except ValueError:
            return None


def lsn_text(lsn: int) -> str:
    """PostgreSQL's way of writing an LSN: 16/B374D848."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def row_prefix(baseline: int, final_lsn: int) -> str:
    """What the positions of one transaction's changes begin with."""
    return f"{baseline:04X}.{final_lsn:016X}."


def row_position(baseline: int, final_lsn: int, ordinal: int) -> str:
    """Where one change stands in its stream; as text, greater is newer. A snapshot's rows have ordinal 0."""
    return f"{row_prefix(baseline, final_lsn)}{ordinal:08X}"
