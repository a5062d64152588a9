"""From the hub to a target: one delivery loop per target, or several that share its shards.

    hub.claim -> plan -> target.write -> hub.settle

A write is guarded and safe to repeat, so a crash anywhere ends in planning the same delivery again. What a field
holds instead of what was wanted is either somebody's newer edit (its change is on its way: wait for it) or the
target's habit of rewriting values (after a few equal attempts the record is parked with that reason).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec
import structlog

from fieldwarden.engine import bugs, failpoints
from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.mapping import inward
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.unidentified import Unidentified
from fieldwarden.engine.delivering.conclusion import ATTEMPTS, concluded
from fieldwarden.engine.delivering.habits import Habits
from fieldwarden.engine.delivering.job import Job, between_jobs, meant_values, newest_words
from fieldwarden.engine.delivering.settling import overlaid
from fieldwarden.engine.errors import FieldwardenError
from fieldwarden.engine.ports.duties import SHARDS
from fieldwarden.engine.ports.hub import Hub, Settlement
from fieldwarden.engine.ports.target import Target, Write, WriteResult
from fieldwarden.engine.running import parking as behind
from fieldwarden.engine.running.handover import Handover, keys_in
from fieldwarden.engine.running.retry import backoff, judge
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.running.wake import Wake, pause
from fieldwarden.rules.rulebook import Rulebook, Stream

log = structlog.get_logger(__name__)

_PASSES = 4
_LIMIT = 2000
_POLL = 0.5
_NOTHING: dict[str, Value] = {}


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
        """`shards`: the target's deliveries that nobody else does."""
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
        self._habits = Habits(ATTEMPTS)
        self._unidentified = Unidentified(rulebook, system)
        self._undone = f"{system} does not keep what it is given: it holds another value soon after"
        self._held_up = False  # some source is not read: what is due has to wait
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
        jobs = open_jobs = [Job(pending) for pending in claimed]
        with self._wake.delivering(large=any(pending.record.large for pending in claimed)):
            for _ in range(_PASSES):
                open_jobs = await self._pass(open_jobs)
                if not open_jobs:
                    break
            settlements = [self._concluded(job) for job in jobs]
            await behind.park(self._hub, self._system, jobs, settlements)
            await self._settle(settlements)
        self._tell(jobs, settlements, time.monotonic() - started)
        return len(claimed)

    async def _pass(self, jobs: Sequence[Job]) -> list[Job]:
        """Plan and write once for each; give those for which another pass may do more."""
        writes: list[Write] = []
        owners: list[Job] = []
        planned: list[Job] = []
        for job in jobs:
            record = job.record
            try:
                failpoints.hit("delivery.planning", record.id)
                if self._unidentified and (early := self._unidentified.wait(record, self._clock())):
                    job.early = early
                    continue
                values = self._plan.creation(record)
                if values is None:
                    planned.append(job)
                    continue
                stream = self._plan.root(record.entity).name
                write = Write(len(owners), record.id, stream, "create", None, values, _NOTHING)
                write.blocks, write.large = self._plan.blocks(record.entity, values), record.large
            except Exception as error:
                self._spoilt(job, error)
                continue
            job.writes, job.began = (write,), True
            owners.append(job)
            writes.append(write)
        if planned:
            keys = await self._keys(planned)
            for job in planned:
                try:
                    self._planned(job, keys, owners, writes)
                except Exception as error:
                    self._spoilt(job, error)
        return await self._write(writes, owners) if writes else []

    async def _write(self, writes: Sequence[Write], owners: Sequence[Job]) -> list[Job]:
        """Make these writes, and note what came of them; give the jobs for which planning again may do more."""
        again: dict[int, Job] = {}
        results = await self._answers(writes, owners)
        if any(result.holder is not None for result in results):
            handover = Handover(self._target, self._plan, self._hub)
            results = await handover.tried(writes, results, lambda error: self._telemetry.bug(self._system, error))
            for token, other in handover.behind.items():
                owners[token].behind = other
        for result in results:
            job = owners[result.token]
            try:
                if self._absorb(job, writes[result.token], result):
                    again[id(job)] = job
            except Exception as error:
                self._spoilt(job, error)
        for job in again.values():
            job.record = msgspec.structs.replace(job.record, rows=overlaid(job.record.rows, job.held, job.links))
        return [job for job in again.values() if job.bug is None]

    async def _answers(self, writes: Sequence[Write], owners: Sequence[Job]) -> list[WriteResult]:
        """What the target answers; a record with which it fails in a way that nobody foresaw is spoilt by itself."""
        try:
            return list(await self._target.write(writes))
        except Exception as error:
            middle = between_jobs(writes, owners)
            if middle is None or not bugs.of_one_record(error):
                self._spoilt(owners[writes[0].token], error)
                return []
        return await self._answers(writes[:middle], owners) + await self._answers(writes[middle:], owners)

    def _spoilt(self, job: Job, error: Exception) -> None:
        """One record's trouble is that record's. Raises what is not."""
        if not bugs.of_one_record(error):
            raise error
        job.bug = error
        self._telemetry.bug(self._system, error)

    def _planned(self, job: Job, keys: Mapping[str, Mapping[str, str]], owners: list[Job], writes: list[Write]) -> None:
        plan = self._plan.plan(job.record, keys)
        job.writes, job.awaits, job.problem = plan.writes, plan.awaits, plan.problem
        for write in plan.writes:
            if write.operation == "update":
                if self._habits.undoes(job.record, job.met):
                    job.refuses(write, dict.fromkeys(write.values, self._undone))
                job.spare(write)
                if not write.values:
                    continue
            write.token, write.large = len(owners), job.record.large
            if write.operation == "update":
                for (stream, name), value in job.expected.items():
                    if stream == write.stream and name in write.values:
                        write.expected[name] = value
            owners.append(job)
            writes.append(write)

    async def _keys(self, jobs: Iterable[Job]) -> dict[str, dict[str, str]]:
        needed: set[str] = set()
        for job in jobs:
            try:
                needed |= self._plan.references(job.record)
            except Exception as error:
                self._spoilt(job, error)
        return await keys_in(self._hub, self._system, needed)

    def _absorb(self, job: Job, write: Write, result: WriteResult) -> bool:
        """Note what a write's result says; True if planning again at once may do more."""
        job.wrote = True
        if result.said:
            job.hears(result.said)
        if result.refused:
            job.refuses(write, result.refused)
        if result.status == "rejected":
            job.later |= result.later
            if not result.refused or write.operation == "create":
                job.reason = result.reason
            return False
        if result.status == "unknown":
            job.differs((write.stream, ""), None)
            return False
        stream = self._streams[write.stream]
        if result.status == "missing":
            job.missing = True
            return False
        job.freed = job.freed or write.operation != "create"
        key = write.key if result.key is None else result.key  # '' is a key like any other
        assert key is not None, "a done write names its row"
        if write.operation == "delete":
            self._deleted(job, write)
            return False
        return self._learn(job, stream, write, result, key)

    def _deleted(self, job: Job, write: Write) -> None:
        """The row is gone; what its system says of that comes with its own change. Until then it is not ours."""
        rows = [
            row
            for row in job.record.rows
            if (row.system, row.stream, row.key) != (self._system, write.stream, write.key)
        ]
        job.record = msgspec.structs.replace(job.record, rows=rows)

    def _learn(self, job: Job, stream: Stream, write: Write, result: WriteResult, key: str) -> bool:
        ref = RowRef(self._system, stream.name, key)
        created = write.operation == "create"
        if created:
            job.links = (*job.links, ref)
        if not result.differing and not job.differing:
            plain = created and self._plan.writes_golden(stream)
            job.learn(ref, write.values if plain else meant_values(job.record, ref, write.values))
            return created and self._plan.follows(stream)
        entity = self._rulebook.entities[stream.entity]
        meaning, torn = meant_values(job.record, ref, write.values), write.torn(result.differing)
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
            job.undone |= name in write.unguarded or (name in write.expected and raw == known and name not in torn)
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

    def _same_meaning(self, job: Job, stream: Stream, name: str, meant: Value) -> bool:
        for row in job.record.rows:
            if row.system == self._system and row.stream == stream.name and row.deleted is None:
                return row.holds(name) == meant
        return False

    async def _settle(self, settlements: Sequence[Settlement]) -> None:
        """Settle them all; one that the hub cannot keep is parked without what it has learnt."""
        try:
            await self._hub.settle(self._system, settlements)
            return
        except Exception as error:
            if not bugs.of_one_record(error):
                raise
            if len(settlements) == 1:
                [one] = settlements
                self._telemetry.bug(self._system, error)
                why = bugs.reason(error, "this delivery")
                one.status, one.reason, one.result, one.held, one.links = "park", why, "", {}, ()
                await self._hub.settle(self._system, settlements)
                return
        middle = len(settlements) // 2
        await self._settle(settlements[:middle])
        await self._settle(settlements[middle:])

    def _concluded(self, job: Job) -> Settlement:
        try:
            return self._settlement(job)
        except Exception as error:
            self._spoilt(job, error)
            return self._settlement(job)

    def _settlement(self, job: Job) -> Settlement:
        return concluded(job, self._system, self._streams, self._habits, self._undone)

    def _tell(self, jobs: Sequence[Job], settlements: Sequence[Settlement], seconds: float) -> None:
        telemetry, name = self._telemetry, self._system
        counts: dict[str, int] = {}
        for job, settlement in zip(jobs, settlements, strict=True):
            counts[settlement.status] = counts.get(settlement.status, 0) + 1
            if settlement.status == "park" and (job.newly or not job.refused):
                log.warning("delivery.parked", target=name, record=settlement.record, reason=settlement.reason)
        for status, n in counts.items():
            telemetry.delivered(name, status, n)
        telemetry.delivery_seconds(name, seconds)
        telemetry.progressed("target", name)
        now = self._clock()
        for source, at in newest_words(jobs, name).items():
            telemetry.lag(source, name, now - at / 1e6)
