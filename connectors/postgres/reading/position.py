"""How far a PostgreSQL source has come: the opaque token that the hub stores with every batch.

`end` is the end LSN up to which every transaction is durable. While one transaction is handed over in several
batches, `final` is its commit's LSN and `ordinal` how many of its changes are durable: an LSN alone is not unique, and
a restart inside a transaction must neither lose nor repeat a row. `streams` are those whose rows have been read
from the start; one that is mapped later has a gap. `parked` are those of them whose changes are missing, since their
tables could not be followed for a while: they are read again. `server` is the source's system identifier.

`epoch` counts the baselines. It stands in front of every row's position, since a baseline may be read from a server
whose LSNs are lower than those read before (a restore, a new cluster): what it says is newer all the same.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Literal

FIRST_EPOCH = 1
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class WalPosition:
    """A decoded token: see the module. LSNs are integers; `ordinal` 0 means that no transaction is half durable."""

    phase: Literal["snapshot", "stream"]
    end: int
    final: int = 0
    ordinal: int = 0
    streams: tuple[str, ...] = ()
    server: str = ""
    epoch: int = FIRST_EPOCH
    parked: tuple[str, ...] = ()

    def encode(self) -> str:
        token: dict[str, object] = {"v": 1, "phase": self.phase, "end": lsn_text(self.end)}
        if self.ordinal:
            token["partial"] = [lsn_text(self.final), self.ordinal]
        token["streams"] = self.streams
        token["server"] = self.server
        token["epoch"] = self.epoch
        if self.parked:
            token["parked"] = self.parked
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
                int(token.get("epoch", FIRST_EPOCH)),
                tuple(token.get("parked", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a position of a PostgreSQL source: {error}") from error


def lsn_text(lsn: int) -> str:
    """PostgreSQL's way of writing an LSN: 16/B374D848."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def next_epoch(stored: str | None) -> int:
    """The epoch of a baseline that begins now, after the `stored` position.

    Where that cannot be read, the days since 1970: far above what counting baselines ever comes to, and with room in
    the four digits to count on from there."""
    if stored is None:
        return FIRST_EPOCH
    try:
        return WalPosition.decode(stored).epoch + 1
    except ValueError:
        return int(time.time()) // _DAY


def row_prefix(epoch: int, final_lsn: int) -> str:
    """What the positions of one transaction's changes begin with."""
    return f"{epoch:04X}.{final_lsn:016X}."


def row_position(epoch: int, final_lsn: int, ordinal: int) -> str:
    """Where one change stands in its stream; as text, greater is newer. A snapshot's rows have ordinal 0."""
    return f"{row_prefix(epoch, final_lsn)}{ordinal:08X}"
