"""`fieldwarden audit`: the ledger's proof told to people, and its decisions written as JSON Lines or CSV."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

import msgspec

from fieldwarden.engine.hub.views.audit import VerifyReport
from fieldwarden.engine.hub.views.export import COLUMNS, ExportedRow, Filters
from fieldwarden.operations import audit
from fieldwarden.operations.hub import LiveHub
from fieldwarden.operations.shell.opening import asked_of_hub
from fieldwarden.operations.shell.report import Failure, Report
from fieldwarden.operations.words import count
from fieldwarden.rules.errors import FieldwardenError

Format = Literal["jsonl", "csv"]

_NEEDS_QUOTES = re.compile(r'[",\r\n]|^$')
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?$")
_HEAD = ",".join(COLUMNS) + "\n"


class BadFilter(FieldwardenError):
    code = "usage"
    exit_code = 2


class CannotWrite(FieldwardenError):
    code = "cannot_write"


def verify(folder: Path | None) -> Report:
    """Exit code 1 and every break named if the ledger does not prove what it claims."""
    found = asked_of_hub(folder, lambda hub: audit.verify(hub.dsn, hub.schema))
    result = msgspec.to_builtins(found)
    if found.ok:
        return Report(result, text(found))
    failure = Failure(
        "ledger_broken",
        text(found),
        "somebody or something changed the hub's tables: restore them from a backup, and find out who can write there",
        str(found.breaks[0]) if found.breaks else "",
    )
    return Report(result, failure=failure, exit_code=1)


def export(
    folder: Path | None,
    *,
    format: Format,
    output: Path | None,
    since: str | None,
    until: str | None,
    unmask: bool,
    **filters: str | None,
) -> Report:
    """The decisions to `output`, or to stdout. `since` and `until` are ISO 8601, UTC if unsaid. Raises BadFilter,
    CannotWrite."""
    chosen = Filters(since=_moment("--since", since), until=_moment("--until", until), **filters)

    async def write(hub: LiveHub) -> int:
        with _sink(output) as out:
            return await written(hub, chosen, format, out, unmask=unmask)

    number = asked_of_hub(folder, write)
    where = str(output) if output else "-"
    note = f"{count(number, 'decision')} exported" + (f" to {where}" if output else "")
    return Report({"decisions": number, "format": format, "output": where}, notes=[note])


async def written(hub: LiveHub, filters: Filters, format: Format, out: TextIO, *, unmask: bool = False) -> int:
    """Write the decisions to `out`; give how many."""
    line, head, number = (as_json, "", 0) if format == "jsonl" else (as_csv, _HEAD, 0)
    async with aclosing(audit.exported(hub, filters, unmask=unmask)) as rows:
        async for row in rows:
            out.write(head + line(row))
            head = ""
            number += 1
    out.write(head)
    return number


def as_json(row: ExportedRow) -> str:
    """One line of JSON; null is null."""
    return msgspec.json.encode(row).decode() + "\n"


def as_csv(row: ExportedRow) -> str:
    """One line of CSV as PostgreSQL writes and reads it: null is an empty cell, an empty text is `""`.

    A text that a spreadsheet would run as a formula is preceded by an apostrophe; numbers are left alone."""
    return ",".join(map(_cell, msgspec.structs.astuple(row))) + "\n"


def _cell(value: str | int | None) -> str:
    if value is None:
        return ""
    text = str(value)
    if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _NUMBER.match(text):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def text(report: VerifyReport) -> str:
    """The report as a person reads it."""
    return "\n".join(_lines(report))


def _lines(report: VerifyReport) -> Iterator[str]:
    read = (
        f"{count(report.entries, 'entry', 'entries')} with {count(report.decisions, 'decision')} in "
        f"{count(report.blocks, 'block')} of {count(len(report.lanes), 'lane')}, {count(report.records, 'record')}"
    )
    if report.acts:
        read += f", {count(report.acts, 'act')} of people"
    if report.ok:
        yield "ledger verified: the chain is whole, and replaying it gives the golden records"
        yield f"  {read}"
    else:
        yield f"ledger BROKEN: {count(report.broken, 'break')}"
        for each in report.breaks:
            yield f"  {each}"
        if report.broken > len(report.breaks):
            yield f"  ... and {report.broken - len(report.breaks):,} more"
        yield f"  read: {read}"
    for head in report.lanes:
        yield f"  lane {head.lane} ends with block {head.height}, {head.hash}"


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadFilter(
            f"{option} is not a time", suggestion="write 2026-01-31 or 2026-01-31T10:00:00+01:00", path=option
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextlib.contextmanager
def _sink(output: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file that appears only when it is whole."""
    if output is None:
        yield sys.stdout
        return
    try:
        handle, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    except OSError as error:
        raise CannotWrite(f"{output} cannot be written: {error.strerror}", path=str(output)) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
            yield out
        Path(name).replace(output)
    finally:
        Path(name).unlink(missing_ok=True)
