"""Writes that may have happened: the intent is durable before the call, and looked up before anything is tried again.

    intend -> target.write -> settle (forgets the intent)         no answer, or a crash: look up -> known, repeat, wait

Only for targets whose capabilities leave a doubt. How long a call may still take effect counts from where nobody waits
for it any more: from when its answer was given up, or, for an intent that another process has left, from when it was
seen first. No clock but this process's own is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Sequence

from fieldwarden.engine import failpoints
from fieldwarden.engine.delivering.doubts import judged
from fieldwarden.engine.delivering.job import Job
from fieldwarden.engine.delivering.judging import Judge
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.ports.target import Found, Intent, Target, Write

_LOOK_AGAIN = 5.0
"""Seconds after which to look again for what could not be known, at most."""
_WHY = "a write to {} is without an answer; what became of it is looked up before anything is tried again"


class Doubts:
    """Of one target, as one process knows them."""

    def __init__(
        self, target: Target, hub: Hub, judge: Judge, streams: Container[str], spoilt: Callable[[Job, Exception], None]
    ) -> None:
        """`streams`: those of the target in the rules. `spoilt` is told of a bug that one record meets, or raises."""
        self._streams = streams
        self._spoilt = spoilt
        self._target = target
        self._hub = hub
        self._judge = judge
        self._since: dict[str, float] = {}
        """When (loop's time) an intent was in doubt first."""

    async def intend(self, writes: Sequence[Write]) -> None:
        """Make the intents durable, before the call."""
        intents = [
            Intent(
                each.idempotency_key,
                each.record,
                each.stream,
                each.operation,
                each.key,
                each.parent_key,
                each.version,
                each.values,
            )
            for each in writes
        ]
        await self._hub.intend(self._target.system, intents)
        failpoints.hit("intent.durable")

    def begin(self, writes: Iterable[Write]) -> None:
        """Nobody waits for these any more."""
        now = asyncio.get_running_loop().time()
        self._since.update((each.idempotency_key, now) for each in writes)

    async def resolved(self, jobs: Sequence[Job]) -> list[Job]:
        """Look up what is in doubt of these; those of which all is known, or may be tried again."""
        open_intents = await self._hub.intents(self._target.system, [job.record.id for job in jobs])
        if not open_intents:
            return list(jobs)
        # One of a stream that has left the rules stays, until that stream is back.
        intents = [each for some in open_intents.values() for each in some if each.stream in self._streams]
        if not intents:
            return list(jobs)
        now = asyncio.get_running_loop().time()
        for each in intents:
            self._since.setdefault(each.key, now)
        found = {each.intent: each for each in await self._target.look_up(intents)}
        for job in jobs:
            if mine := open_intents.get(job.record.id):
                try:
                    for intent in mine:
                        if intent.stream in self._streams:
                            self._resolve(job, intent, found.get(intent.key), now)
                    job.looks_anew()
                except Exception as error:
                    self._spoilt(job, error)
        return [job for job in jobs if job.unfinished is None and job.bug is None]

    def _resolve(self, job: Job, intent: Intent, found: Found | None, now: float) -> None:
        left = self._since[intent.key] + self._target.capabilities.settles_within - now
        verdict = judged(intent, found, settled=left <= 0)
        if verdict == "wait":
            self.wait(job, left)
            return
        if verdict == "repeat":
            job.repeats = {**job.repeats, intent.stream: intent}
            return
        if verdict == "known" and found is not None and found.row is not None:
            self._judge.observed(job, intent, found.row, found.values, found.row_version)
        elif intent.operation == "delete" and intent.row is not None:
            self._judge.deleted(job, intent.stream, intent.row)
        job.answered = (*job.answered, intent.key)
        self._since.pop(intent.key, None)

    def over(self, write: Write) -> None:
        """Its result is known."""
        self._since.pop(write.idempotency_key, None)

    def wait(self, job: Job, left: float = 0.0) -> None:
        """Nothing more is done for this record until it is looked up (again)."""
        delay = min(left, _LOOK_AGAIN) if left > 0 else 1.0
        job.unfinished = max(job.unfinished or (0.0, ""), (delay, _WHY.format(self._target.system)))

    def given_up(self, job: Job) -> None:
        """What was to be repeated is not wanted any more: the record has no row to be made here by now."""
        if job.awaits is not None or job.early or job.problem or job.bug is not None:
            return  # it was not planned to its end, and may be wanted yet
        written = {each.stream for each in job.writes if each.operation == "create"}
        for stream, intent in job.repeats.items():
            if stream not in written:
                job.answered = (*job.answered, intent.key)
                self._since.pop(intent.key, None)
