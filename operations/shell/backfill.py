"""`fieldwarden backfill`, told to people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fieldwarden.operations import backfill
from fieldwarden.operations.backfill import Table, Wanted, of
from fieldwarden.operations.shell.opening import in_project
from fieldwarden.operations.shell.report import Failure, Report, plain, table
from fieldwarden.operations.words import count


def start(folder: Path | None, wanted: Wanted, *, wait: bool, patience: float, say: Callable[[str], None]) -> Report:
    done = in_project(folder, lambda project: backfill.start(project, wanted, wait=wait, patience=patience, say=say))
    tables = [_plain(each) for each in done.tables]
    result = {"backfill": done.backfill, "system": done.system, "entity": done.entity, "tables": tables}
    total = sum(each.rows or 0 for each in done.tables)
    if done.failure is not None:
        report = Report(result, _table(done.tables), Failure.of(done.failure), done.failure.exit_code)
    elif not wait:
        see = f"see `fieldwarden backfill status --system {done.system}`"
        report = Report(result, f"backfill {done.backfill} of {done.tables[0].table} is asked for; {see}")
    else:
        text = f"{_table(done.tables)}\n{count(total, 'row')} told again; `fieldwarden run` decides on them"
        report = Report(result, text)
    if done.left_out:
        names = ", ".join(done.left_out)
        report.notes.append(f"--where speaks of {done.streams[0]}; not read again: {names} (--stream chooses another)")
    return report


def status(folder: Path | None, system: str, limit: int) -> Report:
    found = in_project(folder, lambda project: backfill.history(project, system, limit))
    rows = [
        [each.backfill, each.entity, each.table, each.state, of(each.rows, each.total), each.since] for each in found
    ]
    text = table(["backfill", "entity", "table", "state", "rows", "since"], rows, indent="") if rows else "no backfill"
    return Report({"system": system, "backfills": plain(found)}, text)


def _plain(each: Table) -> dict[str, Any]:
    """Of one that was only asked for nothing is said of rows."""
    return {"table": each.table, "state": each.state} | ({} if each.state == "sent" else {"rows": each.rows})


def _table(done: Sequence[Table]) -> str:
    rows = [[each.table, each.state, "-" if each.rows is None else f"{each.rows:,}"] for each in done]
    return table(["table", "state", "rows"], rows, indent="")
