"""`audit verify` and `audit export`: is the ledger whole, and what does it say, for people and for other programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import aclosing
from typing import Literal, TextIO

import msgspec
from rich.console import Console

from fieldwarden.engine.hub.names import mask_of
from fieldwarden.engine.hub.reading import snapshot
from fieldwarden.engine.hub.views.audit import NAMED, VerifyReport
from fieldwarden.engine.hub.views.audit import verify as verify_ledger
from fieldwarden.engine.hub.views.export import COLUMNS, ExportedRow, Filters, check
from fieldwarden.engine.hub.views.export import export as decisions
from fieldwarden.operations.report import count
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.secret import Secretive

Format = Literal["jsonl", "csv"]

_NEEDS_QUOTES = re.compile(r'[",\r\n]|^$')
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?$")


async def verify(hub_dsn: Secretive, schema: str, *, named: int = NAMED) -> VerifyReport:
    """Check chain and replay. Reads one moment; replication may go on meanwhile. Raises EnvironmentUnfit."""
    async with snapshot(hub_dsn, schema) as connection:
        return await verify_ledger(connection, named=named)


async def export(
    hub_dsn: Secretive,
    schema: str,
    rulebook: Rulebook,
    filters: Filters,
    format: Format,
    out: TextIO,
    unmask: bool = False,
) -> int:
    """Write the decisions to `out`, in order of time; give how many.

    Raises UnknownName for a filter that names nothing, LedgerBroken, EnvironmentUnfit."""
    line = as_json if format == "jsonl" else as_csv
    written = 0
    async with snapshot(hub_dsn, schema) as connection:
        await check(connection, rulebook, filters)
        if format == "csv":
            out.write(",".join(COLUMNS) + "\n")
        mask = await mask_of(connection, rulebook, unmask=unmask)
        async with aclosing(decisions(connection, rulebook, filters, mask)) as rows:
            async for row in rows:
                out.write(line(row))
                written += 1
    return written


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


def render(report: VerifyReport, console: Console) -> None:
    console.print(text(report), markup=False, highlight=False, soft_wrap=True)
