"""`fieldwarden plan`, told to people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fieldwarden.operations import plan as planning
from fieldwarden.operations.plan import Plan, PlannedChanges
from fieldwarden.operations.shell.counted import change, rows_table
from fieldwarden.operations.shell.opening import asked
from fieldwarden.operations.shell.report import Report, plain, table
from fieldwarden.operations.words import count

_NOTHING = "no differences: the files are the live rulebook"


def plan(folder: Path | None, *, detailed_exitcode: bool, unmask: bool) -> Report:
    """Exit code 0, or, with `detailed_exitcode`, 4 where something differs."""
    found = asked(folder, lambda project: planning.plan(project, unmask=unmask))
    result: dict[str, Any] = plain(found)
    result |= result.pop("changes") or {}
    text = "\n".join(_lines(found, found.changes)) if found.changes else _NOTHING
    notes = [f"warning: {warning}" for warning in found.warnings]
    return Report(result, text, exit_code=4 if detailed_exitcode and found.differences else 0, notes=notes)


def _lines(plan: Plan, found: PlannedChanges) -> Iterator[str]:
    yield f"live rulebook {str(plan.live)[:12]}, files {plan.files[:12]}"
    for title, names in (("comes", found.came), ("goes", found.left)):
        for name in names:
            yield f"  {title:<6} {name}"
    for name in found.given_up:
        yield f"         {name}: all its records are given up, with their golden values and what links rows to them;"
        yield "         the ledger keeps their history, rows that are mapped again begin new records"
    for each in found.rules:
        yield f"  rule   {each.entity}.{each.unit}: {each.before}"
        yield f"         now: {each.now}"
    for write in found.writing:
        yield f"  write  {write.where}: other {write.what}"
    for read in found.reading:
        what = ", ".join(read.fields) or "all rows"
        yield f"  read   {read.system} {read.stream}: {what}; {read.how}"
    yield ""
    yield from _counts(found)
    for obstacle in found.obstacles:
        yield f"  cannot be applied: {obstacle.message}"
        yield f"    try: {obstacle.suggestion}"
    yield ""
    yield f"  {found.method}; {count(found.touched, 'record')} would change"
    yield f"plan {plan.plan}: fieldwarden apply --plan-hash {plan.plan}"


def _counts(found: PlannedChanges) -> Iterator[str]:
    rows = [[f"{e.entity}.{e.field}", e.winners, e.values, "protected" if e.protected else ""] for e in found.fields]
    if rows:
        yield table(["field", "other word", "other value", ""], rows)
    if any(each.samples for each in found.fields):
        yield ""
    for each in found.fields:
        for sample in each.samples:
            name = f"{each.entity}.{each.field}"
            said = f" ({sample.winner})" if sample.winner else ""
            yield f"  e.g. {name} of {sample.record}: {change(sample.before, sample.after)}{said}"
    if found.rows:
        yield ""
        yield rows_table(found.rows)
    for word, numbers in (("retired", found.retired), ("revived", found.revived)):
        for entity, number in numbers.items():
            yield f"  {count(number, 'record')} of {entity} {word}"
