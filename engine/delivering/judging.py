"""What the result of one write says about its record: what its rows are now known to hold, and what is still open.

Pure: a job, a write and its result in, the job's notes out. What the delivery comes to is `conclusion`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.mapping import inward
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.delivering.job import Job, meant_values
from fieldwarden.engine.ports.target import Intent, Write, WriteResult
from fieldwarden.rules.rulebook import Rulebook, Stream

BUSY = "the target is busy; it is tried again when it said"


class Judge:
    """Of one target."""

    def __init__(self, rulebook: Rulebook, system: str, plan: TargetPlan) -> None:
        self._rulebook = rulebook
        self._system = system
        self._streams = rulebook.systems[system].streams
        self._plan = plan

    def absorb(self, job: Job, write: Write, result: WriteResult) -> bool:
        """Note what a write's result says; True if planning again at once may do more."""
        job.wrote = True
        if result.said:
            job.hears(result.said)
        if result.refused:
            job.refuses(write, result.refused)
        match result.status:
            case "applied":
                return self._applied(job, write, result)
            case "conflict":
                return self._conflict(job, write, result)
            case "missing":
                job.missing = True
            case "unknown":
                job.differs((write.stream, ""), None)
                job.silent = True
            case "busy":
                job.unfinished = max(job.unfinished or (0.0, ""), (result.pause, BUSY))
            case "refused" | "rejected":
                job.later |= result.later
                if not result.refused or write.operation == "create":
                    job.reason = result.reason
        return False

    def observed(self, job: Job, intent: Intent, key: str, values: Mapping[str, Value], row_version: str) -> None:
        """A row that was looked up is there and holds this: so the job goes on from.

        What neither we brought nor the row held before is somebody's newer word, where its changes are heard: it is not
        ours, lest it is taken for an echo, and the row's version is not ours to write for until it has been heard."""
        ref, stream = RowRef(self._system, intent.stream, key), self._streams[intent.stream]
        entity = self._rulebook.entities[stream.entity]
        before = next((row for row in job.record.rows if row.ref == ref and row.deleted is None), None)
        found, strange = dict[str, Value](), False
        for name, value in values.items():
            if name not in stream.fields or stream.fields[name].reference:
                continue
            meant = inward(entity, stream.fields[name], value)
            ours = name in intent.values and meant == inward(entity, stream.fields[name], intent.values[name])
            if ours or not stream.reads or (before is not None and before.holds(name) == meant):
                found[name] = meant
            else:
                strange |= value is not None
        if intent.operation == "create" and ref not in job.links:
            job.links = (*job.links, ref)
        job.learn(ref, found)
        if not strange:
            job.knows_version(ref, row_version)

    def repeated(self, job: Job, intent: Intent, write: Write, result: WriteResult) -> bool:
        """A create that was made again, as it was then, has been answered: what is wanted by now is yet to be planned.
        True if that can be done at once. What was refused may be wanted no more, and is no word about what is."""
        job.wrote = True
        if result.status == "applied":
            assert result.key is not None, "a write that was applied names its row"
            written = {name: value for name, value in write.values.items() if name not in result.refused}
            self.observed(job, intent, result.key, {**written, **result.differing}, result.row_version)
        return result.status != "busy" or self.absorb(job, write, result)

    def _applied(self, job: Job, write: Write, result: WriteResult) -> bool:
        job.freed = job.freed or write.operation != "create"
        key = write.key if result.key is None else result.key  # '' is a key like any other
        assert key is not None, "a write that was applied names its row"
        if write.operation == "delete":
            self.deleted(job, write.stream, key)
            return False
        return self._learn(job, self._streams[write.stream], write, result, key)

    def _conflict(self, job: Job, write: Write, result: WriteResult) -> bool:
        """Nothing was written: the row is at another version. Where the target told what it holds, that may be
        what we expect all the same (somebody changed another field); else it is written without a version, which
        makes the target look it up."""
        assert write.key is not None, "only a row that is there has another version"
        ref = RowRef(self._system, write.stream, write.key)
        job.knows_version(ref, result.row_version)
        if write.operation == "delete" or not result.seen:
            job.differs((write.stream, ""), None)
            return False
        moved = {n for n, value in result.differing.items() if value != write.expected.get(n)}
        self._learn(job, self._streams[write.stream], write, result, write.key, wrote=False)
        return bool(result.row_version) and (not moved or not self._streams[write.stream].reads)

    def deleted(self, job: Job, stream: str, key: str) -> None:
        """The row is gone; what its system says of that comes with its own change. Until then it is not ours."""
        gone = (self._system, stream, key)
        rows = [row for row in job.record.rows if (row.system, row.stream, row.key) != gone]
        job.record = msgspec.structs.replace(job.record, rows=rows)

    def _learn(
        self, job: Job, stream: Stream, write: Write, result: WriteResult, key: str, *, wrote: bool = True
    ) -> bool:
        ref = RowRef(self._system, stream.name, key)
        created = write.operation == "create"
        if created:
            job.links = (*job.links, ref)
        if result.row_version:
            job.knows_version(ref, result.row_version)
        if not result.differing and not job.differing:
            plain = created and self._plan.writes_golden(stream)
            job.learn(ref, write.values if plain else meant_values(job.record, ref, write.values))
            return created and self._plan.follows(stream)
        entity = self._rulebook.entities[stream.entity]
        meaning, torn = meant_values(job.record, ref, write.values), write.torn(result.differing)
        found: dict[str, Value] = {}
        retry = created
        for name in write.values:
            place = (stream.name, name)
            if name not in result.differing:
                found[name] = meaning[name]
                job.agrees(place)
                continue
            raw = result.differing[name]
            meant = raw if stream.fields[name].reference else inward(entity, stream.fields[name], raw)
            if meant == meaning[name] and not stream.fields[name].reference:
                found[name] = meant
                continue
            known = write.expected.get(name)
            job.differs(place, raw)
            job.undone |= wrote and (
                name in write.unguarded or (name in write.expected and raw == known and name not in torn)
            )
            if not stream.reads:
                if not stream.fields[name].reference:  # a key there is no record's id
                    found[name] = meant
                job.expects(place, raw)
                retry = retry or raw != known
            elif raw != known and self._same_meaning(job, stream, name, meant):
                # The same value in another spelling (a second code for it): expect that spelling instead.
                job.expects(place, raw)
                retry = True
        job.learn(ref, found)
        return retry

    def _same_meaning(self, job: Job, stream: Stream, name: str, meant: Value) -> bool:
        for row in job.record.rows:
            if row.system == self._system and row.stream == stream.name and row.deleted is None:
                return row.holds(name) == meant
        return False
