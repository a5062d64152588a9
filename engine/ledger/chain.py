"""Is the ledger as it was written? One lane's chain of blocks, checked block by block, every break named.

The checker trusts no column. Where a hash does not fit, it looks for the one thing that explains it (this entry, that
column), so that a person is told what to look at and is not told of the same alteration twice. No break ever quotes a
value out of an entry.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import msgspec

from fieldwarden.engine.ledger.entries import (
    GENESIS,
    PEOPLE,
    block_hash,
    decode,
    decode_act,
    encode,
    encode_act,
    leaf,
    merkle_root,
)

_MANY = 1000
"""Of a block that claims far more entries than there are, no more missing ones are named."""

BreakKind = Literal[
    "entry_altered",
    "entry_missing",
    "entry_extra",
    "block_altered",
    "block_missing",
    "chain_broken",
    "replay",
    "record_differs",
    "record_missing",
]


@dataclass(frozen=True, slots=True)
class Break:
    """One thing that is not as it was written: what it is, and where, as far as that is known. No value of an entry is
    in it.

    >>> str(Break("block_missing", "block 3 is missing", "crm/0", 3))
    'lane crm/0, block 3: block 3 is missing'
    """

    kind: BreakKind
    words: str
    lane: str = ""
    height: int | None = None
    ordinal: int | None = None
    record: str = ""
    entity: str = ""
    field: str = ""

    def __str__(self) -> str:
        place = []
        if self.lane:
            place.append(f"lane {self.lane}")
        if self.height is not None:
            place.append(f"block {self.height}")
        if self.ordinal is not None:
            place.append(f"entry {self.ordinal}")
        if self.record:
            place.append(f"{self.entity or 'record'} {self.record}")
        return f"{', '.join(place)}: {self.words}" if place else self.words


@dataclass(frozen=True, slots=True)
class Block:
    """A block as stored. `at` in µs since 1970 UTC, None where it is no time at all (infinity).

    `leaves`: the entries' hashes, 32 bytes each, if the hub keeps them. The Merkle root vouches for them, and with them
    every altered entry can be named; without them only the block can, unless the entry gives itself away.
    """

    lane: str
    height: int
    previous: bytes
    root: bytes
    hash: bytes
    rulebook: str
    entries: int
    at: int | None
    leaves: bytes | None = None


class StoredEntry(NamedTuple):
    """An entry as stored."""

    ordinal: int
    record: str
    version: int
    body: bytes


class Chain:
    """One lane. Hand it the blocks in order of height, each with the entries that lie at its height."""

    def __init__(self, lane: str) -> None:
        self.lane = lane
        self.blocks = 0
        self.height = -1
        self.head = b""
        self._follows: tuple[bytes, ...] = (GENESIS,)

    def take(self, block: Block, entries: Sequence[StoredEntry]) -> list[Break]:
        """Check one block with the entries that lie at its height (in the order of their ordinals), and its place in
        the chain. Gives what is amiss; nothing if all is as it was written. Blocks must come in order of height.

        >>> empty = merkle_root([])
        >>> hashed = block_hash("crm/0", 0, GENESIS, empty, "r1", 0, 1000)
        >>> first = Block("crm/0", 0, GENESIS, empty, hashed, "r1", 0, 1000)
        >>> Chain("crm/0").take(first, [])
        []
        >>> [each.kind for each in Chain("crm/0").take(replace(first, rulebook="r2"), [])]
        ['block_altered']
        """
        leaves = [_leaf(entry) for entry in entries]
        root = merkle_root(leaves)
        hashed = _hash(block)
        breaks = self._place(block)
        culprit = ""
        if hashed != block.hash:
            culprit = self._culprit(block, root, len(entries))
            if culprit == "previous hash":
                breaks.clear()
            words = f"its {culprit} was altered" if culprit else "its hash, rulebook, time or lane was altered"
            breaks.append(self._at(block, "block_altered", words))
        if root != block.root and culprit != "Merkle root":
            breaks += self._entries(block, entries, leaves)
        else:
            breaks += self._numbers(block, entries, leaves)
        self.blocks += 1
        self.height, self.head = block.height, block.hash
        # The next block may name either: where this one's hash column was altered, that is told once, here.
        self._follows = (block.hash, hashed)
        return breaks

    def stray(self, height: int, entries: Sequence[StoredEntry]) -> list[Break]:
        """What is amiss with entries at a height at which there is no block: each belongs to none."""
        return [self._entry(height, entry, "entry_extra", "it belongs to no block") for entry in entries]

    def _place(self, block: Block) -> list[Break]:
        first = self.height + 1
        if block.height != first:
            last = block.height - 1
            which = f"block {first} is" if first == last else f"blocks {first} to {last} are"
            return [Break("block_missing", f"{which} missing", self.lane, first)]
        if block.previous not in self._follows:
            words = "it does not name the block before it as its previous one: one of the two was altered"
            if not self.blocks:
                words = "it begins the lane, but names a block before itself"
            return [self._at(block, "chain_broken", words)]
        return []

    def _culprit(self, block: Block, root: bytes, count: int) -> str:
        """The one column that, put right, makes the block's hash fit; "" if it is none of those we can know."""
        mended = {
            "Merkle root": replace(block, root=root),
            "number of entries": replace(block, entries=count),
            "previous hash": replace(block, previous=self._follows[0]),
            "height": replace(block, height=self.height + 1),
        }
        return next((name for name, whole in mended.items() if _hash(whole) == block.hash), "")

    def _entries(self, block: Block, entries: Sequence[StoredEntry], leaves: Sequence[bytes]) -> list[Break]:
        """The entries are not the ones that the root was made of: say which, as exactly as can be known."""
        listed = _split(block.leaves or b"")
        vouched = listed if merkle_root(listed) == block.root else []
        due = range(len(vouched) or min(block.entries, len(entries) + _MANY))
        there = {entry.ordinal for entry in entries}
        breaks = [
            Break("entry_missing", "it is missing", self.lane, block.height, ordinal)
            for ordinal in due
            if ordinal not in there
        ]
        for entry, hashed in zip(entries, leaves, strict=True):
            if entry.ordinal not in due:
                words = f"it is none of the block's {block.entries} entries"
                breaks.append(self._entry(block.height, entry, "entry_extra", words))
            elif vouched and hashed != vouched[entry.ordinal]:
                words = f"it stands where entry {entry.ordinal} of the block stood, and was another one"
                words = words if hashed in vouched else "it was altered"
                breaks.append(self._entry(block.height, entry, "entry_altered", words))
            elif not vouched and (len(entries) == 1 or not _readable(self.lane, entry.body)):
                breaks.append(self._entry(block.height, entry, "entry_altered", "it was altered"))
        words = f"one or more of its {len(entries)} entries were altered, exchanged or put in another order"
        return breaks or [self._at(block, "entry_altered", words)]

    def _numbers(self, block: Block, entries: Sequence[StoredEntry], leaves: Sequence[bytes]) -> list[Break]:
        """The entries are the right ones: are their numbers, and the list of their hashes?"""
        breaks = []
        for number, entry in enumerate(entries):
            if entry.ordinal != number:
                words = f"its number was altered: it is entry {number} of the block"
                breaks.append(self._entry(block.height, entry, "entry_altered", words))
        if block.leaves is not None and block.leaves != b"".join(leaves):
            breaks.append(self._at(block, "block_altered", "the list of its entries' hashes was altered"))
        return breaks

    def _at(self, block: Block, kind: BreakKind, words: str) -> Break:
        return Break(kind, words, self.lane, block.height)

    def _entry(self, height: int, entry: StoredEntry, kind: BreakKind, words: str) -> Break:
        return Break(kind, words, self.lane, height, entry.ordinal, entry.record, entity_of(entry.body))


def entity_of(body: bytes) -> str:
    """The entity that a body speaks of. "" if the body cannot be read.

    >>> entity_of(b"no entry")
    ''
    """
    try:
        return decode(body).entity
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _readable(lane: str, body: bytes) -> bool:
    try:
        return (encode_act(decode_act(body)) if lane == PEOPLE else encode(decode(body))) == body
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def _split(leaves: bytes) -> list[bytes]:
    return [leaves[at : at + 32] for at in range(0, len(leaves), 32)]


def _leaf(entry: StoredEntry) -> bytes:
    """The entry's leaf; b"" for one that could not have been hashed (a negative version)."""
    try:
        return leaf(entry.record, entry.version, entry.body)
    except struct.error:
        return b""


def _hash(block: Block) -> bytes:
    """The block's hash as its columns give it; b"" for one that could not have been hashed."""
    if block.at is None:
        return b""
    try:
        return block_hash(block.lane, block.height, block.previous, block.root, block.rulebook, block.entries, block.at)
    except struct.error:
        return b""
