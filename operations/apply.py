"""`fieldwarden apply`: the files become the live rulebook, and every record is brought under it.

Beside live traffic and in bounded batches. Killed at any point, the next apply goes on where it was.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldwarden.engine.errors import RulesChanged, TransientError
from fieldwarden.engine.hub.rules import Again, LiveRules
from fieldwarden.engine.hub.views.overview import Overview
from fieldwarden.operations import person
from fieldwarden.operations.onboarding import not_read
from fieldwarden.operations.plan import Planned, planned
from fieldwarden.operations.project import Opened, opened
from fieldwarden.operations.report import Report, count
from fieldwarden.operations.rules import rules_of, take_live
from fieldwarden.rules.errors import FieldwardenError

_ONBOARDED = "the systems have been introduced: `fieldwarden run` delivers from now on"


class StalePlan(FieldwardenError):
    """The plan was made for other files, or for another live rulebook."""

    code = "stale_plan"


class NotRead(FieldwardenError):
    """Systems meet for the first time, and not all has been read that somebody should have looked at."""

    code = "not_read"


class CannotApply(FieldwardenError):
    """A difference that the records there are cannot be brought under."""

    code = "cannot_apply"
    exit_code = 2


def apply(folder: Path | None, *, plan_hash: str | None, reason: str) -> Report:
    """Also ends the onboarding. Raises ConfigurationError, StalePlan, NotRead, CannotApply, ApplyRuns,
    EnvironmentUnfit."""
    with opened(folder) as project:
        project.migrate()
        result = asyncio.run(applied(project, plan_hash=plan_hash, reason=reason, onboarding=True))
    return Report(result, _text(result), notes=[each["how"] for each in result["reading"] if not each["by_itself"]])


async def applied(
    project: Opened, *, plan_hash: str | None = None, reason: str = "", onboarding: bool = False
) -> dict[str, Any]:
    """Make the files live, and bring the records under them; what was done. `onboarding`: what waits for its end may be
    delivered from then on. The hub has been migrated."""
    rules = rules_of(project)
    try:
        if await rules.begin(project.project.rulebook, onboarded=project.onboards_itself) and project.onboards_itself:
            return _result("", project.project.rulebook.hash)
        await take_live(project, begin=True)
        live = await rules.live()
        waits = onboarding and live is not None and live.onboarded is None
        if waits:
            await _check_read(project)
        async with rules.alone():
            result = await _applied(project, rules, plan_hash, reason)
            if waits:
                await take_live(project)
                await _check_read(project)  # again: of what these rules map anew nobody has seen a row
                result["onboarded"] = await rules.end_onboarding(person.act("onboarded", reason))
            return result
    except RulesChanged as error:
        raise StalePlan(error.message, suggestion=error.suggestion) from error
    except TransientError as error:
        raise project.no_hub(error) from error
    finally:
        await rules.close()


async def _check_read(project: Opened) -> None:
    overview = Overview(project.hub_dsn, project.hub_schema)
    try:
        missing = await not_read(project, overview)
    finally:
        await overview.close()
    if missing:
        raise NotRead(
            f"not all has been read yet: {'; '.join(f'{system}: {why}' for system, why in missing.items())}",
            suggestion="`fieldwarden onboard` reads all, and shows what would be delivered",
        )


async def _applied(project: Opened, rules: LiveRules, plan_hash: str | None, reason: str) -> dict[str, Any]:
    found = await planned(project)
    assert found is not None, "there is a live rulebook"
    if plan_hash is not None and plan_hash != found.hash:
        raise StalePlan(
            f"plan {plan_hash} is not the plan of these files and the live rulebook: that is {found.hash} now",
            suggestion="look at it again: `fieldwarden plan`",
        )
    if found.changes.obstacles:
        words = "; ".join(each.words for each in found.changes.obstacles)
        raise CannotApply(words, suggestion=found.changes.obstacles[0].suggestion)
    result = _result(found.old.hash, found.new.hash)
    if found.differs:
        act = person.act("applied", reason, old=found.old.hash, new=found.new.hash, plan=found.hash)
        await rules.switch(found.live.hash, found.new, act, _again(found))
        result["reading"] = [
            {
                "system": each.system,
                "stream": each.stream,
                "fields": list(each.fields),
                "by_itself": _direct(found, each.system),
                "how": _how(found, each.system, each.entity, each.stream),
            }
            for each in found.changes.reading
        ]
    elif found.live.former is None:
        return result
    result["resumed"] = not found.differs
    await _resolve(rules, found, result)
    return result


async def _resolve(rules: LiveRules, found: Planned, result: dict[str, Any]) -> None:
    whole = not found.differs or found.live.former is not None  # they come from rules that are not at hand
    entities = None if whole else found.changes.entities
    rematch = frozenset(found.new.entities) if whole else _rematched(found)
    former = None if whole else found.old
    while (step := await rules.resolve(found.new, entities, rematch, former)) is not None:
        result["records"] += step.seen
        result["changed"] += step.changed


def _rematched(found: Planned) -> frozenset[str]:
    old, new = found.old.entities, found.new.entities
    return frozenset(name for name in old.keys() & new.keys() if old[name].match != new[name].match)


def _again(found: Planned) -> dict[str, Again]:
    """Systems of which streams have to be read, with what becomes of their stored positions."""
    wanted: dict[str, set[str]] = {}
    for each in found.changes.reading:
        if _direct(found, each.system):
            wanted.setdefault(each.system, set()).add(each.stream)

    def moved(system: str, position: str) -> str:
        """Without these streams: the source reads what its position does not name."""
        from fieldwarden.connectors.postgres.reading.position import WalPosition

        try:
            known = WalPosition.decode(position)
        except ValueError:
            return position
        return replace(known, streams=tuple(s for s in known.streams if s not in wanted[system])).encode()

    return dict.fromkeys(wanted, moved)


def _direct(found: Planned, system: str) -> bool:
    return not found.new.systems[system].partitioned


def _how(found: Planned, system: str, entity: str, stream: str) -> str:
    if _direct(found, system):
        return f"{system} {stream} is read by `fieldwarden run`, before anything is delivered"
    return (
        f"{system} {stream} is not read by itself: `fieldwarden connector register`, then "
        f"`fieldwarden backfill start --system {system} --entity {entity}`"
    )


def _result(old: str, new: str) -> dict[str, Any]:
    return {"old": old, "new": new, "records": 0, "changed": 0, "resumed": False, "reading": [], "onboarded": False}


def _text(result: dict[str, Any]) -> str:
    return f"{_rules_text(result)}\n{_ONBOARDED}" if result["onboarded"] else _rules_text(result)


def _rules_text(result: dict[str, Any]) -> str:
    if not result["old"]:
        return f"rulebook {result['new'][:12]} is live; there were no records under another"
    if result["old"] == result["new"] and not result["resumed"]:
        return f"nothing to apply: rulebook {result['new'][:12]} is live"
    head = f"rulebook {result['new'][:12]} is live"
    head += " (an apply that had been interrupted went on)" if result["resumed"] else f", {result['old'][:12]} was"
    lines = [
        head,
        f"  {count(result['records'], 'record')} resolved again, {count(result['changed'], 'record')} changed",
    ]
    lines += [f"  {each['how']}" for each in result["reading"] if each["by_itself"]]
    return "\n".join(lines)
