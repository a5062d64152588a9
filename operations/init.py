"""`fieldwarden init`: a small project that runs as it is, to be turned into one's own file by file.

The files are ordinary examples (`examples/starter`, `examples/quote-to-cash` ...), so the tests run what users get.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path

from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.operations import examples
from fieldwarden.operations.shell.report import Report
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.references import holds_password, resolve_reference

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_PROJECT_LINE = re.compile(r"^project:[^\n#]*", re.MULTILINE)


class CannotInit(FieldwardenError):
    """The folder is taken, or the name cannot be one."""

    code = "init"
    exit_code = 2


def lay_out(folder: Path, example: str | None = None) -> Report:
    """Copy an example (default: the starter) into the new folder `folder`, named after it.

    Raises CannotInit: the folder holds something already, its name is no project name, no such example."""
    chosen = _example(example)
    name = _free(folder)
    try:
        examples.lay_out(chosen, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    settings = folder / "fieldwarden.yaml"
    settings.write_text(_PROJECT_LINE.sub(f"project: {name}", settings.read_text("utf-8"), count=1), "utf-8")
    return _laid_out(folder, name, f"cd {folder} && fieldwarden validate && fieldwarden doctor && fieldwarden onboard")


def draft(folder: Path, source: str, tables: Sequence[str], system: str | None) -> Report:
    """Lay out a draft in the new folder `folder` of what a PostgreSQL database's tables (none named: all) may mean.

    `source` is a connection string, or `${env:NAME}`; it is not written down. Raises CannotInit, EnvironmentUnfit,
    ReferenceUnresolved."""
    from fieldwarden.connectors.postgres.looking.survey import survey
    from fieldwarden.operations.drafting import drafted, plain
    from fieldwarden.operations.drafts import files
    from fieldwarden.operations.project import load

    name = _free(folder)
    try:
        found = asyncio.run(survey(resolve_reference(source, os.environ, None), tables))
    except TransientError as error:
        raise EnvironmentUnfit(error.message, suggestion=error.suggestion) from error
    system = plain(system or found.database)
    variable = match[1] if (match := _VARIABLE.fullmatch(source)) else f"{system.upper()}_DSN"
    drafts, unfit = drafted(found)
    if not drafts:
        raise EnvironmentUnfit("no table has a key by which its rows could be followed", suggestion="add primary keys")
    try:
        for file, text in files(name, system, variable, drafts, unfit, found.labels).items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, "utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error
    load(folder)
    report = _laid_out(
        folder, name, f"look for DECIDE in these files; export {variable}=..., cd {folder} && fieldwarden doctor"
    )
    if holds_password(source):
        report.notes.append(
            "the password stood among the arguments, which others can list: better --from '${env:NAME}'"
        )
    return report


def _free(folder: Path) -> str:
    """The name of a project that can be laid out there. Raises CannotInit."""
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise CannotInit(
            f"{name!r} cannot be a project's name",
            suggestion="use lower-case letters, digits, - and _, and begin with a letter",
            path=str(folder),
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CannotInit(
            f"{folder} is there already, and init overwrites nothing",
            suggestion="choose another name, or empty the folder first",
            path=str(folder),
        )
    return name


def _unwritable(folder: Path, error: OSError) -> CannotInit:
    return CannotInit(f"the folder cannot be written: {error.strerror}", path=str(folder))


def _laid_out(folder: Path, name: str, next_step: str) -> Report:
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    lines = [f"{folder}: a project of {len(files)} files", *(f"  {file}" for file in files), ""]
    lines.append(f"next: {next_step}")
    return Report({"project": name, "folder": str(folder.resolve()), "files": files}, "\n".join(lines))


def _example(name: str | None) -> str:
    chosen, choices = name or "starter", examples.names()
    if chosen not in choices:
        raise CannotInit(f"there is no example {name!r}", suggestion=f"the examples are {', '.join(choices)}")
    return chosen
