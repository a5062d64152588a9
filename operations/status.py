"""`fieldwarden status`: how far everything is, what waits, and for what or whom, whether `run` works or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from fieldwarden.engine.errors import FieldwardenError, TransientError
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
from fieldwarden.engine.running.ingest.session import PARKED
from fieldwarden.operations.deletes import question
from fieldwarden.operations.onboarding import waits
from fieldwarden.operations.project import Opened, is_partitioned, opened
from fieldwarden.operations.report import Report, age
from fieldwarden.operations.rules import live_of, prepare_hub
from fieldwarden.operations.status_words import HOURS, lines
from fieldwarden.operations.systems import lookout as lookout_of
from fieldwarden.operations.unread import unread

_PATIENCE = 10.0
_NAMED = 5
"""Parked and waiting deliveries that are named; the others are counted."""
_LONG = 300.0
"""Seconds for which deliveries may be due, while somebody works, before their target counts as halted."""


def status(folder: Path | None, *, check: bool = False) -> Report:
    """Read from the hub, and each source's lag from its server. Exit code 1 with `check` if anything is `halted`.
    Raises EnvironmentUnfit without a hub."""
    with opened(folder) as project:
        prepare_hub(project)
        result = asyncio.run(_status(project))
    result["halted"] = list(halted(result))
    return Report(result, "\n".join(lines(result)), exit_code=1 if check and result["halted"] else 0)


def halted(result: dict[str, Any]) -> Iterator[str]:
    """What does not go on, in words; `result` is what status tells of everything."""
    for source in result["sources"]:
        if source["state"] == "halted":
            yield f"source {source['name']} is halted: {source['message']}"
        elif source["message"].startswith(PARKED):
            yield f"source {source['name']}: {source['message']}"
    for held in result["held_deletions"]:
        yield held["question"]
    for part in result["partitions"]:
        if part["message"]:
            yield f"source {part['source']}: {part['topic']}/{part['partition']} stands still: {part['message']}"
    held = result["rules"]["waits"] or any(not source["read"] for source in result["sources"])
    since = result["rules"]["onboarded"]
    let = _age(datetime.fromisoformat(since["since"])) if since else inf  # before, nothing could be taken
    for target in result["targets"]:
        due = min(target["due_seconds"] or 0, let)
        if result["running"] and not held and due > _LONG:
            yield f"target {target['name']} is behind: deliveries have been due for {age(due)}"


async def _status(project: Opened) -> dict[str, Any]:
    overview = Overview(project.hub_dsn, project.hub_schema)
    pulse = Pulse(project.hub_dsn, project.hub_schema)
    footing = HubFooting(project.hub_dsn, project.hub_schema)
    held = HeldDeletions(project.hub_dsn, project.hub_schema)
    try:
        states = await overview.sources()
        known = {source.name: source for source in states}
        not_read = await unread(project, overview, states)
        pending = {target.name: target for target in await overview.targets()}
        workers = await overview.workers()
        parts = await overview.partitions()
        looks = await asyncio.gather(*(_look(project, name, parts, footing) for name in project.sources))
        return {
            "project": project.project.settings.project,
            "rulebook": project.rulebook.hash,
            "rules": await _rules(project),
            "running": bool(workers),
            "workers": [_worker(worker, project.rulebook.hash) for worker in workers],
            "sources": [
                {**_source(name, known.get(name), bool(workers), look), **_reading(not_read.get(name))}
                for name, look in zip(project.sources, looks, strict=True)
            ],
            "partitions": [
                _partition(part, look.lags.get(part.name))
                for name, look in zip(project.sources, looks, strict=True)
                for part in parts
                if part.source == name
            ],
            "targets": [_target(name, pending.get(name)) for name in project.targets],
            "set_aside": [
                {"system": each.system, "kind": each.kind, "number": each.number, "oldest_seconds": _age(each.oldest)}
                for each in await overview.set_aside()
            ],
            "held_deletions": [
                {"system": each.system, "stream": each.stream, "number": each.number, "question": question(each)}
                for each in await held.counts()
            ],
            "parked": [_letter(each) for each in await overview.dead_letters(kind="delivery", limit=_NAMED)],
            "waiting": [_letter(each) for each in await overview.dead_letters(kind="waiting", limit=_NAMED)],
            "records": {each.entity: {"live": each.live, "retired": each.retired} for each in await overview.records()},
            "forged_marks": [
                {"system": each.system, "number": each.number, "last": each.transaction, "age_seconds": _since(each.at)}
                for each in await overview.forged_marks()
            ],
            "duplicates": await _duplicates(overview),
            "refused_24h": await pulse.refused(HOURS),
            "held_24h": await pulse.held(HOURS),
        }
    except TransientError as error:
        raise project.no_hub(error) from error
    finally:
        await overview.close()
        await pulse.close()
        await footing.close()
        await held.close()


async def _duplicates(overview: Overview) -> dict[str, Any]:
    """How many per entity, and the first of them by their ids: what they share may be personal."""
    return {
        "counts": await overview.duplicate_counts(),
        "first": [
            {"entity": each.entity, "match_key": each.key, "records": list(each.records)}
            for each in await overview.duplicates()
        ],
    }


async def _rules(project: Opened) -> dict[str, Any]:
    """The live rulebook beside the files. `applying`: records that have been resolved again under it, of how many.
    `waits`: that nothing is delivered before the onboarding has ended, which it has since `onboarded`."""
    live = await live_of(project)
    applying = live is not None and live.former is not None
    onboarded = live.onboarded if live else None
    return {
        "live": live.hash if live else None,
        "files": project.project.rulebook.hash,
        "remark": project.remark,
        "since": live.since.isoformat() if live else None,
        "applying": {"done": live.done, "total": live.total, "worker": live.worker} if live and applying else None,
        "onboarded": {"since": onboarded.isoformat(), "by": live.onboarded_by} if live and onboarded else None,
        "waits": waits(live),
    }


@dataclass(frozen=True)
class _Look:
    """A source from outside: bytes of its log that are not acknowledged, or records of each partition that are not in
    the hub; `reason`: why that cannot be told."""

    behind: int | None = None
    lags: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


async def _look(project: Opened, name: str, parts: Sequence[PartitionState], footing: HubFooting) -> _Look:
    lookout: Any = lookout_of(project, name, footing)
    try:
        async with asyncio.timeout(_PATIENCE):
            if is_partitioned(project, name):
                return _Look(
                    lags=await lookout.lags({part.name: part.position for part in parts if part.source == name})
                )
            slot = await lookout.slot()
    except FieldwardenError as error:
        return _Look(reason=error.message)
    except TimeoutError:
        return _Look(reason=f"it does not answer within {_PATIENCE:.0f} s")
    finally:
        await lookout.close()
    return _Look(behind=slot.behind_bytes) if slot.usable else _Look(reason=slot.reason)


def _worker(worker: WorkerState, rulebook: str) -> dict[str, Any]:
    return {
        "number": worker.number,
        "process": worker.name,
        "since": worker.since.isoformat(),
        "age_seconds": _age(worker.since),
        "hangs": worker.hangs,
        "same_rulebook": worker.rulebook == rulebook,
        "duties": [str(duty) for duty in worker.duties],
    }


def _source(name: str, known: SourceState | None, running: bool, look: _Look) -> dict[str, Any]:
    state = known.state if known else "new"
    if not running and state in ("streaming", "snapshot", "retrying"):
        state = "stopped"
    return {
        "name": name,
        "state": state,
        "message": (known.message if known else "") or (look.reason if known else ""),
        "age_seconds": _age(known.updated_at) if known else None,
        "lag_bytes": look.behind,
        "lag_records": sum(look.lags.values()) if look.lags else None,
        "changes": known.changes if known else 0,
        "echoes": known.echoes if known else 0,
    }


def _reading(reason: str | None) -> dict[str, Any]:
    """`read`: whether all its rows have been; until then nothing is delivered, and `unread` says why."""
    return {"read": reason is None, "unread": reason or ""}


def _partition(part: PartitionState, lag: int | None) -> dict[str, Any]:
    topic, _, number = part.name.rpartition("/")
    return {
        "source": part.source,
        "topic": topic,
        "partition": int(number),
        "offset": _offset(part.position),
        "lag": lag,
        "lane": f"{part.source}#{part.worker}" if part.worker is not None else None,
        "message": part.message,
        "age_seconds": _age(part.updated_at),
    }


def _offset(position: str | None) -> int | None:
    """That of the next record, the second number of a position (hex)."""
    numbers = (position or "").split(".")
    return int(numbers[1], 16) if len(numbers) > 1 else None


def _target(name: str, pending: TargetState | None) -> dict[str, Any]:
    return {
        "name": name,
        "due": pending.due if pending else 0,
        "waiting": pending.waiting if pending else 0,
        "parked": pending.parked if pending else 0,
        "oldest_seconds": _age(pending.oldest) if pending and pending.oldest else None,
        "due_seconds": _age(pending.oldest_due) if pending and pending.oldest_due else None,
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {"id": letter.id, "target": letter.system, "entity": letter.entity, "reason": letter.reason}


def _age(moment: datetime) -> float:
    return round((datetime.now(UTC) - moment).total_seconds(), 1)


def _since(at: int) -> float:
    return _age(datetime.fromtimestamp(at / 1e6, UTC))
