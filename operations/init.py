"""`fieldwarden init`: a small project that runs as it is, to be turned into one's own file by file.

The files are ordinary examples (`examples/starter`, `examples/quote-to-cash` ...), so the tests run what users get.
"""

from __future__ import annotations

import re
from pathlib import Path

from operations import examples
from operations.report import Report
from rules.errors import FieldwardenError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_PROJECT_LINE = re.compile(r"^project:[^\n#]*", re.MULTILINE)


class CannotInit(FieldwardenError):
    """The folder is taken, or the name cannot be one."""

    code = "init"
    exit_code = 2


def lay_out(folder: Path, example: str | None = None) -> Report:
    """Copy an example (default: the starter) into the new folder `folder`, named after it.

    Raises CannotInit: the folder holds something already, its name is no project name, no such example."""
    chosen = _example(example)
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
    try:
        examples.lay_out(chosen, folder)
    except OSError as error:
        raise CannotInit(f"the folder cannot be written: {error.strerror}", path=str(folder)) from error
    settings = folder / "fieldwarden.yaml"
    settings.write_text(_PROJECT_LINE.sub(f"project: {name}", settings.read_text("utf-8"), count=1), "utf-8")
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    lines = [f"{folder}: a project of {len(files)} files", *(f"  {file}" for file in files), ""]
    lines.append(f"next: cd {folder} && fieldwarden validate && fieldwarden doctor && fieldwarden run")
    return Report({"project": name, "folder": str(folder.resolve()), "files": files}, "\n".join(lines))


def _example(name: str | None) -> str:
    chosen, choices = name or "starter", examples.names()
    if chosen not in choices:
        raise CannotInit(f"there is no example {name!r}", suggestion=f"the examples are {', '.join(choices)}")
    return chosen
