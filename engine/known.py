"""What a batch is decided from, and what is counted on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.change import Change, RawChange, RowRef, Value
from engine.identity import MatchPair
from engine.record import Record


@dataclass(slots=True)
class Mapped:
    """A raw change beside what it means, or why it cannot be mapped."""

    raw: RawChange
    row: RowRef
    entity: str
    change: Change | None
    refused: str = ""
    release: int = 0
    """The id of the set-aside change that this one is, when it is tried again."""
    identified_by: Mapping[str, Value] | None = None
    """What to identify the row by, where newer changes of it wait behind this one."""
    pairs: list[MatchPair] | None = None
    """The match pairs that it states, once asked for; None where they hang on references yet to be translated."""


@dataclass(slots=True)
class Known:
    """What the hub knows about a batch; `Decider` keeps it up to date as it goes."""

    links: dict[RowRef, str] = field(default_factory=dict)
    blocked: set[RowRef] = field(default_factory=set)
    rekeyed: set[RowRef] = field(default_factory=set)
    """Rows that have taken their key, of those whose changes may come before the word of it."""
    departed: dict[RowRef, str] = field(default_factory=dict)
    """Keys that were given up, and where: up to there, nothing of them is news."""
    next_keys: dict[RowRef, RowRef] = field(default_factory=dict)
    """Rows named by others that are not linked under this key, and the key that each went on under."""
    records: dict[str, Record] = field(default_factory=dict)
    matches: dict[str, dict[MatchPair, list[str]]] = field(default_factory=dict)
    """By entity: which records carry a match pair."""
    asked: dict[str, dict[MatchPair, tuple[str, ...]]] = field(default_factory=dict)
    """The same as it was found, where another lane may be creating such records meanwhile."""

    def record_of(self, row: RowRef) -> str | None:
        """The record of a row that another names, perhaps by a key that it has given up since."""
        met = set()
        while row not in self.links and row in self.next_keys and row not in met:
            met.add(row)
            row = self.next_keys[row]
        return self.links.get(row)


@dataclass(slots=True)
class Tally:
    """What a batch did, for metrics: counts by kind."""

    changes: dict[str, int] = field(default_factory=dict)
    decisions: dict[tuple[str, str], int] = field(default_factory=dict)
    refusals: dict[tuple[str, str], int] = field(default_factory=dict)
    echoes: int = 0
