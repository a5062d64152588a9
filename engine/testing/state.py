"""The state of the hub in memory: dictionaries where PostgreSQL has tables, and what a commit does to them."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import msgspec

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.ledger.entries import GENESIS, block_hash, leaf, merkle_root
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.ports.durable import Entry, IngestOutcome, Rekey
from fieldwarden.engine.ports.hub import Lease, Pending
from fieldwarden.engine.ports.parts import Begun
from fieldwarden.engine.ports.target import Intent
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.engine.testing.aside import MemoryAside
from fieldwarden.engine.testing.footholds import MemoryFootholds
from fieldwarden.engine.testing.joins import MemoryJoins
from fieldwarden.engine.testing.locks import Locks
from fieldwarden.engine.testing.tables import Block, Dirty, PartitionRow, SourceRow

Crash = Callable[[str], None]
"""Called with a failpoint's name at each durability step; it may raise, as a crash or a lost reply would."""

Pace = Callable[[], Awaitable[None]]
"""Awaited before each statement: what others do meanwhile."""

_copy_rows = msgspec.json.Decoder(list[Contribution]).decode
_encode = msgspec.json.Encoder().encode


async def one_turn() -> None:
    await asyncio.sleep(0)  # whoever is ready does something first


def copied(record: Record) -> Record:
    """What a store gives back: equal, and nobody else's."""
    return msgspec.structs.replace(record, golden=dict(record.golden), rows=_copy_rows(_encode(record.rows)))


class MemoryState(MemoryJoins, MemoryFootholds, MemoryAside):
    """What the hub holds, and what commits do to it.

    `clock` gives µs since 1970 UTC; `crash` is told every durability step and may raise there; `pace` is how long
    each statement takes."""

    def __init__(
        self, clock: Callable[[], int] = lambda: 0, crash: Crash = lambda _: None, pace: Pace = one_turn
    ) -> None:
        super().__init__()
        self.clock = clock
        self.crash = crash
        self.pace = pace
        self.sources: dict[str, SourceRow] = {}
        """By their lane, as it is written."""
        self.records: dict[str, tuple[Record, int]] = {}
        self.crosswalk: dict[RowRef, str] = {}
        self.match_keys: dict[str, tuple[str, list[tuple[str, str]]]] = {}
        self.dirty: dict[tuple[str, str], Dirty] = {}
        self.set_aside: dict[int, SetAside] = {}
        self.released: set[int] = set()
        self.seen: set[RowRef] = set()
        self.blocks: list[Block] = []
        self.begun: list[tuple[str, int, Begun]] = []
        """New baselines, as the ledger has them: source, number, and who began it."""
        self.partitions: dict[tuple[str, str], PartitionRow] = {}
        self.announcements: dict[tuple[str, str], int] = {}
        self.rekeys: dict[RowRef, Rekey] = {}
        self.linked_at: dict[RowRef, int] = {}
        self.intended: dict[str, tuple[str, Intent]] = {}
        """By idempotency key: the target, and what is to be written there."""
        self._claimed: dict[tuple[str, str], Pending] = {}
        self.found: dict[tuple[str, str, str], set[str]] = {}
        self.told_alike: dict[tuple[str, str, str], set[str]] = {}
        self._last: dict[str, Block] = {}
        self._numbers = itertools.count(1)
        self._locks: Locks = {}
        self.live = ""
        """The hash of the live rulebook; empty: there is none, and any will do."""
        self.applying = False
        self.rulebook = ""

    @property
    def entries(self) -> list[Entry]:
        """The whole ledger, lane by lane in the order of commits."""
        return [entry for block in self.blocks for entry in block.entries]

    def known_rows(self) -> set[RowRef]:
        """Rows that are linked, or set aside."""
        return {*self.crosswalk, *(kept.row for kept in self.set_aside.values())}

    def known_since(self, row: RowRef) -> float:
        """The number under which a row became known, by its link or by what was set aside of it first."""
        linked = self.linked_at[row] if row in self.crosswalk else math.inf
        return min([linked, *(id for id, kept in self.set_aside.items() if kept.row == row)])

    def open_rekeys(self) -> set[RowRef]:
        """New keys of rows that went on under them, of which nothing has been heard since."""
        return {rekey.row for rekey in self.rekeys.values() if rekey.open}

    def record(self, id: str) -> Record:
        return copied(self.records[id][0])

    def _link(self, row: RowRef, record: str) -> None:
        if row not in self.crosswalk:
            self.linked_at[row] = next(self._numbers)
        self.crosswalk[row] = record

    def _wake(self, target: str, records: set[str]) -> None:
        for (name, _), dirty in self.dirty.items():
            if name == target and dirty.awaits in records:
                dirty.status, dirty.awaits, dirty.due = "due", None, self.clock()

    def apply(self, lease: Lease, outcome: IngestOutcome, rulebook: str) -> None:
        for record in outcome.records:
            revision = self.records[record.id][1] if record.id in self.records else 0
            self.records[record.id] = (copied(record), revision + 1)
        for row in outcome.unlinks:
            self.crosswalk.pop(row, None)
        for row, id in outcome.links:
            self._link(row, id)
        for row, id in outcome.links:
            self._wake(row.system, {id})
        for id, (entity, pairs) in outcome.match_keys.items():
            self._index(id, entity, pairs)
        if outcome.entries:
            self._append(str(lease.lane), outcome.entries, rulebook)
        self._mark(outcome)
        self._join(outcome)
        for rekey in outcome.rekeyed:
            self.rekeys[rekey.old] = rekey
        for gone, rekey in self.rekeys.items():
            if rekey.row in outcome.arrived:
                self.rekeys[gone] = replace(rekey, open=False)
        self._keep_aside(outcome)

    def _mark(self, outcome: IngestOutcome) -> None:
        mark, now = next(self._numbers), self.clock()
        for pair in outcome.dirty:
            old = self.dirty.get(pair)
            self.dirty[pair] = Dirty(mark, now, old.since if old else now, result=old.result if old else "")
        for pair in outcome.suspect:
            self.dirty.setdefault(pair, Dirty(mark, now, now))
        for (target, id), dirty in self.dirty.items():
            if dirty.status == "parked" and not {(target, id), (target, dirty.awaits)}.isdisjoint(outcome.agreed):
                dirty.status, dirty.attempts, dirty.due = "due", 0, now

    def _index(self, record: str, entity: str, pairs: list[tuple[str, str]]) -> None:
        old = self.match_keys.pop(record, None)
        for pair in old[1] if old else ():
            self.found[old[0] if old else "", *pair].discard(record)
        self.match_keys[record] = (entity, list(pairs))
        for pair in pairs:
            self.found.setdefault((entity, *pair), set()).add(record)

    def _append(self, lane: str, entries: Sequence[Entry], rulebook: str) -> None:
        last = self._last.get(lane)
        height, previous = (last.height + 1, last.hash) if last else (0, GENESIS)
        root = merkle_root([leaf(entry.record, entry.version, entry.body) for entry in entries])
        at = self.clock()
        hash_ = block_hash(lane, height, previous, root, rulebook, len(entries), at)
        block = Block(lane, height, previous, root, hash_, rulebook, at, tuple(entries))
        self._last[lane] = block
        self.blocks.append(block)
