"""From the hub to a target: one delivery loop per target, or several that share its shards.

    hub.claim -> plan -> target.write -> hub.settle

A write is guarded and safe to repeat, so a crash anywhere ends in planning the same delivery again. What a field
holds instead of what was wanted is either somebody's newer edit (its change is on its way: wait for it) or the
target's habit of rewriting values (after a few equal attempts the record is parked with that reason).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec
import structlog

from engine import failpoints
from engine.change import RowRef, Value
from engine.errors import FieldwardenError
from engine.mapping import inward
from engine.plan import TargetPlan, wanted
from engine.ports import Hub, Pending, Settlement, Target, Write, WriteResult
from engine.record import Record
from engine.retry import backoff, judge
from engine.settle import overlaid
from engine.sharing import SHARDS
from engine.telemetry import Telemetry
from engine.wake import Wake, pause
from rules.rulebook import Rulebook, Stream

log = structlog.get_logger(__name__)

ATTEMPTS = 4
"""Equal attempts after which a delivery is parked."""
_PASSES = 4
_SLOWEST = 30.0
_LIMIT = 2000
_POLL = 0.5
_REMEMBERED = 20_000
_NOTHING: dict[str, Value] = {}


class _Job:
    """One claimed record on its way: what the target's rows are known to hold, and what came of it so far.

    Nearly all jobs are one plain write that does what it should, so what they do not need is not made."""

    held: Mapping[RowRef, Mapping[str, Value]] = MappingProxyType({})
    links: Sequence[RowRef] = ()
    expected: Mapping[tuple[str, str], Value] = MappingProxyType({})
    differing: Mapping[tuple[str, str], Value] = MappingProxyType({})
    writes: Sequence[Write] = ()
    awaits: str | None = None
    reason = ""
    problem = ""
    missing = False
    wrote = False
    began = False
    """Nothing stood for the record here before: no habit to watch."""
    undone = False
    """A row held what we expected, took our write, and holds something else all the same."""

    def __init__(self, pending: Pending) -> None:
        self.pending = pending
        self.record = pending.record
        """The record as it would be once what is learnt here is settled; the claimed one stays as it was."""

    def learn(self, ref: RowRef, values: Mapping[str, Value]) -> None:
        known = self.held.get(ref)
        self.held = {**self.held, ref: {**known, **values} if known else values}

    def differs(self, place: tuple[str, str], value: Value) -> None:
        self.differing = {**self.differing, place: value}

    def agrees(self, place: tuple[str, str]) -> None:
        if place in self.differing:
            self.differing = {other: value for other, value in self.differing.items() if other != place}

    def expects(self, place: tuple[str, str], value: Value) -> None:
        self.expected = {**self.expected, place: value}


class Delivery:
    """Runs one target until told to stop. A target that is down holds up nobody but itself.

    Nothing is written before every source has been read, nor while one is read again: a row that is not known yet
    would be created a second time, and an owner that has not been heard could not stand against the others.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        system: str,
        target: Target,
        hub: Hub,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        wake: Wake | None = None,
        shards: Collection[int] = SHARDS,
    ) -> None:
        """`shards` are those of the target's deliveries that nobody else does."""
        self._rulebook = rulebook
        self._system = system
        self._streams = rulebook.systems[system].streams
        self._plan = TargetPlan(rulebook, system)
        self._target = target
        self._hub = hub
        self._telemetry = telemetry
        self._clock = clock
        self._chance = chance
        self._wake = wake or Wake()
        self._shards = shards
        self._habits: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._held_up = False
        """Some source is not read: what is due has to wait."""
        self._read = {name: other.read_streams for name, other in rulebook.systems.items() if other.read_streams}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises bugs only."""
        attempt = 0
        while not stop.is_set():
            try:
                count = await self.step()
                attempt = 0
                self._telemetry.connector_state("target", self._system, "delivering")
                if count == 0:
                    if not self._held_up:
                        self._telemetry.waiting("target", self._system, 0)
                    await self._wake.wait(self._system, stop, _POLL)
            except FieldwardenError as error:
                if judge(error) == "bug":
                    raise
                attempt += 1
                log.warning("target.retrying", system=self._system, message=error.message, attempt=attempt)
                self._telemetry.connector_state("target", self._system, "retrying", error.message)
                await pause(backoff(attempt, self._chance(), error), stop)
        await self._target.close()
        self._telemetry.connector_state("target", self._system, "stopped")

    async def step(self) -> int:
        """Claim, write and settle once; give how many records were due."""
        self._held_up = bool(await self._hub.unread(list(self._read), self._read))
        if self._held_up:
            return 0
        claimed = await self._hub.claim(self._system, _LIMIT, self._shards)
        if not claimed:
            return 0
        self._telemetry.waiting("target", self._system, len(claimed))
        failpoints.hit("delivery.after_claim")
        started = time.monotonic()
        jobs = [_Job(pending) for pending in claimed]
        open_jobs = jobs
        for _ in range(_PASSES):
            open_jobs = await self._pass(open_jobs)
            if not open_jobs:
                break
        settlements = [self._settlement(job) for job in jobs]
        await self._hub.settle(self._system, settlements)
        self._tell(jobs, settlements, time.monotonic() - started)
        return len(claimed)

    async def _pass(self, jobs: Sequence[_Job]) -> list[_Job]:
        """Plan and write once for each; give those for which another pass may do more."""
        writes: list[Write] = []
        owners: list[_Job] = []
        planned: list[_Job] = []
        for job in jobs:
            record = job.record
            values = self._plan.creation(record)
            if values is None:
                planned.append(job)
                continue
            stream = self._plan.root(record.entity).name
            write = Write(len(owners), record.id, stream, "create", None, values, _NOTHING)
            job.writes, job.began = (write,), True
            owners.append(job)
            writes.append(write)
        if planned:
            keys = await self._keys(planned)
            for job in planned:
                self._planned(job, keys, owners, writes)
        if not writes:
            return []
        again: dict[int, _Job] = {}
        for result in await self._target.write(writes):
            job = owners[result.token]
            if self._absorb(job, writes[result.token], result):
                again[id(job)] = job
        for job in again.values():
            job.record = msgspec.structs.replace(job.record, rows=overlaid(job.record.rows, job.held, job.links))
        return list(again.values())

    def _planned(
        self, job: _Job, keys: Mapping[str, Mapping[str, str]], owners: list[_Job], writes: list[Write]
    ) -> None:
        plan = self._plan.plan(job.record, keys)
        job.writes, job.awaits, job.problem = plan.writes, plan.awaits, plan.problem
        for write in plan.writes:
            write.token = len(owners)
            if write.operation == "update":
                for (stream, name), value in job.expected.items():
                    if stream == write.stream and name in write.values:
                        write.expected[name] = value
            owners.append(job)
            writes.append(write)

    async def _keys(self, jobs: Iterable[_Job]) -> dict[str, dict[str, str]]:
        needed = {id for job in jobs for id in self._plan.references(job.record)}
        if not needed:
            return {}
        rows = await self._hub.keys(sorted(needed), self._system)
        return {id: {row.stream: row.key for row in refs} for id, refs in rows.items()}

    def _absorb(self, job: _Job, write: Write, result: WriteResult) -> bool:
        """Note what a write's result says; True if planning again at once may do more."""
        job.wrote = True
        if result.status == "rejected":
            job.reason = result.reason
            return False
        if result.status == "unknown":
            job.differs((write.stream, ""), None)
            return False
        stream = self._streams[write.stream]
        if result.status == "missing":
            job.missing = True
            return False
        key = result.key or write.key
        assert key is not None, "a done write names its row"
        if write.operation == "delete":
            self._deleted(job, write)
            return False
        return self._learn(job, stream, write, result, key)

    def _deleted(self, job: _Job, write: Write) -> None:
        """The row is gone; what its system says of that comes with its own change. Until then it is not ours."""
        rows = [
            row
            for row in job.record.rows
            if (row.system, row.stream, row.key) != (self._system, write.stream, write.key)
        ]
        job.record = msgspec.structs.replace(job.record, rows=rows)

    def _learn(self, job: _Job, stream: Stream, write: Write, result: WriteResult, key: str) -> bool:
        ref = RowRef(self._system, stream.name, key)
        created = write.operation == "create"
        if created:
            job.links = (*job.links, ref)
        if not result.differing and not job.differing:
            plain = created and self._plan.writes_golden(stream)
            job.learn(ref, write.values if plain else _meant(job.record, ref, write.values))
            return created and self._plan.follows(stream)
        entity = self._rulebook.entities[stream.entity]
        meaning = _meant(job.record, ref, write.values)
        held: dict[str, Value] = {}
        retry = created
        for name in write.values:
            place = (stream.name, name)
            if name not in result.differing:
                held[name] = meaning[name]
                job.agrees(place)
                continue
            raw = result.differing[name]
            meant = raw if stream.fields[name].reference else inward(entity, stream.fields[name], raw)
            if meant == meaning[name] and not stream.fields[name].reference:
                held[name] = meant
                continue
            known = write.expected.get(name)
            job.differs(place, raw)
            job.undone = job.undone or (name in write.expected and raw == known)
            if not stream.reads:
                if not stream.fields[name].reference:  # a key there is no record's id
                    held[name] = meant
                job.expects(place, raw)
                retry = retry or raw != known
            elif raw != known and self._same_meaning(job, stream, name, meant):
                # The same value in another spelling (a second code for it): expect that spelling instead.
                job.expects(place, raw)
                retry = True
        job.learn(ref, held)
        return retry

    def _same_meaning(self, job: _Job, stream: Stream, name: str, meant: Value) -> bool:
        for row in job.record.rows:
            if row.system == self._system and row.stream == stream.name and row.deleted is None:
                return row.holds(name) == meant
        return False

    def _settlement(self, job: _Job) -> Settlement:
        pending = job.pending
        settlement = Settlement(job.record.id, pending.mark, pending.revision, "done", held=job.held, links=job.links)
        reason = job.reason or job.problem
        if reason:
            settlement.status, settlement.reason = "park", reason
        elif job.missing or job.differing:
            self._unsettled(job, settlement)
        elif job.awaits is not None:
            settlement.status, settlement.awaits = "wait", job.awaits
            settlement.reason = f"record {job.awaits}, which it refers to, has no key in {self._system} yet"
        elif job.wrote and not job.began and self._habit(job):
            settlement.status = "park"
            settlement.reason = f"{self._system} does not keep what it is given: it holds other values soon after"
        return settlement

    def _unsettled(self, job: _Job, settlement: Settlement) -> None:
        """The rows do not hold what they should. A target that undoes what it is given is parked after equal
        attempts; where somebody changed them meanwhile, that change is on its way and ends the waiting."""
        names = ", ".join(sorted(name or "a row" for _, name in job.differing))
        settlement.result = "missing" if job.missing else _signature(job.differing)
        equal = job.pending.last_result == settlement.result
        attempts = job.pending.attempts + 1 if equal else 1
        if attempts >= ATTEMPTS and (job.undone or self._deaf(job)):
            settlement.status = "park"
            settlement.reason = (
                f"the row no longer exists in {self._system}"
                if job.missing
                else f"{self._system} rewrites {names}: after {attempts} equal attempts it holds another value"
            )
            return
        settlement.status = "retry"
        settlement.delay = min(_SLOWEST, 0.25 * 2.0 ** (min(attempts, 16) - 1))
        settlement.reason = (
            f"the row is gone from {self._system}; waiting for its change"
            if job.missing
            else f"{names} changed in {self._system} meanwhile; waiting for that change"
        )

    def _deaf(self, job: _Job) -> bool:
        """Whether no change can come from here: the target is never read."""
        return not any(self._streams[write.stream].reads for write in job.writes)

    def _habit(self, job: _Job) -> bool:
        """Whether the same golden values were delivered here time and again: something undoes them."""
        signature = f"{job.record.version}"
        last, count = self._habits.pop(job.record.id, ("", 0))
        count = count + 1 if last == signature else 1
        self._habits[job.record.id] = (signature, count)
        if len(self._habits) > _REMEMBERED:
            self._habits.popitem(last=False)
        return count > ATTEMPTS

    def _tell(self, jobs: Sequence[_Job], settlements: Sequence[Settlement], seconds: float) -> None:
        telemetry, name = self._telemetry, self._system
        counts: dict[str, int] = {}
        for settlement in settlements:
            counts[settlement.status] = counts.get(settlement.status, 0) + 1
            if settlement.status == "park":
                log.warning("delivery.parked", target=name, record=settlement.record, reason=settlement.reason)
        for status, n in counts.items():
            telemetry.delivered(name, status, n)
        telemetry.delivery_seconds(name, seconds)
        telemetry.progressed("target", name)
        now = self._clock()
        newest: dict[str, int] = {}
        for job in jobs:
            for row in job.pending.record.rows:
                stamp = row.base.at if not row.stamps else max((s.at or 0 for s in row.stamps.values()), default=0)
                if row.system != name and stamp:
                    newest[row.system] = max(newest.get(row.system, 0), stamp)
        for source, at in newest.items():
            telemetry.lag(source, name, now - at / 1e6)


def _meant(record: Record, ref: RowRef, names: Iterable[str]) -> dict[str, Value]:
    """The canonical values of what was written into a row."""
    row = next((row for row in record.rows if row.ref == ref), None)
    return {name: wanted(record, row, name) for name in names}


def _signature(differing: Mapping[tuple[str, str], Value]) -> str:
    """Tells equal attempts apart from new ones without keeping the values."""
    text = repr(sorted((stream, name, value or "") for (stream, name), value in differing.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
