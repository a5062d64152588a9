"""The files become the live rulebook, and every record is brought under it.

Beside live traffic and in bounded batches. Killed at any point, the next apply goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from fieldwarden.engine.errors import RulesChanged, TransientError
from fieldwarden.engine.hub.rules import Again, LiveRules
from fieldwarden.engine.hub.views.overview import Overview
from fieldwarden.engine.principal import Principal
from fieldwarden.operations.acts import act
from fieldwarden.operations.hub import no_hub
from fieldwarden.operations.onboarding import not_read
from fieldwarden.operations.plan import Planned, planned
from fieldwarden.operations.project import Opened
from fieldwarden.operations.rules import rules_of, take_live
from fieldwarden.operations.systems import reread
from fieldwarden.rules.errors import FieldwardenError


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


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """Columns that have to be read (no field: all rows), in words `how`; `by_itself`: without anybody's doing."""

    system: str
    stream: str
    fields: Sequence[str]
    by_itself: bool
    how: str


@dataclass(frozen=True, slots=True)
class Applied:
    """`old` and `new` are rulebooks by their hash ("" where there were no records under another). `records` were
    resolved again, `changed` of them became others. `resumed`: an apply that had been interrupted went on. `onboarded`:
    deliveries are made from now on, and were not before."""

    old: str
    new: str
    records: int = 0
    changed: int = 0
    resumed: bool = False
    reading: Sequence[ReadAgain] = ()
    onboarded: bool = False


async def applied(
    project: Opened, who: Principal, *, plan_hash: str | None = None, reason: str = "", onboarding: bool = False
) -> Applied:
    """Make the files live, and bring the records under them; what was done. `onboarding`: what waits for its end may be
    delivered from then on.

    Raises StalePlan if `plan_hash` is not that of what would be done, NotRead, CannotApply, ApplyRuns,
    EnvironmentUnfit."""
    await asyncio.to_thread(project.migrate)
    rules = rules_of(project)
    try:
        if await rules.begin(project.project.rulebook, onboarded=project.onboards_itself) and project.onboards_itself:
            return Applied("", project.project.rulebook.hash)
        await take_live(project, begin=True)
        live = await rules.live()
        waits = onboarding and live is not None and live.onboarded is None
        if waits:
            await _check_read(project)
        async with rules.alone():
            result = await _applied(project, who, rules, plan_hash, reason)
            if waits:
                await take_live(project)
                await _check_read(project)  # again: of what these rules map anew nobody has seen a row
                result = replace(result, onboarded=await rules.end_onboarding(act(who, "onboarded", reason)))
            return result
    except RulesChanged as error:
        raise StalePlan(error.message, suggestion=error.suggestion) from error
    except TransientError as error:
        raise no_hub(error) from error
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


async def _applied(project: Opened, who: Principal, rules: LiveRules, plan_hash: str | None, reason: str) -> Applied:
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
    result = Applied(found.old.hash, found.new.hash, resumed=not found.differs)
    if found.differs:
        said = act(who, "applied", reason, old=found.old.hash, new=found.new.hash, plan=found.hash)
        await rules.switch(found.live.hash, found.new, said, _again(found))
        result = replace(
            result,
            reading=[
                ReadAgain(
                    each.system,
                    each.stream,
                    list(each.fields),
                    _direct(found, each.system),
                    _how(found, each.system, each.entity, each.stream),
                )
                for each in found.changes.reading
            ],
        )
    elif found.live.former is None:
        return replace(result, resumed=False)
    records, changed = await _resolve(rules, found)
    return replace(result, records=records, changed=changed)


async def _resolve(rules: LiveRules, found: Planned) -> tuple[int, int]:
    """How many records were resolved again, and how many of them became others."""
    whole = not found.differs or found.live.former is not None  # they come from rules that are not at hand
    entities = None if whole else found.changes.entities
    rematch = frozenset(found.new.entities) if whole else _rematched(found)
    former = None if whole else found.old
    records = changed = 0
    while (step := await rules.resolve(found.new, entities, rematch, former)) is not None:
        records += step.seen
        changed += step.changed
    return records, changed


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
        return reread(found.new.systems[system], position, wanted[system])

    return {system: partial(moved, system) for system in wanted}


def _direct(found: Planned, system: str) -> bool:
    return not found.new.systems[system].partitioned


def _how(found: Planned, system: str, entity: str, stream: str) -> str:
    if _direct(found, system):
        return f"{system} {stream} is read by `fieldwarden run`, before anything is delivered"
    return (
        f"{system} {stream} is not read by itself: `fieldwarden connector register`, then "
        f"`fieldwarden backfill start --system {system} --entity {entity}`"
    )
