"""`fieldwarden status`: how far everything is and what waits for a person, whether `run` works or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.errors import FieldwardenError, TransientError
from engine.hub.overview import Overview, SourceState, TargetState
from engine.hub.pulse import Pulse
from engine.hub.turn import taken_by_somebody
from operations.project import Opened, opened
from operations.report import Report, age, count, table

_HOURS = 24
_NEEDS = {
    "data": ("bad data", "a person"),
    "ambiguous": ("more than one record fits", "a person"),
    "parent": ("the parent row is not known", "that row"),
    "reference": ("the row referred to is not known", "that row"),
    "behind": ("an earlier change of its row is set aside", "that change"),
}
"""Why a change is set aside, and what lets it go on."""


def status(folder: Path | None) -> Report:
    """Read from the hub, and each source's lag from its server. Raises EnvironmentUnfit without a hub."""
    with opened(folder) as project:
        project.prepare_hub()
        result = asyncio.run(_status(project))
    return Report(result, "\n".join(_lines(result)))


async def _status(project: Opened) -> dict[str, Any]:
    overview = Overview(project.hub_dsn, project.hub_schema)
    pulse = Pulse(project.hub_dsn, project.hub_schema)
    parties = [*project.sources, *project.targets]
    try:
        known = {source.name: source for source in await overview.sources()}
        pending = {target.name: target for target in await overview.targets()}
        running = await taken_by_somebody(project.hub_dsn, project.hub_schema, parties)
        lags = await asyncio.gather(*(_lag(project, name) for name in project.sources))
        return {
            "project": project.project.settings.project,
            "rulebook": project.rulebook.hash,
            "running": running,
            "sources": [
                _source(name, known.get(name), running, lag) for name, lag in zip(project.sources, lags, strict=True)
            ],
            "targets": [_target(name, pending.get(name)) for name in project.targets],
            "set_aside": [
                {"system": each.system, "kind": each.kind, "number": each.number, "oldest_seconds": _age(each.oldest)}
                for each in await overview.set_aside()
            ],
            "records": {each.entity: {"live": each.live, "retired": each.retired} for each in await overview.records()},
            "refused_24h": await pulse.refused(_HOURS),
        }
    except TransientError as error:
        raise project.no_hub(error) from error
    finally:
        await overview.close()
        await pulse.close()


async def _lag(project: Opened, name: str) -> tuple[int | None, str]:
    """Bytes of the source's log that are not acknowledged; None and why, where it cannot be told."""
    lookout = project.lookout(name)
    try:
        slot = await lookout.slot()
    except FieldwardenError as error:
        return None, error.message
    finally:
        await lookout.close()
    return (slot.behind_bytes, "") if slot.usable else (None, slot.reason)


def _source(name: str, known: SourceState | None, running: bool, lag: tuple[int | None, str]) -> dict[str, Any]:
    state = known.state if known else "new"
    if not running and state in ("streaming", "snapshot", "retrying"):
        state = "stopped"
    return {
        "name": name,
        "state": state,
        "message": (known.message if known else "") or (lag[1] if known else ""),
        "age_seconds": _age(known.updated_at) if known else None,
        "lag_bytes": lag[0],
        "changes": known.changes if known else 0,
        "echoes": known.echoes if known else 0,
    }


def _target(name: str, pending: TargetState | None) -> dict[str, Any]:
    return {
        "name": name,
        "due": pending.due if pending else 0,
        "waiting": pending.waiting if pending else 0,
        "parked": pending.parked if pending else 0,
        "oldest_seconds": _age(pending.oldest) if pending and pending.oldest else None,
    }


def _age(moment: datetime) -> float:
    return round((datetime.now(UTC) - moment).total_seconds(), 1)


def _lines(result: dict[str, Any]) -> Iterator[str]:
    yield f"{result['project']}: {'running' if result['running'] else 'not running'}"
    rows = [
        [s["name"], s["state"], age(s["age_seconds"]), _bytes(s["lag_bytes"]), s["changes"], s["message"]]
        for s in result["sources"]
    ]
    yield _block(["source", "state", "moved", "lag", "changes", ""], rows)
    rows = [
        [t["name"], t["due"], t["waiting"], t["parked"], age(t["oldest_seconds"]) if t["oldest_seconds"] else "-"]
        for t in result["targets"]
    ]
    yield _block(["target", "due", "waiting", "parked", "oldest"], rows)
    rows = [[entity, n["live"], n["retired"]] for entity, n in result["records"].items()]
    if rows:
        yield _block(["entity", "records", "retired"], rows)
    if result["set_aside"]:
        rows = [
            [a["system"], *_NEEDS.get(a["kind"], (a["kind"], "a person")), a["number"], age(a["oldest_seconds"])]
            for a in result["set_aside"]
        ]
        yield _block(["set aside from", "because", "needs", "number", "oldest"], rows)
        yield "  see: fieldwarden deadletter list"
    yield f"  {count(result['refused_24h'], 'edit')} of protected fields refused in the last {_HOURS} hours"


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
