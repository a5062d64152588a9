"""`fieldwarden init`, told to people."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from fieldwarden.operations import init
from fieldwarden.operations.init import LaidOut
from fieldwarden.operations.shell.report import Report
from fieldwarden.rules.references import holds_password, resolve_reference

_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def lay_out(folder: Path, example: str | None) -> Report:
    done = init.lay_out(folder, example)
    return _report(done, f"cd {folder} && fieldwarden validate && fieldwarden doctor && fieldwarden onboard")


def draft(folder: Path, source: str, tables: Sequence[str], system: str | None) -> Report:
    """`source` is a connection string, or `${env:NAME}`; it is not written down. Raises ReferenceUnresolved."""
    from fieldwarden.operations.shell.opening import carried_out

    named = _VARIABLE.fullmatch(source)
    dsn, variable = resolve_reference(source, os.environ, None), named[1] if named else None
    done = carried_out(init.draft(folder, dsn, tables, system=system, variable=variable))
    next_step = f"look for DECIDE in these files; export {done.variable}=..., cd {folder} && fieldwarden doctor"
    report = _report(done.laid_out, next_step)
    if holds_password(source):
        report.notes.append(
            "the password stood among the arguments, which others can list: better --from '${env:NAME}'"
        )
    return report


def _report(done: LaidOut, next_step: str) -> Report:
    lines = [f"{done.folder}: a project of {len(done.files)} files", *(f"  {file}" for file in done.files), ""]
    lines.append(f"next: {next_step}")
    result = {"project": done.project, "folder": str(done.folder.resolve()), "files": list(done.files)}
    return Report(result, "\n".join(lines))
