"""The commands that ask the ledger, put between the command line and what answers: open the project, ask, report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import msgspec

from fieldwarden.engine.hub.views.export import Filters
from fieldwarden.operations import audit
from fieldwarden.operations import explain as explaining
from fieldwarden.operations import trail as trails
from fieldwarden.operations.project import opened
from fieldwarden.operations.report import Failure, Report, count
from fieldwarden.operations.rules import prepare_hub
from fieldwarden.rules.errors import FieldwardenError


class BadFilter(FieldwardenError):
    code = "usage"
    exit_code = 2


class CannotWrite(FieldwardenError):
    code = "cannot_write"


def trail(folder: Path | None, entity: str, key: str, unmask: bool) -> Report:
    """`trail`: raises UnknownName, NotFound, Ambiguous."""
    with opened(folder) as project:
        prepare_hub(project)
        work = trails.trail(project.hub_dsn, project.hub_schema, project.rulebook, entity, key, unmask)
        story = asyncio.run(work)
    return Report(msgspec.to_builtins(story), trails.text(story))


def explain(folder: Path | None, name: str, key: str, unmask: bool) -> Report:
    """`explain`: raises UnknownName, NotFound, Ambiguous."""
    entity, field = explaining.split(name)
    with opened(folder) as project:
        prepare_hub(project)
        explanation = asyncio.run(
            explaining.explain(
                project.hub_dsn,
                project.hub_schema,
                project.rulebook,
                entity,
                field,
                key,
                unmask,
                files=project.project.rulebook,
            )
        )
    return Report(msgspec.to_builtins(explanation), explaining.text(explanation))


def verify(folder: Path | None) -> Report:
    """`audit verify`: exit code 1 and every break named if the ledger does not prove what it claims."""
    with opened(folder) as project:
        prepare_hub(project)
        found = asyncio.run(audit.verify(project.hub_dsn, project.hub_schema))
    result = msgspec.to_builtins(found)
    if found.ok:
        return Report(result, audit.text(found))
    headline = audit.text(found)
    failure = Failure(
        "ledger_broken",
        headline,
        "somebody or something changed the hub's tables: restore them from a backup, and find out who can write there",
        str(found.breaks[0]) if found.breaks else "",
    )
    return Report(result, failure=failure, exit_code=1)


def export(
    folder: Path | None,
    *,
    format: audit.Format,
    output: Path | None,
    since: str | None,
    until: str | None,
    unmask: bool,
    **filters: str | None,
) -> Report:
    """`audit export`: the decisions to `output`, or to stdout. `since` and `until` are ISO 8601, UTC if unsaid."""
    chosen = Filters(since=_moment("--since", since), until=_moment("--until", until), **filters)
    with opened(folder) as project, _sink(output) as out:
        prepare_hub(project)
        work = audit.export(project.hub_dsn, project.hub_schema, project.rulebook, chosen, format, out, unmask)
        number = asyncio.run(work)
    where = str(output) if output else "-"
    note = f"{count(number, 'decision')} exported" + (f" to {where}" if output else "")
    return Report({"decisions": number, "format": format, "output": where}, notes=[note])


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
