"""`fieldwarden plan`: what the files would change, counted over the hub's real records; nothing is changed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldwarden.engine.checking.preview import Preview
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.asking import Mask
from fieldwarden.engine.hub.rules import Live
from fieldwarden.engine.hub.views.planning import preview
from fieldwarden.operations.counted import change, rows_table, rows_told
from fieldwarden.operations.project import Opened, opened
from fieldwarden.operations.protected import protection
from fieldwarden.operations.report import Report, count, table
from fieldwarden.operations.rules import live_of, loaded_from, prepare_hub
from fieldwarden.rules.changes import Changes, Reading, compare
from fieldwarden.rules.rulebook import Rulebook

_PROCESSES = 8
_NOTHING = "no differences: the files are the live rulebook"


@dataclass(frozen=True)
class Planned:
    """The live rulebook beside the files: what differs, and the hash that an apply may insist on."""

    live: Live
    old: Rulebook
    new: Rulebook
    changes: Changes

    @property
    def differs(self) -> bool:
        return self.old.hash != self.new.hash

    @property
    def hash(self) -> str:
        return hashlib.sha256(f"{self.old.hash}\n{self.new.hash}".encode()).hexdigest()[:16]


def plan(folder: Path | None, *, detailed_exitcode: bool, unmask: bool) -> Report:
    """Exit code 0, or, with `detailed_exitcode`, 4 where something differs. Raises ConfigurationError and
    EnvironmentUnfit."""
    with opened(folder) as project:
        prepare_hub(project)
        found = asyncio.run(_plan(project, unmask))
    text = "\n".join(_lines(found)) if found["differences"] else _NOTHING
    notes = [f"warning: {warning}" for warning in found["warnings"]]
    return Report(found, text, exit_code=4 if detailed_exitcode and found["differences"] else 0, notes=notes)


async def planned(project: Opened) -> Planned | None:
    """None in a hub without a live rulebook: the first run, or apply, makes the files live."""
    live = await live_of(project)
    if live is None:
        return None
    old = loaded_from(live)
    return Planned(live, old, project.project.rulebook, compare(old, project.project.rulebook))


async def _plan(project: Opened, unmask: bool) -> dict[str, Any]:
    await _check_version(project)
    found = await planned(project)
    files = project.project.rulebook.hash
    warnings = [str(warning) for warning in project.project.warnings]
    protected = await protection(project)
    warnings += [f"{each.path}: {each.message} (try: {each.suggestion})" for each in protected.found]
    warnings += protected.unchecked
    if found is None:
        return {"live": None, "files": files, "plan": None, "differences": False, "warnings": warnings}
    result = {
        "live": found.old.hash,
        "files": files,
        "plan": found.hash,
        "differences": found.differs,
        "warnings": warnings,
    }
    if not found.differs:
        return result
    began = time.monotonic()
    mixed = found.live.former is not None
    seen = Preview(found.old, found.new, found.changes, mixed=mixed)
    processes = 1
    if found.changes.entities:
        where = project.hub_dsn, project.hub_schema
        processes = await preview(*where, found.changes.entities, seen, processors())
    return result | _told(found, seen, processes, time.monotonic() - began, unmask)


def processors() -> int:
    """How many processes may count side by side: as many as this one may use processors, but not all connections."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(ours, _PROCESSES)


async def _check_version(project: Opened) -> None:
    from fieldwarden.engine.hub.views.checkup import check_up

    found = await check_up(project.hub_dsn, project.hub_schema)
    if found.applied < found.known:
        raise EnvironmentUnfit(
            f"the hub's tables are of version {found.applied}, and this program's of version {found.known}",
            suggestion="the next `fieldwarden run` brings them up to date; plan again then",
        )


def _told(found: Planned, seen: Preview, processes: int, seconds: float, unmask: bool) -> dict[str, Any]:
    masks = Mask(found.old, unmask=unmask), Mask(found.new, unmask=unmask)

    def shown(entity: str, name: str, value: str | None) -> str | None:
        """Hidden if either rulebook hides it, of those that know the field."""
        for rules, mask in zip((found.old, found.new), masks, strict=True):
            if name in (rules.entities[entity].fields if entity in rules.entities else ()):
                value = mask.value(entity, name, value)
        return value

    changes = found.changes
    how = f"streamed pass over {count(seen.records, 'record')} of {', '.join(sorted(changes.entities)) or 'nothing'}"
    how += f", in {processes} processes," if processes > 1 else ""
    return {
        "rules": [
            {"entity": entity, "unit": unit, "before": before, "now": now}
            for entity, unit, before, now in (
                *((entity, "identity", before, now) for entity, before, now in changes.matching),
                *changes.rules,
            )
        ],
        "came": list(changes.came),
        "left": list(changes.left),
        "writing": [{"where": where, "what": what} for where, what in changes.writing],
        "given_up": sorted(found.old.entities.keys() - found.new.entities.keys()),
        "reading": [_reading(found.new, each) for each in changes.reading],
        "obstacles": [{"message": each.words, "suggestion": each.suggestion} for each in changes.obstacles],
        "fields": [
            {
                "entity": entity,
                "field": name,
                "protected": _protected(found, entity, name),
                "values": counts.values,
                "winners": counts.winners,
                "samples": [
                    {
                        "record": each.record,
                        "before": shown(entity, name, each.before),
                        "after": shown(entity, name, each.after),
                        "winner": each.winner,
                    }
                    for each in counts.samples
                ],
            }
            for (entity, name), counts in sorted(seen.fields.items())
        ],
        "rows": rows_told(seen.rows),
        "retired": seen.retired,
        "revived": seen.revived,
        "records": seen.records,
        "touched": seen.touched,
        "seconds": round(seconds, 2),
        "method": f"{how} in {seconds:.1f} s",
    }


def _protected(found: Planned, entity: str, name: str) -> bool:
    """By either rulebook."""
    units = [rules.entities[entity].unit_of.get(name) for rules in (found.old, found.new) if entity in rules.entities]
    return any(unit is not None and unit.policy.protected for unit in units)


def _reading(rules: Rulebook, each: Reading) -> dict[str, Any]:
    direct = not rules.systems[each.system].partitioned
    how = (
        "read by `fieldwarden run` itself, before anything is delivered"
        if direct
        else f"not read by itself: `fieldwarden backfill start --system {each.system} --entity {each.entity}`"
    )
    return {
        "system": each.system,
        "stream": each.stream,
        "entity": each.entity,
        "fields": list(each.fields),
        "how": how,
    }


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"live rulebook {found['live'][:12]}, files {found['files'][:12]}"
    for title, names in (("comes", found["came"]), ("goes", found["left"])):
        for name in names:
            yield f"  {title:<6} {name}"
    for name in found["given_up"]:
        yield f"         {name}: all its records are given up, with their golden values and what links rows to them;"
        yield "         the ledger keeps their history, rows that are mapped again begin new records"
    for each in found["rules"]:
        yield f"  rule   {each['entity']}.{each['unit']}: {each['before']}"
        yield f"         now: {each['now']}"
    for each in found["writing"]:
        yield f"  write  {each['where']}: other {each['what']}"
    for each in found["reading"]:
        what = ", ".join(each["fields"]) or "all rows"
        yield f"  read   {each['system']} {each['stream']}: {what}; {each['how']}"
    yield ""
    yield from _counts(found)
    for each in found["obstacles"]:
        yield f"  cannot be applied: {each['message']}"
        yield f"    try: {each['suggestion']}"
    yield ""
    yield f"  {found['method']}; {count(found['touched'], 'record')} would change"
    yield f"plan {found['plan']}: fieldwarden apply --plan-hash {found['plan']}"


def _counts(found: dict[str, Any]) -> Iterator[str]:
    rows = [
        [f"{e['entity']}.{e['field']}", e["winners"], e["values"], "protected" if e["protected"] else ""]
        for e in found["fields"]
    ]
    if rows:
        yield table(["field", "other word", "other value", ""], rows)
    if any(each["samples"] for each in found["fields"]):
        yield ""
    for each in found["fields"]:
        for sample in each["samples"]:
            name = f"{each['entity']}.{each['field']}"
            said = f" ({sample['winner']})" if sample["winner"] else ""
            yield f"  e.g. {name} of {sample['record']}: {change(sample['before'], sample['after'])}{said}"
    if found["rows"]:
        yield ""
        yield rows_table(found["rows"])
    for word in ("retired", "revived"):
        for entity, number in found[word].items():
            yield f"  {count(number, 'record')} of {entity} {word}"
