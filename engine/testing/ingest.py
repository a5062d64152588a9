"""One ingest transaction of the hub in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.errors import IdentityMoved, PartitionLost, RulesChanged
from fieldwarden.engine.ports.aside import Letter
from fieldwarden.engine.ports.durable import Duplicate, IngestOutcome
from fieldwarden.engine.ports.hub import NO_PARTS, Lease
from fieldwarden.engine.ports.parts import Part
from fieldwarden.engine.record import Record
from fieldwarden.engine.testing.locks import RowLocks
from fieldwarden.engine.testing.state import MemoryState
from fieldwarden.engine.testing.tables import PartitionRow


class MemoryIngest:
    """Each statement sees the hub as it is by then: others commit between two of them. Nothing is written before
    `commit`, which writes all or nothing; what was locked stays so until the transaction ends."""

    def __init__(self, hub: MemoryState, lease: Lease, held: RowLocks) -> None:
        self._hub = hub
        self._lease = lease
        self._held = held
        self._saw: set[RowRef] = set()
        self.applying, self.joins, self.parted = hub.applying, bool(hub.joined), bool(hub.apart)

    async def links(self, rows: Sequence[RowRef]) -> dict[RowRef, str]:
        await self._hub.pace()
        crosswalk = self._hub.crosswalk
        return {row: crosswalk[row] for row in rows if row in crosswalk}

    async def letters(self, rows: Sequence[RowRef]) -> dict[RowRef, list[Letter]]:
        await self._hub.pace()
        wanted = set(rows)
        ids = [id for id, kept in sorted(self._hub.set_aside.items()) if kept.row in wanted]
        for id in ids:
            await self._held.take(id)
        found: dict[RowRef, list[Letter]] = {}
        for id in ids:
            if kept := self._hub.set_aside.get(id):
                found.setdefault(kept.row, []).append(Letter(id, kept.kind, kept.position, kept.moves, kept.awaits))
        return found

    async def matches(self, entity: str, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
        await self._hub.pace()
        return self._matches(entity, keys)

    def _matches(self, entity: str, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
        found = {key: sorted(self._hub.found.get((entity, *key), ())) for key in keys}
        return {key: ids for key, ids in found.items() if ids}

    async def records(self, ids: Sequence[str], at_hand: Iterable[str] = ()) -> dict[str, Record]:
        del at_hand
        await self._hub.pace()
        known = sorted(self._hub.records.keys() & set(ids))
        for id in known:
            await self._held.take(id)
        return {id: self._hub.record(id) for id in known}

    async def announced(self, system: str, transactions: Sequence[str]) -> dict[str, int]:
        await self._hub.pace()
        known = self._hub.announcements
        return {name: known[system, name] for name in transactions if (system, name) in known}

    async def still_aside(self, ids: Sequence[int]) -> set[int]:
        await self._hub.pace()
        for id in sorted(ids):
            await self._held.take(id)
        return self._hub.set_aside.keys() & set(ids)

    async def rekeyed(self, rows: Sequence[RowRef]) -> set[RowRef]:
        await self._hub.pace()
        return self._hub.open_rekeys().intersection(rows)

    async def departed(self, rows: Sequence[RowRef]) -> dict[RowRef, str]:
        await self._hub.pace()
        return {row: self._hub.rekeys[row].position for row in rows if row in self._hub.rekeys}

    async def next_keys(self, rows: Sequence[RowRef]) -> dict[RowRef, RowRef]:
        await self._hub.pace()
        return {row: self._hub.rekeys[row].row for row in rows if row in self._hub.rekeys}

    async def joined(self, ids: Sequence[str]) -> dict[str, str]:
        await self._hub.pace()
        return {id: self._hub.joined[id] for id in ids if id in self._hub.joined}

    async def apart(self, ids: Sequence[str]) -> set[frozenset[str]]:
        await self._hub.pace()
        return {pair for pair in self._hub.apart if pair <= set(ids)}

    async def rows_of(self, system: str, stream: str, after: str | None, limit: int) -> list[RowRef]:
        await self._hub.pace()
        known = sorted(row for row in self._hub.known_rows() if row[:2] == (system, stream))
        return [row for row in known if after is None or row.key > after][:limit]

    async def live(self, system: str, stream: str) -> int:
        await self._hub.pace()
        linked = [record for row, record in self._hub.crosswalk.items() if row[:2] == (system, stream)]
        return sum(not self._hub.records[record][0].retired for record in linked)

    async def saw(self, rows: Sequence[RowRef]) -> set[RowRef]:
        await self._hub.pace()
        fresh = set(rows) - self._hub.seen - self._saw
        self._saw |= fresh
        return fresh

    async def unseen(self, rows: Sequence[RowRef]) -> set[RowRef]:
        await self._hub.pace()
        hub, source = self._hub, self._lease.source
        began = hub.sources[source].leased_at
        known = {row for row in rows if row.system == source and hub.known_since(row) < began}
        return known - hub.seen - self._saw

    async def commit(
        self,
        outcome: IngestOutcome,
        *,
        rulebook: str,
        changes: int = 0,
        echoes: int = 0,
        state: str | None = None,
        message: str = "",
        parts: Mapping[str, Part] = NO_PARTS,
    ) -> Sequence[Duplicate]:
        hub = self._hub
        await hub.pace()
        hub.crash("ingest.before_write")
        if rulebook and hub.live not in ("", rulebook):
            raise RulesChanged("other rules than those that this batch was decided by are live now")
        self._check_parts(parts)
        for entity, asked in outcome.asked.items():
            if {pair: list(ids) for pair, ids in asked.items() if ids} != self._matches(entity, asked):
                raise IdentityMoved(f"another lane has created a {entity} that this batch looked for")
        hub.crash("ingest.before_commit")
        hub.apply(self._lease, outcome, rulebook)
        duplicates = self._duplicates(outcome)
        hub.seen |= self._saw
        for name, part in parts.items():
            self._move(hub.partitions[self._lease.source, name], part)
        source = hub.sources[str(self._lease.lane)]
        source.changes += changes
        source.echoes += echoes
        if state is not None:
            source.state, source.message = state, message
            source.read = state == "streaming" or (source.read and state != "snapshot")
        hub.crash("ingest.after_commit")
        return duplicates

    def _move(self, row: PartitionRow, part: Part) -> None:
        if part.position:
            row.position, row.baseline = part.position, self._lease.baseline
        row.message = row.message if part.message is None else part.message

    def _duplicates(self, outcome: IngestOutcome) -> list[Duplicate]:
        hub = self._hub
        told = {(entity, *pair) for entity, pairs in outcome.match_keys.values() for pair in pairs}
        found = set()
        for entity, name, value in told:
            alike = tuple(id for id in sorted(hub.found[entity, name, value]) if not hub.records[id][0].retired)
            if len(alike) > 1 and not hub.told_alike.get((entity, name, value), set()).issuperset(alike):
                found.add(Duplicate(entity, name, alike))
            hub.told_alike[entity, name, value] = set(alike)
        for pair, ids in hub.told_alike.items():
            ids &= hub.found[pair]
        return sorted(found)

    def _check_parts(self, parts: Mapping[str, Part]) -> None:
        for name, part in parts.items():
            if self._hub.partitions[self._lease.source, name].epoch != part.epoch:
                raise PartitionLost(f"another worker reads {name} now")
