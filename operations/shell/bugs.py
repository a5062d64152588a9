"""An exception nobody foresaw is ours, not the user's: say so in one paragraph and file the traceback.

The paragraph names the exception's type and the line of our code, never its message: a driver's message may quote
a row. The traceback, without such messages either, goes to a file that only its owner can read.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from fieldwarden.engine.bugs import described
from fieldwarden.operations.shell.report import Failure, Report

_ROOT = Path(__file__).resolve().parents[2]


def traceback_of(error: BaseException) -> str:
    """The traceback as a person is shown it with --debug."""
    return described(error)


def own_up(error: BaseException) -> Report:
    """File the traceback and say where it went."""
    kind, where = type(error).__name__, _where(error)
    try:
        path = str(_file(error))
        suggestion = f"report it with the traceback in {path}"
    except OSError:
        path, suggestion = where, "run the command again with --debug to see the traceback"
    message = (
        f"a bug in Fieldwarden, not a mistake of yours: an unexpected {kind} at {where}. "
        "Nothing that was under way has been acknowledged; it is safe to run the command again."
    )
    return Report(failure=Failure("bug", message, suggestion, path), exit_code=1)


def _where(error: BaseException) -> str:
    """The innermost line of our own code on the way to the error."""
    for frame in reversed(traceback.extract_tb(_innermost(error).__traceback__)):
        file = Path(frame.filename)
        if file.is_relative_to(_ROOT) and "site-packages" not in file.parts:
            return f"{file.relative_to(_ROOT)}:{frame.lineno}"
    return "an unknown place"


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _file(error: BaseException) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = Path(tempfile.gettempdir())
    for candidate in (Path.cwd(), *Path.cwd().parents):
        if (candidate / ".fieldwarden").is_dir() and os.access(candidate / ".fieldwarden", os.W_OK):
            folder = candidate / ".fieldwarden"
            break
    handle, name = tempfile.mkstemp(prefix=f"fieldwarden-bug-{stamp}-", suffix=".txt", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(traceback_of(error))
    return Path(name)
