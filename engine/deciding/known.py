"""What a batch is decided from, and what is counted on the way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from fieldwarden.engine.change import Change, RawChange, RowRef, Value
from fieldwarden.engine.deciding.identity import MatchPair, match_pairs
from fieldwarden.engine.ports.aside import Letter
from fieldwarden.engine.record import Record
from fieldwarden.rules.rulebook import Entity


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
    identified_by: Change | None = None
    """The change to identify the row by, where newer changes of it wait behind this one."""
    pairs: list[MatchPair] | None = None
    """The match pairs that it states, once asked for; None where they hang on references yet to be translated."""
    possible: Sequence[MatchPair] = ()
    """In that case, those that it may turn out to state."""
    among: int = 0
    """Of a deletion: with how many others it was told at once, where that is known beforehand; itself counted."""
    unseen: bool = False
    """Nobody told of the row when all rows were told again: this counts only if that is still so at the commit."""
    held: str = ""
    """Of a deletion: why the brake holds it."""
    leaves: bool = False
    """Whether `where` leaves the row out and nothing is known of the row that it is by now: that is a deletion."""

    @property
    def identifying(self) -> Change | None:
        """The change to identify the row by: the newest that waits behind this one, else this one."""
        return self.identified_by or self.change


@dataclass(slots=True)
class Known:
    """What the hub knows about a batch; `Decider` keeps it up to date as it goes."""

    links: dict[RowRef, str] = field(default_factory=dict)
    letters: dict[RowRef, list[Letter]] = field(default_factory=dict)
    """The changes of rows that are set aside, oldest first."""
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
    joined: dict[str, str] = field(default_factory=dict)
    """Records that this batch names and that were joined to others, with those that go on."""
    apart: Collection[frozenset[str]] = ()
    """Pairs of these records that a steward keeps apart."""
    becoming: dict[RowRef, list[RowRef]] = field(default_factory=dict)
    """By row: those that are merged into it, as this batch tells."""
    large: bool = False
    """Whether a change of the batch may hold a large text."""
    children: dict[RowRef, dict[str, Value]] = field(default_factory=dict)
    """Root rows, and what child rows of theirs in this batch state beside them."""

    def record_of(self, row: RowRef) -> str | None:
        """The record of a row that another row names, perhaps by a key that it has given up since. None if it is not
        known.

        >>> old, new = RowRef("crm", "account", "1"), RowRef("crm", "account", "2")
        >>> Known(links={new: "0190"}, next_keys={old: new}).record_of(old)
        '0190'
        """
        met = set()
        while row not in self.links and row in self.next_keys and row not in met:
            met.add(row)
            row = self.next_keys[row]
        return self.links.get(row)

    def merged(self, row: RowRef) -> list[RowRef]:
        """The rows of its stream that a row says it is by now, or waits for to be merged into."""
        found = [letter.merges for letter in self.letters.get(row, ()) if letter.merges is not None]
        record = self.records.get(self.links.get(row, ""))
        said = record.row(row) if record is not None else None
        if said is not None and said.merged:
            found.append(row._replace(key=said.merged))
        return [each for each in found if each[:2] == row[:2]]

    def translated(self, change: Change) -> dict[str, Value]:
        """What a change states, with its references as the ids of the records that they mean. A reference to a row that
        is not known yet, or to the row itself, is left out."""
        fields = dict(change.fields)
        for name, row in change.references.items():
            record = None if row == change.row else self.record_of(row)
            if record is None:
                fields.pop(name, None)  # an earlier try of this batch may have begun a record that never came to be
            else:
                fields[name] = record
        return fields

    def awaited(self, mapped: Mapped, change: Change, matching: Collection[str]) -> tuple[str, RowRef] | None:
        """A field of a change and the row that it refers to, where that is not known yet. None if all are.

        A row that is identified by a newer change of it also waits for what the match keys (`matching`) of that one
        refer to: without it the row would begin a record beside the one that it belongs to."""
        references = list(change.references.items())
        newest = mapped.identified_by
        if newest is not None and change.row not in self.links:
            references += [(name, row) for name, row in newest.references.items() if name in matching]
        return next(((name, row) for name, row in references if row != change.row and not self.record_of(row)), None)

    def stated(self, entity: Entity, mapped: Mapped, change: Change) -> list[MatchPair]:
        """The match pairs by which a row is to be found. What it refers to must be known (`awaited` gives None)."""
        if mapped.pairs is not None:
            return mapped.pairs
        said = mapped.identified_by or change
        return match_pairs(entity, self.children.get(said.row, {}) | self.translated(said))


@dataclass(slots=True)
class Tally:
    """What a batch did, for metrics: counts by kind."""

    changes: dict[str, int] = field(default_factory=dict)
    decisions: dict[tuple[str, str], int] = field(default_factory=dict)
    refusals: dict[tuple[str, str], int] = field(default_factory=dict)
    suspicious: dict[tuple[str, str], int] = field(default_factory=dict)
    """By system and claim (`engine.deciding.identity.Claim`): rows that claimed a record and were not believed."""
    echoes: int = 0
    mended: int = 0
    """Dead letters that newer changes made pointless."""
