"""What is done for the records of one claim: look up what is in doubt, plan, write, and settle as results come.

A write is guarded and safe to repeat, or its intent is durable before the call (`doubts`); so a crash anywhere ends in
planning the same delivery again. What a field holds instead of what was wanted is either somebody's newer edit (its
change is on its way: wait for it) or the target's habit of rewriting values (after a few equal attempts the record is
parked with that reason).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog

from fieldwarden.engine import bugs, failpoints
from fieldwarden.engine.change import Value
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.unidentified import Unidentified
from fieldwarden.engine.delivering.conclusion import ATTEMPTS, UNANSWERED, concluded
from fieldwarden.engine.delivering.habits import Habits
from fieldwarden.engine.delivering.job import Job, between_jobs, newest_words
from fieldwarden.engine.delivering.judging import Judge
from fieldwarden.engine.ports.hub import Hub, Pending, Settlement
from fieldwarden.engine.ports.target import Target, Write, WriteResult
from fieldwarden.engine.running import parking
from fieldwarden.engine.running.doubts import Doubts
from fieldwarden.engine.running.handover import Handover, keys_in
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.rules.rulebook import Rulebook

log = structlog.get_logger(__name__)

_PASSES = 4
_SOON = 0.2
"""Seconds after which results are settled while others are still to come."""
_REMEMBERED = 20_000
_NOTHING: dict[str, Value] = {}
_MORE = "not all of it is written yet; it goes on"


@dataclass(slots=True)
class _Open:
    """The jobs of one claim that are not settled yet, by identity; `began` in monotonic seconds."""

    jobs: dict[int, Job]
    began: float


class Writing:
    """Of one target. `desk` is held while the hub is asked for claims or told of settlements."""

    def __init__(
        self,
        rulebook: Rulebook,
        target: Target,
        hub: Hub,
        telemetry: Telemetry,
        clock: Callable[[], float],
        desk: asyncio.Lock,
        bits: Callable[[int], int],
    ) -> None:
        """The arguments are those of `Delivery`."""
        self._system = system = target.system
        self._streams = rulebook.systems[system].streams
        self._plan = TargetPlan(rulebook, system)
        self._target = target
        self._hub = hub
        self._telemetry = telemetry
        self._clock = clock
        self._desk = desk
        self._habits = Habits(ATTEMPTS)
        self._unidentified = Unidentified(rulebook, system)
        self._undone = f"{system} does not keep what it is given: it holds another value soon after"
        self._judge = Judge(rulebook, system, self._plan)
        able = target.capabilities
        self._doubts = Doubts(target, hub, self._judge, self._streams, self._spoilt) if able.leaves_doubt else None
        self._bits = bits
        self._turns: dict[str, str] = {}
        """Of calls that are under way, or were not answered, by what they are."""
        self._alone: set[str] = set()
        """Records of a call that met a bug and could not be made again at once: each gets a call of its own once."""
        self._hands_over = not able.leaves_doubt and able.concurrency == 1
        self.pause: float | None = None
        """Seconds for which the target wants nothing more, as it said last; None: it is not busy. Whoever has heard it
        sets it back."""

    async def deliver(self, claimed: Sequence[Pending]) -> None:
        """All that can be done for these. Raises what the target or the hub raises, once what is known is settled."""
        jobs = [Job(pending) for pending in claimed]
        unsettled = _Open({id(job): job for job in jobs}, time.monotonic())
        open_jobs = await self._doubts.resolved(jobs) if self._doubts is not None else jobs
        try:
            for _ in range(_PASSES):
                open_jobs = await self._pass(open_jobs, unsettled)
                if not open_jobs or self.pause is not None:
                    break
        except Exception:
            await self._conclude(self._answered(unsettled.jobs.values()), unsettled)
            raise
        for job in open_jobs:
            if not job.differing:  # else it waits for what its rows hold, and is tried again for that
                job.unfinished = (0.0, _MORE)
        await self._conclude(list(unsettled.jobs.values()), unsettled)

    def _answered(self, jobs: Iterable[Job]) -> list[Job]:
        """Those of which something is known, though not all that they were to bring was written."""
        found = [job for job in jobs if job.wrote or job.answered]
        for job in found:
            if job.unanswered or job.more:
                job.unfinished = max(job.unfinished or (0.0, ""), (0.0, UNANSWERED))
        return found

    async def _conclude(self, jobs: Sequence[Job], unsettled: _Open) -> None:
        if not jobs:
            return
        settlements = [self._concluded(job) for job in jobs]
        await parking.park(self._hub, self._system, jobs, settlements)
        await self._settle(settlements)
        for job in jobs:
            del unsettled.jobs[id(job)]
        self._tell(jobs, settlements, time.monotonic() - unsettled.began)

    # --- planning --------------------------------------------------------------------------------------------

    async def _pass(self, jobs: Sequence[Job], unsettled: _Open) -> list[Job]:
        """Plan and write once for each; give those for which another pass may do more."""
        writes: list[Write] = []
        owners: list[Job] = []
        planned: list[Job] = []
        for job in jobs:
            record = job.record
            job.more = False
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
        if self._doubts is not None:
            for job in jobs:
                self._doubts.given_up(job)
        return await self._write(writes, owners, unsettled) if writes else []

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

    # --- writing ---------------------------------------------------------------------------------------------

    async def _write(self, writes: Sequence[Write], owners: Sequence[Job], unsettled: _Open) -> list[Job]:
        """Make these writes, and note what came of them; give the jobs for which planning again may do more."""
        for write, job in zip(writes, owners, strict=True):
            write.system, write.version = self._system, job.record.version
            write.turn = self._turn(write)
        if self._doubts is not None:
            for write, job in zip(writes, owners, strict=True):
                job.repeats_in(write, self._streams[write.stream].create_fields)
                if write.repeats:
                    write.blocks = self._plan.blocks(job.record.entity, write.values)
            await self._doubts.intend(writes)
        contested = await self._made(writes, owners, unsettled)
        if contested:
            for each in contested:
                owners[each.token].unanswered = True
                self._answered_turn(writes[each.token])
                writes[each.token].turn = self._turn(writes[each.token])
            handover = Handover(self._target, self._plan, self._hub)
            results = await handover.tried(writes, contested, lambda error: self._telemetry.bug(self._system, error))
            for token, other in handover.behind.items():
                owners[token].behind = other
            for result in results:
                owners[result.token].unanswered = False
                self._absorb(writes[result.token], owners[result.token], result)
        again = list({id(job): job for job in owners if job.more}.values())
        for job in again:
            job.looks_anew()
        return [job for job in again if job.bug is None and job.unfinished is None]

    async def _made(self, writes: Sequence[Write], owners: Sequence[Job], unsettled: _Open) -> list[WriteResult]:
        """Note the results as they come. A record with which the target fails in a way that nobody foresaw is spoilt by
        itself. Gives results that another row stands in the way of."""
        contested: list[WriteResult] = []
        now = asyncio.get_running_loop().time
        pieces, settled = self._pieces(writes), now()
        trickling = not self._target.capabilities.at_once
        while pieces:
            left = {write.token: write for write in pieces.pop()}
            if self.pause is not None:  # a call before this one was told so: nothing more is sent
                for unsent in left.values():
                    self._absorb(unsent, owners[unsent.token], WriteResult(unsent.token, "busy", pause=self.pause))
                continue
            try:
                async with aclosing(self._target.write(list(left.values()))) as results:
                    async for result in results:
                        if (write := left.pop(result.token, None)) is None:
                            continue  # it was answered before
                        if result.holder is not None and self._hands_over:
                            contested.append(result)
                            continue
                        self._absorb(write, owners[result.token], result)
                        if trickling and now() - settled > _SOON:
                            waiting = _waiting(left, contested, pieces)
                            done = _complete(owners, {id(owners[token]) for token in waiting}, unsettled.jobs)
                            await self._conclude(done, unsettled)
                            settled = now()
                for write in left.values():
                    self._absorb(write, owners[write.token], WriteResult(write.token, "unknown"))
            except Exception as error:
                waiting = _waiting(left, contested, pieces)
                for token in waiting:
                    owners[token].unanswered = True
                pieces += self._narrowed(list(left.values()), owners, error)
                for token in waiting:
                    owners[token].unanswered = False
        return contested

    def _turn(self, write: Write) -> str:
        """Whose turn a call is: its own, or that of the same call when it was made last, and not answered. (Where that
        leaves a doubt, its intent is repeated, or it is known by now what came of it.)"""
        fresh = f"{self._bits(64):016x}"
        if self._doubts is not None:
            return fresh
        if len(self._turns) > _REMEMBERED:
            self._turns.clear()
        return self._turns.setdefault(replace(write, turn="").idempotency_key, fresh)

    def _answered_turn(self, write: Write) -> None:
        self._turns.pop(replace(write, turn="").idempotency_key, None)

    def _narrowed(self, writes: Sequence[Write], owners: Sequence[Job], error: Exception) -> list[Sequence[Write]]:
        """After an error without a result for these: what to try by itself. Raises what no record is to blame for."""
        if self._doubts is not None:
            self._doubts.begin(writes)
        if not writes:
            raise error
        middle = between_jobs(writes, owners)
        if middle is None or not bugs.of_one_record(error):
            self._spoilt(owners[writes[0].token], error)
            return []
        if self._doubts is not None:  # each may have been made: what became of it is looked up first
            for write in writes:
                self._unknown(owners[write.token])
                self._alone.add(write.record)
            return []
        return [writes[middle:], writes[:middle]]

    def _pieces(self, writes: Sequence[Write]) -> list[Sequence[Write]]:
        """What is sent in one call each: all together, but for the records that get a call of their own."""
        if not self._alone:
            return [writes]
        pieces: dict[str, list[Write]] = {}
        for write in writes:
            pieces.setdefault(write.record if write.record in self._alone else "", []).append(write)
        self._alone.difference_update(pieces)
        return list(pieces.values())

    def _unknown(self, job: Job) -> None:
        """A call for this record may have been made, or may be yet."""
        assert self._doubts is not None, "elsewhere it is simply made again"
        self._doubts.wait(job, self._target.capabilities.settles_within)
        job.wrote = True

    def _absorb(self, write: Write, job: Job, result: WriteResult) -> None:
        try:
            if result.status == "busy":
                self.pause = max(self.pause or 0.0, result.pause)
            if self._doubts is None:
                if result.status != "unknown":
                    self._answered_turn(write)
                if self._judge.absorb(job, write, result):
                    job.more = True
                return
            failpoints.hit("intent.answered")
            if result.status == "unknown":
                self._doubts.begin([write])
                self._unknown(job)
                return
            again = job.hears_of(write)
            judged = (
                self._judge.absorb(job, write, result)
                if again is None
                else self._judge.repeated(job, again, write, result)
            )
            job.more |= judged
            self._doubts.over(write)
        except Exception as error:
            self._spoilt(job, error)

    def _spoilt(self, job: Job, error: Exception) -> None:
        """One record's trouble is that record's. Raises what is not."""
        if not bugs.of_one_record(error):
            raise error
        job.bug = error
        self._telemetry.bug(self._system, error)

    # --- settling --------------------------------------------------------------------------------------------

    async def _settle(self, settlements: Sequence[Settlement]) -> None:
        """Settle them all; one that the hub cannot keep is parked without what it has learnt."""
        try:
            async with self._desk:
                await self._hub.settle(self._system, settlements)
            return
        except Exception as error:
            if not bugs.of_one_record(error):
                raise
            if len(settlements) == 1:
                [one] = settlements
                self._telemetry.bug(self._system, error)
                why = bugs.reason(error, "this delivery")
                one.status, one.reason, one.result, one.learnt, one.links = "park", why, "", {}, ()
                one.row_versions, one.answered = {}, ()
                async with self._desk:
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


def _waiting(left: Iterable[int], contested: Iterable[WriteResult], pieces: Iterable[Sequence[Write]]) -> list[int]:
    """The tokens of writes of which the last word has not been heard."""
    return [*left, *(each.token for each in contested), *(write.token for piece in pieces for write in piece)]


def _complete(owners: Sequence[Job], waiting: Collection[int], unsettled: Mapping[int, Job]) -> list[Job]:
    """Those of whom every result is there, and for whom planning again does no more."""
    found = {id(job): job for job in owners if id(job) not in waiting and not job.more and id(job) in unsettled}
    return list(found.values())
