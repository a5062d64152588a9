"""The hub in memory: dictionaries where PostgreSQL has tables, and commits that nobody can come between."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.delivering.settling import settle
from fieldwarden.engine.errors import Fenced
from fieldwarden.engine.ports.aside import FOR_A_STEWARD, SetAside
from fieldwarden.engine.ports.duties import SHARDS, Lane, shard_of
from fieldwarden.engine.ports.hub import ANNOUNCED_FOR, AT_ONCE, Lease, Pending, Settlement
from fieldwarden.engine.ports.parts import FIRST_BASELINE, Baseline, Begun, Part
from fieldwarden.engine.ports.target import Intent
from fieldwarden.engine.testing.aside import FOR_A_PERSON
from fieldwarden.engine.testing.ingest import MemoryIngest
from fieldwarden.engine.testing.locks import RowLocks, free
from fieldwarden.engine.testing.state import MemoryState, copied
from fieldwarden.engine.testing.tables import PartitionRow, SourceRow


class MemoryHub(MemoryState):
    """The port over that state, for simulations and for tests of the core; see MemoryState for its arguments."""

    # --- sources ---------------------------------------------------------------------------------------------

    async def lease(self, lane: Lane) -> Lease:
        await free(self._locks, [str(lane)])
        row = self.sources.setdefault(str(lane), SourceRow(lane.source))
        row.epoch += 1
        number = next(self._numbers)
        row.leased_at = number if row.swept else row.leased_at
        whole = self.sources.get(lane.source, row)
        if whole.swept:
            self._forget_seen(lane.source)
        begun = whole.baseline > FIRST_BASELINE or bool(self._read_parts(lane.source))
        return Lease(lane, row.epoch, whole.baseline, begun)

    async def take(self, source: str, parts: Sequence[str]) -> dict[str, Part]:
        taken = {}
        for name in parts:
            row = self.partitions.setdefault((source, name), PartitionRow())
            row.epoch += 1
            taken[name] = Part(row.epoch, row.position, baseline=row.baseline)
        return taken

    async def baseline(self, source: str) -> Baseline:
        row = self.sources.get(source)
        if row is None:
            return Baseline()
        heard = row.read and source not in self._behind()
        return Baseline(row.baseline, row.read, row.swept, heard, row.streams, self._read_parts(source))

    async def begin_again(self, source: str, number: int, positions: Mapping[str, str] | None, begun: Begun) -> bool:
        await free(self._locks, [name for name, lane in self.sources.items() if lane.system == source])
        row = self.sources.get(source)
        if row is not None and row.baseline >= number:
            return False
        row = self.sources.setdefault(source, SourceRow(source))
        row.baseline, row.swept, row.read = number, positions is None, False
        if positions is None:
            row.streams = ()
        self.begun.append((source, number, begun))
        row.leased_at = next(self._numbers)
        for lane in self.sources.values():
            if lane.system == source:
                lane.epoch += 1
        self._forget_seen(source)
        self._forget_until(source)
        if positions is not None:
            self._begin_parts_again(source, number, positions)
        return True

    def _begin_parts_again(self, source: str, number: int, positions: Mapping[str, str]) -> None:
        for (system, name), other in self.partitions.items():
            if system == source and name not in positions:
                other.position, other.message = None, ""
        for name, position in positions.items():
            part = self.partitions.setdefault((source, name), PartitionRow())
            part.epoch, part.position, part.message, part.baseline = part.epoch + 1, position, "", number

    async def read_until(
        self, source: str, ends: Mapping[str, str], number: int = FIRST_BASELINE, streams: Collection[str] = ()
    ) -> None:
        row = self.sources.setdefault(source, SourceRow(source))
        if row.baseline == number and not (row.read and row.streams):
            row.streams = tuple(streams)
        if not row.read and row.baseline == number:
            row.read = True
            self._forget_until(source)
            for name, end in ends.items():
                self.partitions.setdefault((source, name), PartitionRow()).until = end

    async def swept(self, source: str, number: int) -> None:
        row = self.sources[source]
        if row.baseline == number and not row.swept:
            row.swept, row.leased_at = True, 0
            self._forget_seen(source)

    async def reconsider(self, source: str) -> None:
        ambiguous = (id for id, kept in self.set_aside.items() if kept.kind in FOR_A_STEWARD)
        self.released.update(id for id in ambiguous if self.set_aside[id].row.system == source)

    def _read_parts(self, source: str) -> dict[str, int]:
        """Those that have a position, each with the number of its baseline."""
        parts = sorted((name, part) for (system, name), part in self.partitions.items() if system == source)
        return {name: part.baseline for name, part in parts if part.position}

    def _forget_seen(self, source: str) -> None:
        self.seen = {ref for ref in self.seen if ref.system != source}

    def _behind(self) -> set[str]:
        """Sources of which some partition has not come to where its first rows end."""
        return {source for (source, _), part in self.partitions.items() if part.until > (part.position or "")}

    def _forget_until(self, source: str) -> None:
        for (name, _), part in self.partitions.items():
            if name == source:
                part.until = ""

    async def announce(self, system: str, transaction: str, at: int) -> None:
        old = [each for each, then in self.announcements.items() if each[0] == system and then < at - ANNOUNCED_FOR]
        for each in old:
            del self.announcements[each]
        self.announcements[system, transaction] = at

    async def note(self, lane: Lane, state: str, message: str) -> None:
        row = self.sources.setdefault(str(lane), SourceRow(lane.source))
        row.state, row.message = state, message

    @contextlib.asynccontextmanager
    async def ingest(self, lease: Lease) -> AsyncIterator[MemoryIngest]:
        locks = RowLocks(self._locks)
        try:
            await locks.take(str(lease.lane))
            row = self.sources.get(str(lease.lane))
            if row is None or row.epoch != lease.epoch:
                raise Fenced(f"another worker took over {str(lease.lane)!r}")
            yield MemoryIngest(self, lease, locks)
        finally:
            locks.release()

    async def releasable(self, source: str, limit: int, after: int = 0) -> tuple[list[SetAside], int | None]:
        stuck, looked, found = set(), [], []
        for id in sorted(id for id, kept in self.set_aside.items() if kept.row.system == source):
            kept = self.set_aside[id]
            goes = id in self.released or kept.kind == "behind" or self._has_come(kept)
            if id > after and (id in self.released or kept.kind not in FOR_A_PERSON):
                looked.append(id)
                if goes and kept.row not in stuck:
                    found.append(replace(kept, released=id in self.released))
            if len(looked) == limit:
                break
            if (not goes or id <= after) and kept.kind != "unreadable":
                stuck.add(kept.row)
        sizes = itertools.accumulate((len(kept.payload) for kept in found), initial=0)
        given = [kept for kept, ahead in zip(found, sizes, strict=False) if ahead < AT_ONCE]
        more = given[-1].id if len(given) < len(found) else looked[-1] if len(looked) == limit else None
        return given, more

    def _has_come(self, kept: SetAside) -> bool:
        """Whether what it awaits is known."""
        row, met = kept.awaits, set()
        if kept.kind == "rekey":
            return row in self.crosswalk or row in self.open_rekeys()
        if kept.kind == "data":
            return False
        while row not in self.crosswalk and row in self.rekeys and row not in met:
            met.add(row)
            row = self.rekeys[row].row
        return row in self.crosswalk

    async def unread(self, sources: Sequence[str], mapped: Mapping[str, Collection[str]] | None = None) -> list[str]:
        behind, wanted = self._behind(), mapped or {}
        return [name for name in sources if not self._is_read(name, name in behind, wanted.get(name, ()))]

    def _is_read(self, source: str, behind: bool, mapped: Collection[str]) -> bool:
        row = self.sources.get(source, SourceRow(source))
        return row.read and row.swept and not behind and (not row.streams or set(mapped) <= set(row.streams))

    # --- targets ---------------------------------------------------------------------------------------------

    async def claim(
        self, target: str, limit: int, shards: Collection[int] = SHARDS, but: Collection[str] = ()
    ) -> list[Pending]:
        if self.rulebook and self.live not in ("", self.rulebook):
            return []
        now = self.clock()
        due = sorted(
            (dirty.due, dirty.mark, id)
            for (name, id), dirty in self.dirty.items()
            if name == target
            and shard_of(id) in shards
            and dirty.status == "due"
            and dirty.due <= now
            and id not in but
        )
        claims = []
        for _, _, id in due[:limit]:
            record, revision = self.records[id]
            dirty = self.dirty[target, id]
            claim = Pending(copied(record), revision, dirty.mark, dirty.attempts, dirty.result)
            self._claimed[target, id] = claim
            claims.append(claim)
        return claims

    async def keys(self, records: Sequence[str], system: str) -> dict[str, list[RowRef]]:
        found = {}
        for id in records:
            if id in self.records:
                refs = [row.ref for row in self.records[self.now(id)][0].rows if row.system == system and row.live]
                if refs:
                    found[id] = refs
        return found

    async def settle(self, target: str, settlements: Sequence[Settlement]) -> None:
        if not settlements:
            return
        await self.pace()
        await free(self._locks, [each.record for each in settlements])
        self.crash("delivery.before_settle_commit")
        for each in settlements:
            if each.record in self.records:
                self._settle(target, replace(each, record=self.now(each.record)))
        self.crash("delivery.after_settle")

    async def intend(self, target: str, intents: Sequence[Intent]) -> None:
        await self.pace()
        self.intended.update((each.key, (target, each)) for each in intents)

    async def intents(self, target: str, records: Sequence[str]) -> dict[str, list[Intent]]:
        found: dict[str, list[Intent]] = {}
        for name, each in self.intended.values():
            if name == target and (now := self.now(each.record)) in records:
                found.setdefault(now, []).append(each)
        return found

    def _settle(self, target: str, each: Settlement) -> None:
        links = [link for link in each.links if self.crosswalk.get(link, each.record) == each.record]
        strange = set(each.links) - set(links)
        learnt = {row: values for row, values in each.learnt.items() if row not in strange}
        for link in links:
            self._link(link, each.record)
        for key in each.answered:
            self.intended.pop(key, None)
        current, revision = self.records[each.record]
        claim = self._claimed.get((target, each.record))
        claimed = claim.record if claim and claim.revision == each.revision else None
        if claim and claimed and claim.mark == each.mark:
            del self._claimed[target, each.record]  # settled: a second verdict on it only asks for another look
        unmoved = claimed is not None and revision == each.revision
        settled = settle(
            current, current if unmoved or claimed is None else claimed, target, learnt, links, each.row_versions
        )
        if settled.rows is not None:
            current.rows = settled.rows
            self.records[each.record] = (current, revision + 1)
        self._clear(target, each, settled.clean and claimed is not None)
        if each.links or each.frees:
            self._wake(target, {each.record})

    def _clear(self, target: str, each: Settlement, clean: bool) -> None:
        dirty = self.dirty.get((target, each.record))
        if dirty is None or dirty.mark != each.mark:
            return
        awaited = self.records.get(each.awaits or "")
        linked = awaited and any(row.system == target and row.live for row in awaited[0].rows)
        if each.status == "done" and clean:
            del self.dirty[target, each.record]
            return
        dirty.due = self.clock() + int(each.delay * 1_000_000)
        dirty.status, dirty.awaits, dirty.reason = "due", None, each.reason
        if (
            each.status in ("done", "again")
            or (each.status == "wait" and linked)
            or (each.status == "park" and not clean)
        ):
            return
        equal, dirty.result = dirty.result == each.result, each.result
        if each.status == "wait":
            dirty.status, dirty.awaits = "waiting", each.awaits
            return
        dirty.attempts = dirty.attempts + 1 if equal else 1
        if each.status == "park" and (awaited is None or awaited[1] == each.awaits_at):
            dirty.status, dirty.awaits = "parked", each.awaits

    async def close(self) -> None:
        return
