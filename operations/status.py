"""How far everything is, what waits, and for what or whom, whether `fieldwarden run` works or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any

from fieldwarden.engine.errors import FieldwardenError
from fieldwarden.engine.hub.views.footing import HubFooting
from fieldwarden.engine.hub.views.held_deletions import HeldDeletions
from fieldwarden.engine.hub.views.overview import (
    DeadLetter,
    Overview,
    PartitionState,
    SourceState,
    TargetState,
    WorkerState,
)
from fieldwarden.engine.hub.views.pulse import Pulse
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.engine.running.ingest.session import PARKED
from fieldwarden.operations.deletes import question
from fieldwarden.operations.forged import Forged, forged
from fieldwarden.operations.hooks import Unread, inboxes
from fieldwarden.operations.onboarding import waits
from fieldwarden.operations.project import Opened, is_partitioned
from fieldwarden.operations.rebaselined import Rebaselined, rebaselined
from fieldwarden.operations.rules import live_of
from fieldwarden.operations.systems import lag as lag_of
from fieldwarden.operations.systems import sessions
from fieldwarden.operations.unfinished import PutOff, Unanswered, put_off, unanswered
from fieldwarden.operations.unread import unread
from fieldwarden.operations.words import age, seconds_since

HOURS = 24
"""Refused and held edits are counted over so many."""
_PATIENCE = 10.0
_NAMED = 5
"""Parked and waiting deliveries that are named; the others are counted."""
_LONG = 300.0
"""Seconds for which deliveries may be due, while somebody works, before their target counts as halted."""


@dataclass(frozen=True, slots=True)
class Applying:
    """How many records have been resolved again under the live rules, of how many, and by whom."""

    done: int
    total: int
    worker: str


@dataclass(frozen=True, slots=True)
class Onboarded:
    since: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Rules:
    """The live rulebook beside the files (both by their hash), `remark` in words if they differ. `waits`: in words,
    that nothing is delivered before the onboarding has ended, which it has since `onboarded`."""

    live: str | None
    files: str
    remark: str
    since: datetime | None
    applying: Applying | None
    onboarded: Onboarded | None
    waits: str


@dataclass(frozen=True, slots=True)
class Worker:
    number: int
    process: str
    since: datetime
    age_seconds: float
    hangs: bool
    same_rulebook: bool
    duties: Sequence[str]


@dataclass(frozen=True, slots=True)
class Source:
    """`lag_bytes` or, of a system with partitions, `lag_records` are not acknowledged yet. `read`: whether all its rows
    have been; until then nothing is delivered, and `unread` says why."""

    name: str
    state: str
    message: str
    age_seconds: float | None
    lag_bytes: int | None
    lag_records: int | None
    changes: int
    echoes: int
    read: bool
    unread: str


@dataclass(frozen=True, slots=True)
class Partition:
    """`offset` is that of the next record, `message` says why it stands still."""

    source: str
    topic: str
    partition: int
    offset: int | None
    lag: int | None
    lane: str | None
    message: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    due: int
    waiting: int
    parked: int
    oldest_seconds: float | None
    due_seconds: float | None


@dataclass(frozen=True, slots=True)
class SetAside:
    system: str
    kind: str
    number: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class HeldOfStream:
    system: str
    stream: str
    number: int
    question: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One that is parked or waits."""

    id: str
    target: str
    entity: str
    reason: str


@dataclass(frozen=True, slots=True)
class Records:
    live: int
    retired: int


@dataclass(frozen=True, slots=True)
class Same:
    """Records that carry the same value of a match key, by their ids: what they share may be personal."""

    entity: str
    match_key: str
    records: Sequence[str]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """How many per entity, and the first of them."""

    counts: Mapping[str, int]
    first: Sequence[Same]


@dataclass(frozen=True, slots=True)
class Status:
    project: str
    rulebook: str
    rules: Rules
    running: bool
    workers: Sequence[Worker]
    sources: Sequence[Source]
    partitions: Sequence[Partition]
    targets: Sequence[Target]
    put_off: Sequence[PutOff]
    unanswered: Sequence[Unanswered]
    inboxes: Sequence[Unread]
    set_aside: Sequence[SetAside]
    held_deletions: Sequence[HeldOfStream]
    parked: Sequence[Delivery]
    waiting: Sequence[Delivery]
    records: Mapping[str, Records]
    forged_marks: Sequence[Forged]
    rebaselined: Sequence[Rebaselined]
    duplicates: Duplicates
    refused_24h: int
    held_24h: int


async def status(project: Opened) -> Status:
    """Read from the hub, whose live rules have been taken, and each source's lag from its server. Raises
    EnvironmentUnfit."""
    hub = project.live_hub
    async with AsyncExitStack() as stack:
        overview, pulse, footing, held = (
            await stack.enter_async_context(hub.part(Overview)),
            await stack.enter_async_context(hub.part(Pulse)),
            await stack.enter_async_context(hub.part(HubFooting)),
            await stack.enter_async_context(hub.part(HeldDeletions)),
        )
        states = await overview.sources()
        known = {source.name: source for source in states}
        not_read = await unread(project, overview, states)
        pending = {target.name: target for target in await overview.targets()}
        workers = await overview.workers()
        parts = await overview.partitions()
        async with sessions(project):
            looks = await asyncio.gather(*(_look(project, name, parts, footing) for name in project.sources))
        sources = list(zip(project.sources, looks, strict=True))
        return Status(
            project=project.project.settings.project,
            rulebook=project.rulebook.hash,
            rules=await _rules(project),
            running=bool(workers),
            workers=[_worker(worker, project.rulebook.hash) for worker in workers],
            sources=[_source(name, known.get(name), bool(workers), look, not_read.get(name)) for name, look in sources],
            partitions=[
                _partition(part, look.lags.get(part.name))
                for name, look in sources
                for part in parts
                if part.source == name and part.name != LOG and is_partitioned(project, name)
            ],
            targets=[_target(name, pending.get(name)) for name in project.targets],
            put_off=await put_off(overview),
            unanswered=await unanswered(overview),
            inboxes=await inboxes(project),
            set_aside=[
                SetAside(each.system, each.kind, each.number, seconds_since(each.oldest))
                for each in await overview.set_aside()
            ],
            held_deletions=[
                HeldOfStream(each.system, each.stream, each.number, question(each)) for each in await held.counts()
            ],
            parked=[_delivery(each) for each in await overview.dead_letters(kind="delivery", limit=_NAMED)],
            waiting=[_delivery(each) for each in await overview.dead_letters(kind="waiting", limit=_NAMED)],
            records={each.entity: Records(each.live, each.retired) for each in await overview.records()},
            forged_marks=await forged(overview),
            rebaselined=await rebaselined(overview),
            duplicates=await _duplicates(overview),
            refused_24h=await pulse.refused(HOURS),
            held_24h=await pulse.held(HOURS),
        )


def halted(found: Status) -> Iterator[str]:
    """What does not go on, in words."""
    for source in found.sources:
        if source.state == "halted":
            yield f"source {source.name} is halted: {source.message}"
        elif source.message.startswith(PARKED):
            yield f"source {source.name}: {source.message}"
    for held in found.held_deletions:
        yield held.question
    for part in found.partitions:
        if part.message:
            yield f"source {part.source}: {part.topic}/{part.partition} stands still: {part.message}"
    waiting = found.rules.waits or any(not source.read for source in found.sources)
    since = found.rules.onboarded
    let = seconds_since(since.since) if since else inf  # before, nothing could be taken
    for target in found.targets:
        due = min(target.due_seconds or 0, let)
        if found.running and not waiting and due > _LONG:
            yield f"target {target.name} is behind: deliveries have been due for {age(due)}"


# --- parts ---------------------------------------------------------------------------------------------------


async def _duplicates(overview: Overview) -> Duplicates:
    return Duplicates(
        await overview.duplicate_counts(),
        [Same(each.entity, each.key, list(each.records)) for each in await overview.duplicates()],
    )


async def _rules(project: Opened) -> Rules:
    live = await live_of(project)
    applying = live is not None and live.former is not None
    return Rules(
        live=live.hash if live else None,
        files=project.project.rulebook.hash,
        remark=project.remark,
        since=live.since if live else None,
        applying=Applying(live.done, live.total, live.worker) if live and applying else None,
        onboarded=Onboarded(live.onboarded, live.onboarded_by) if live and live.onboarded else None,
        waits=waits(live),
    )


@dataclass(frozen=True)
class _Look:
    """A source from outside: bytes of its log that are not acknowledged, or records of each partition that are not in
    the hub; `reason`: why that cannot be told."""

    behind: int | None = None
    lags: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


async def _look(project: Opened, name: str, parts: Sequence[PartitionState], footing: HubFooting) -> _Look:
    lag: Any = lag_of(project, name, footing)
    try:
        async with asyncio.timeout(_PATIENCE):
            if is_partitioned(project, name):
                return _Look(lags=await lag.lags({part.name: part.position for part in parts if part.source == name}))
            slot = await lag.slot()
    except FieldwardenError as error:
        return _Look(reason=error.message)
    except TimeoutError:
        return _Look(reason=f"it does not answer within {_PATIENCE:.0f} s")
    finally:
        await lag.close()
    if slot is None:
        return _Look()
    return _Look(behind=slot.behind_bytes) if slot.usable else _Look(reason=slot.reason)


def _worker(worker: WorkerState, rulebook: str) -> Worker:
    same, duties = worker.rulebook == rulebook, [str(duty) for duty in worker.duties]
    return Worker(worker.number, worker.name, worker.since, seconds_since(worker.since), worker.hangs, same, duties)


def _source(name: str, known: SourceState | None, running: bool, look: _Look, unread: str | None) -> Source:
    state = known.state if known else "new"
    if not running and state in ("streaming", "snapshot", "retrying"):
        state = "stopped"
    return Source(
        name=name,
        state=state,
        message=(known.message if known else "") or (look.reason if known else ""),
        age_seconds=seconds_since(known.updated_at) if known else None,
        lag_bytes=look.behind,
        lag_records=sum(look.lags.values()) if look.lags else None,
        changes=known.changes if known else 0,
        echoes=known.echoes if known else 0,
        read=unread is None,
        unread=unread or "",
    )


def _partition(part: PartitionState, lag: int | None) -> Partition:
    topic, _, number = part.name.rpartition("/")
    return Partition(
        source=part.source,
        topic=topic,
        partition=int(number),
        offset=_offset(part.position),
        lag=lag,
        lane=str(part.lane) if part.lane else None,
        message=part.message,
        age_seconds=seconds_since(part.updated_at),
    )


def _offset(position: str | None) -> int | None:
    """That of the next record, the second number of a position (hex)."""
    numbers = (position or "").split(".")
    return int(numbers[1], 16) if len(numbers) > 1 else None


def _target(name: str, pending: TargetState | None) -> Target:
    return Target(
        name=name,
        due=pending.due if pending else 0,
        waiting=pending.waiting if pending else 0,
        parked=pending.parked if pending else 0,
        oldest_seconds=seconds_since(pending.oldest) if pending and pending.oldest else None,
        due_seconds=seconds_since(pending.oldest_due) if pending and pending.oldest_due else None,
    )


def _delivery(letter: DeadLetter) -> Delivery:
    return Delivery(letter.id, letter.system, letter.entity, letter.reason)
