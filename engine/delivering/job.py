"""One claimed record on its way to a target: what is known of its rows there, and what came of it so far."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.meant import wanted
from fieldwarden.engine.delivering.refusals import Place, Refusals, refusal, remembered, said, still_refused
from fieldwarden.engine.delivering.settling import overlaid
from fieldwarden.engine.ports.hub import Pending
from fieldwarden.engine.ports.target import Intent, Write
from fieldwarden.engine.record import Record

_LONGEST = 4_000
_NONE: Refusals = MappingProxyType({})


class Job:
    """Nearly all jobs are one plain write that does what it should, so what they do not need is not made."""

    learnt: Mapping[RowRef, Mapping[str, Value]] = MappingProxyType({})
    links: Sequence[RowRef] = ()
    expected: Mapping[Place, Value] = MappingProxyType({})
    differing: Mapping[Place, Value] = MappingProxyType({})
    writes: Sequence[Write] = ()
    awaits: str | None = None
    reason = ""
    problem = ""
    bug: Exception | None = None
    """What nobody foresaw; nothing more is done for the record then."""
    early = 0.0
    """Seconds for which it may still turn out to be another record's (see `Unidentified`)."""
    missing = False
    wrote = False
    began = False
    """Nothing stood for the record here before: no habit to watch."""
    undone = False
    """A row held what we expected, took our write, and holds something else all the same."""
    refused: Refusals = _NONE
    """Fields that the target refuses at their present value, met now or known from before."""
    newly = False
    """Some of them are refused for the first time."""
    behind: tuple[str, int] | None = None
    """The record whose row stands in the way of one of this record's writes, and its revision then."""
    freed = False
    """A write changed or removed a row that was there: a value that it held may be free now."""
    said = ""
    """The target's own words about what it refused."""
    later = False
    """It refused the row for a reason that may pass."""
    unfinished: tuple[float, str] | None = None
    """Seconds after which to go on, and why: the target is busy, or has not answered. It was no attempt."""
    answered: Sequence[str] = ()
    """The idempotency keys of intents whose result is known."""
    repeats: Mapping[str, Intent] = MappingProxyType({})
    """By stream a create without an answer that may be made again, as it was."""
    row_versions: Mapping[RowRef, str] = MappingProxyType({})
    unanswered = False
    """A write of it is without a result."""
    silent = False
    """The target did not answer, and writing again is safe."""
    more = False
    """Planning again at once may do more."""
    before: Refusals = _NONE
    met = ""
    """What the last attempt met; and what was refused until then."""

    def __init__(self, pending: Pending) -> None:
        self.pending = pending
        if pending.last_result:
            self.met, self.before = remembered(pending.last_result)
            if self.before:
                self.said = said(pending.last_result)
        self.record = pending.record
        """The record as it would be once what is learnt here is settled; the claimed one stays as it was."""

    def hears(self, words: str) -> None:
        """The target says something about what it refuses."""
        if words not in self.said:
            self.said = f"{self.said}\n{words}".strip()[-_LONGEST:]

    def learn(self, ref: RowRef, values: Mapping[str, Value]) -> None:
        known = self.learnt.get(ref)
        self.learnt = {**self.learnt, ref: {**known, **values} if known else values}

    def looks_anew(self) -> None:
        """The record as it would be once what is learnt so far is settled."""
        rows = overlaid(self.record.rows, self.learnt, self.links, self.row_versions)
        self.record = msgspec.structs.replace(self.record, rows=rows)

    def knows_version(self, ref: RowRef, version: str) -> None:
        self.row_versions = {**self.row_versions, ref: version}

    def differs(self, place: Place, value: Value) -> None:
        self.differing = {**self.differing, place: value}

    def agrees(self, place: Place) -> None:
        if place in self.differing:
            self.differing = {other: value for other, value in self.differing.items() if other != place}

    def repeats_in(self, write: Write, allowed: Container[str]) -> None:
        """Have a write make the call again that was not answered, if there is one. It brings what that one brought:
        under its key a service may give the answer that it gave then, which says nothing of other values. Fields that
        are not `allowed` by now, since the rules are others, are left out all the same."""
        again = self.repeats.get(write.stream) if write.operation == "create" else None
        if again is not None:
            write.values = {name: value for name, value in again.values.items() if name in allowed}
            write.repeats, write.parent_key = again.key, again.parent

    def hears_of(self, write: Write) -> Intent | None:
        """A call was answered; gives the one that it made again, which is none to be repeated any more."""
        self.answered = (*self.answered, write.idempotency_key)
        again = self.repeats.get(write.stream) if write.repeats else None
        if again is not None:
            self.repeats = {stream: each for stream, each in self.repeats.items() if each is not again}
        return again

    def refuses(self, write: Write, reasons: Mapping[str, str]) -> None:
        """The target does not take these fields of a write, which is left with the others."""
        met = {(write.stream, name): refusal(write.values.pop(name), reason) for name, reason in reasons.items()}
        self.refused, self.newly = {**self.refused, **met}, True
        for place in met:
            self.agrees(place)  # whatever it held under another version, nothing more is to be written there

    def spare(self, write: Write) -> None:
        """Take out of a write what the target has refused already, at the same values."""
        if not self.before and not self.refused:
            return
        known = {**self.before, **self.refused}
        for name in still_refused(known, write.stream, write.values, write.blocks):
            del write.values[name]
            self.refused = {**self.refused, (write.stream, name): known[write.stream, name]}

    def expects(self, place: Place, value: Value) -> None:
        self.expected = {**self.expected, place: value}


def signature(differing: Mapping[Place, Value]) -> str:
    """Tells equal attempts apart from new ones without keeping the values."""
    text = repr(sorted((stream, name, value or "") for (stream, name), value in differing.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def between_jobs(writes: Sequence[Write], owners: Sequence[Job]) -> int | None:
    """Where to cut these writes in two, so that a record's stay together; None: they are all of one record."""
    cuts = [n for n in range(1, len(writes)) if owners[writes[n].token] is not owners[writes[n - 1].token]]
    return min(cuts, key=lambda n: abs(n - len(writes) // 2), default=None)


def newest_words(jobs: Sequence[Job], but: str) -> dict[str, int]:
    """By system other than `but`: the time (µs) of the newest word that these records hold of it."""
    newest: dict[str, int] = {}
    for job in jobs:
        for row in job.pending.record.rows:
            if row.system == but:
                continue
            best = newest.get(row.system, 0)
            for stamp in row.stamps.values() if row.stamps else (row.base,):
                at = stamp.at
                if at is not None and at > best:
                    newest[row.system] = best = at
    return newest


def meant_values(record: Record, ref: RowRef, names: Iterable[str]) -> dict[str, Value]:
    """The canonical values of what was written into a row."""
    golden = record.golden
    return {name: golden[name] if name in golden else wanted(record, record.row(ref), name) for name in names}
