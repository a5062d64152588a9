"""`fieldwarden status`: how far everything is, what waits, and for what or whom, whether `run` works or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any

from engine.errors import FieldwardenError, TransientError
from engine.hub.brake import HeldDeletions
from engine.hub.footing import HubFooting
from engine.hub.overview import DeadLetter, Overview, PartitionState, SourceState, TargetState, WorkerState
from engine.hub.pulse import Pulse
from engine.pipeline import PARKED
from engine.sharing import SHARDS
from operations.deletes import question
from operations.loops import loop_of
from operations.onboarding import waits
from operations.project import Opened, is_partitioned, opened
from operations.report import Report, age, count, table
from operations.rules import live_of
from operations.systems import lookout as lookout_of
from operations.unread import held_up, unread

_HOURS = 24
_PATIENCE = 10.0
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


_NAMED = 5
"""Parked and waiting deliveries that are named; the others are counted."""
_LONG = 300.0
"""Seconds for which deliveries may be due, while somebody works, before their target counts as halted."""


def status(folder: Path | None, *, check: bool = False) -> Report:
    """Read from the hub, and each source's lag from its server. Exit code 1 with `check` if anything is `halted`.
    Raises EnvironmentUnfit without a hub."""
    with opened(folder) as project:
        project.prepare_hub()
        result = asyncio.run(_status(project))
    result["halted"] = list(halted(result))
    return Report(result, "\n".join(_lines(result)), exit_code=1 if check and result["halted"] else 0)


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
            "refused_24h": await pulse.refused(_HOURS),
            "held_24h": await pulse.held(_HOURS),
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
        "duties": list(worker.duties),
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


def _duties(names: Sequence[str]) -> str:
    """In few words: a target of which all shards are here goes by its name alone."""
    loops = {loop: [name.partition("/")[2] for name in some] for loop, some in groupby(names, loop_of)}
    told = (
        loop if shards in ([""], [str(shard) for shard in SHARDS]) else f"{loop}/{','.join(shards)}"
        for loop, shards in loops.items()
    )
    return " ".join(told) or "-"


def _lines(result: dict[str, Any]) -> Iterator[str]:
    yield f"{result['project']}: {'running' if result['running'] else 'not running'}"
    rules = result["rules"]
    if rules["remark"]:
        yield f"  {rules['remark']}"
    if rules["waits"]:
        yield f"  {rules['waits']}"
    if rules["applying"]:
        done, total, worker = (rules["applying"][name] for name in ("done", "total", "worker"))
        yield (
            f"  {done:,} of {total:,} records have been resolved under the live rulebook {rules['live'][:12]}"
            f" by {worker}; if that was interrupted, `fieldwarden apply` goes on"
        )
    rows = [
        [w["number"], w["process"], age(w["age_seconds"]), _duties(w["duties"]), _complaint(w)]
        for w in result["workers"]
    ]
    if rows:
        yield _block(["worker", "process", "since", "duties", ""], rows)
    rows = [
        [s["name"], s["state"], age(s["age_seconds"]), _lag(s), s["changes"], s["message"]] for s in result["sources"]
    ]
    yield _block(["source", "state", "moved", "lag", "changes", ""], rows)
    rows = [
        [
            f"{p['topic']}/{p['partition']}",
            "-" if p["offset"] is None else p["offset"],
            "?" if p["lag"] is None else p["lag"],
            p["lane"] or "-",
            p["message"] and f"stands still: {p['message']}",
        ]
        for p in result["partitions"]
    ]
    if rows:
        yield _block(["partition", "offset", "lag", "lane", ""], rows)
    rows = [
        [t["name"], t["due"], t["waiting"], t["parked"], age(t["oldest_seconds"]) if t["oldest_seconds"] else "-"]
        for t in result["targets"]
    ]
    yield _block(["target", "due", "waiting", "parked", "oldest"], rows)
    if result["running"] or any(t["due"] for t in result["targets"]):
        for source in result["sources"]:
            if not source["read"]:
                yield f"  {held_up(source['name'], source['unread'])}\n"
    yield from _deliveries(result, "parked", "a person ends it: see fieldwarden deadletter list --kind delivery")
    yield from _deliveries(result, "waiting", "that record ends it: see fieldwarden deadletter list --kind waiting")
    rows = [[entity, n["live"], n["retired"]] for entity, n in result["records"].items()]
    if rows:
        yield _block(["entity", "records", "retired"], rows)
    if result["set_aside"]:
        rows = [
            [a["system"], *NEEDS.get(a["kind"], (a["kind"], "a person")), a["number"], age(a["oldest_seconds"])]
            for a in result["set_aside"]
        ]
        yield _block(["set aside from", "because", "needs", "number", "oldest"], rows)
        yield "  see: fieldwarden deadletter list"
    for held in result["held_deletions"]:
        yield f"  {held['question']}\n"
    for forged in result["forged_marks"]:
        yield (
            f"  forged marks in {forged['system']}: somebody has marked {count(forged['number'], 'transaction')} as "
            f"our own writes, the last ({forged['last']}) {age(forged['age_seconds'])} ago; their changes are decided "
            "like any other\n"
        )
    yield from _alike(result["duplicates"])
    yield f"  {count(result['refused_24h'], 'edit')} of protected fields refused in the last {_HOURS} hours"
    if result["held_24h"]:
        yield f"  {count(result['held_24h'], 'edit')} held for an approval in the last {_HOURS} hours"


def _deliveries(result: dict[str, Any], kind: str, hint: str) -> Iterator[str]:
    """Some of those that are parked or wait, with the reason and what ends it."""
    number = sum(target[kind] for target in result["targets"])
    if not number:
        return
    for letter in result[kind]:
        yield f"  {kind}: {letter['entity']} to {letter['target']}: {letter['reason']}"
    more = f"and {number - len(result[kind])} more; " if number > len(result[kind]) else ""
    yield f"  {more}{hint}\n"


def _alike(duplicates: dict[str, Any]) -> Iterator[str]:
    if not duplicates["first"]:
        return
    shown = duplicates["first"][:_SHOWN]
    rows = [[each["entity"], each["match_key"], " ".join(each["records"])] for each in shown]
    yield _block(["alike", "in", "records"], rows)
    more = sum(duplicates["counts"].values()) - len(shown)
    if more > 0:
        yield f"  and {more} more: fieldwarden status --json"
    yield "  they may be one and the same; see: fieldwarden explain RECORD\n"


def _complaint(worker: dict[str, Any]) -> str:
    if worker["hangs"]:
        return "hangs: it has not spoken within its lease"
    return "" if worker["same_rulebook"] else "has not taken over the live rulebook yet"


def _lag(source: dict[str, Any]) -> str:
    return count(source["lag_records"], "record") if source["lag_records"] is not None else _bytes(source["lag_bytes"])


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
