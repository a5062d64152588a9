"""A small project that runs as it is, to be turned into one's own file by file.

The files are ordinary examples (`examples/starter`, `examples/quote-to-cash` ...), so the tests run what users get.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.operations import examples
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.secret import Secretive

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_PROJECT_LINE = re.compile(r"^project:[^\n#]*", re.MULTILINE)


class CannotInit(FieldwardenError):
    """The folder is taken, or the name cannot be one."""

    code = "init"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A new project's folder and files."""

    project: str
    folder: Path
    files: Sequence[str]


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft that was laid out, and the variable of the environment by which its files reach the database."""

    laid_out: LaidOut
    variable: str


def lay_out(folder: Path, example: str | None = None) -> LaidOut:
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
    return _laid_out(folder, name)


async def draft(
    folder: Path, dsn: Secretive, tables: Sequence[str], *, system: str | None = None, variable: str | None = None
) -> Drafted:
    """Lay out a draft in the new folder `folder` of what a PostgreSQL database's tables (none named: all) may mean.

    `dsn` is not written down: the files name an environment's `variable`, by default after the system, which is by
    default called as its database is. Raises CannotInit, EnvironmentUnfit."""
    from fieldwarden.connectors.postgres.looking.survey import survey
    from fieldwarden.operations.drafting import drafted, plain
    from fieldwarden.operations.drafts import files
    from fieldwarden.operations.project import load

    name = _free(folder)
    try:
        found = await survey(dsn, tables)
    except TransientError as error:
        raise EnvironmentUnfit(error.message, suggestion=error.suggestion) from error
    system = plain(system or found.database)
    variable = variable or f"{system.upper()}_DSN"
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
    return Drafted(_laid_out(folder, name), variable)


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


def _laid_out(folder: Path, name: str) -> LaidOut:
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return LaidOut(name, folder, files)


def _example(name: str | None) -> str:
    chosen, choices = name or "starter", examples.names()
    if chosen not in choices:
        raise CannotInit(f"there is no example {name!r}", suggestion=f"the examples are {', '.join(choices)}")
    return chosen
