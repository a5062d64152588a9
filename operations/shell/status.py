"""`fieldwarden status`, told to people: a few lines, and tables where there are several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from fieldwarden.engine.ports.duties import SHARDS, Duty
from fieldwarden.operations import status as asking
from fieldwarden.operations.shell.opening import asked
from fieldwarden.operations.shell.report import Report, plain, table
from fieldwarden.operations.status import HOURS, Delivery, Duplicates, Source, Status, Worker
from fieldwarden.operations.unread import held_up
from fieldwarden.operations.words import age, count

_SHOWN = 10
NEEDS = {
    "data": ("bad data", "a person"),
    "unreadable": ("a value cannot be read; the rest of its row goes on", "its row's next readable value, or a person"),
    "ambiguous": ("more than one record fits", "a steward: fieldwarden record link"),
    "suspicious": ("a row claims another's record", "a steward: fieldwarden deadletter list --kind suspicious"),
    "parent": ("the parent row is not known", "that row"),
    "reference": ("the row referred to is not known", "that row"),
    "merge": ("the row that it was merged into is not known", "that row"),
    "rekey": ("its row's former key has not all been told yet", "that key, or a person"),
    "brake": ("too many rows were deleted at once", "a person: fieldwarden deletes"),
    "behind": ("an earlier change of its row is set aside", "that change"),
}
"""Why a change is set aside, and what lets it go on."""


def status(folder: Path | None, *, check: bool = False) -> Report:
    """Exit code 1 with `check` if anything is halted."""
    found = asked(folder, asking.status)
    halted = list(asking.halted(found))
    text = "\n".join(lines(found))
    return Report(plain(found) | {"halted": halted}, text, exit_code=1 if check and halted else 0)


def _duties(names: Sequence[str]) -> str:
    """In few words: a target of which all shards are here goes by its name alone."""
    duties = sorted(map(Duty.parse, names))
    loops = {loop: [duty.shard for duty in some] for loop, some in groupby(duties, lambda duty: duty.loop)}
    told = (
        str(loop) if shards in ([None], [*SHARDS]) else f"{loop}/{','.join(map(str, shards))}"
        for loop, shards in loops.items()
    )
    return " ".join(told) or "-"


def lines(found: Status) -> Iterator[str]:
    yield f"{found.project}: {'running' if found.running else 'not running'}"
    rules = found.rules
    if rules.remark:
        yield f"  {rules.remark}"
    if rules.waits:
        yield f"  {rules.waits}"
    if rules.applying:
        done, total, worker = rules.applying.done, rules.applying.total, rules.applying.worker
        yield (
            f"  {done:,} of {total:,} records have been resolved under the live rulebook {str(rules.live)[:12]}"
            f" by {worker}; if that was interrupted, `fieldwarden apply` goes on"
        )
    rows = [[w.number, w.process, age(w.age_seconds), _duties(w.duties), _complaint(w)] for w in found.workers]
    if rows:
        yield _block(["worker", "process", "since", "duties", ""], rows)
    rows = [[s.name, s.state, age(s.age_seconds), _lag(s), s.changes, s.message] for s in found.sources]
    yield _block(["source", "state", "moved", "lag", "changes", ""], rows)
    rows = [
        [
            f"{p.topic}/{p.partition}",
            "-" if p.offset is None else p.offset,
            "?" if p.lag is None else p.lag,
            p.lane or "-",
            p.message and f"stands still: {p.message}",
        ]
        for p in found.partitions
    ]
    if rows:
        yield _block(["partition", "offset", "lag", "lane", ""], rows)
    rows = [
        [t.name, t.due, t.waiting, t.parked, age(t.oldest_seconds) if t.oldest_seconds else "-"] for t in found.targets
    ]
    yield _block(["target", "due", "waiting", "parked", "oldest"], rows)
    if found.running or any(t.due for t in found.targets):
        for source in found.sources:
            if not source.read:
                yield f"  {held_up(source.name, source.unread)}\n"
    yield from _inboxes(found)
    yield from _unfinished(found)
    parked, waiting = sum(t.parked for t in found.targets), sum(t.waiting for t in found.targets)
    hint = "a person ends it: see fieldwarden deadletter list --kind delivery"
    yield from _deliveries("parked", found.parked, parked, hint)
    hint = "that record ends it: see fieldwarden deadletter list --kind waiting"
    yield from _deliveries("waiting", found.waiting, waiting, hint)
    rows = [[entity, n.live, n.retired] for entity, n in found.records.items()]
    if rows:
        yield _block(["entity", "records", "retired"], rows)
    if found.set_aside:
        rows = [
            [a.system, *NEEDS.get(a.kind, (a.kind, "a person")), a.number, age(a.oldest_seconds)]
            for a in found.set_aside
        ]
        yield _block(["set aside from", "because", "needs", "number", "oldest"], rows)
        yield "  see: fieldwarden deadletter list"
    for held in found.held_deletions:
        yield f"  {held.question}\n"
    for forged in found.forged_marks:
        yield (
            f"  forged marks in {forged.system}: somebody has marked {count(forged.number, 'transaction')} as "
            f"our own writes, the last ({forged.last}) {age(forged.age_seconds)} ago; their changes are decided "
            "like any other\n"
        )
    for begun in found.rebaselined:
        read = "were read" if begun.read else "are being read"
        yield (
            f"  all rows of {begun.system} {read} again (baseline {begun.baseline}), begun "
            f"{age(begun.age_seconds)} ago: {begun.why}\n"
        )
    yield from _alike(found.duplicates)
    yield f"  {count(found.refused_24h, 'edit')} of protected fields refused in the last {HOURS} hours"
    if found.held_24h:
        yield f"  {count(found.held_24h, 'edit')} held for an approval in the last {HOURS} hours"


def _unfinished(found: Status) -> Iterator[str]:
    """What was begun and has come to no end yet."""
    for off in found.put_off:
        number = count(off.number, "delivery", "deliveries")
        yield f"  {number} to {off.target} put off, the oldest due for {age(off.oldest_seconds)}: {off.reason}\n"
    for each in found.unanswered:
        yield (
            f"  {count(each.number, 'write')} to {each.target} without an answer yet, the oldest for "
            f"{age(each.oldest_seconds)}; what became of it is looked up before its record is tried again\n"
        )


def _inboxes(found: Status) -> Iterator[str]:
    """What systems have told us and nobody has read yet."""
    for each in found.inboxes:
        number, first = count(each.number, "webhook item"), age(each.oldest_seconds)
        yield f"  {number} of {each.system} not read yet, the first for {first}: fieldwarden hooks list\n"


def _deliveries(kind: str, named: Sequence[Delivery], number: int, hint: str) -> Iterator[str]:
    """Some of those that are parked or wait, with the reason and what ends it."""
    if not number:
        return
    for each in named:
        yield f"  {kind}: {each.entity} to {each.target}: {each.reason}"
    more = f"and {number - len(named)} more; " if number > len(named) else ""
    yield f"  {more}{hint}\n"


def _alike(duplicates: Duplicates) -> Iterator[str]:
    if not duplicates.first:
        return
    shown = duplicates.first[:_SHOWN]
    rows = [[each.entity, each.match_key, " ".join(each.records)] for each in shown]
    yield _block(["alike", "in", "records"], rows)
    more = sum(duplicates.counts.values()) - len(shown)
    if more > 0:
        yield f"  and {more} more: fieldwarden status --json"
    yield "  they may be one and the same; see: fieldwarden explain RECORD\n"


def _complaint(worker: Worker) -> str:
    if worker.hangs:
        return "hangs: it has not spoken within its lease"
    return "" if worker.same_rulebook else "has not taken over the live rulebook yet"


def _lag(source: Source) -> str:
    return count(source.lag_records, "record") if source.lag_records is not None else _bytes(source.lag_bytes)


def _block(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return table(columns, rows) + "\n"


def _bytes(number: int | None) -> str:
    if number is None:
        return "?"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 10_000:
            return f"{number} {unit}"
        number //= 1000
    return f"{number} TB"
