"""`fieldwarden doctor`, told to people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fieldwarden.operations.doctor import Check, Level, examined
from fieldwarden.operations.shell.opening import in_project
from fieldwarden.operations.shell.report import Failure, Report, plain
from fieldwarden.operations.words import count

_SHOWN: dict[Level, str] = {"ok": "ok", "note": "note", "warning": "warning", "error": "ERROR"}


def doctor(folder: Path | None) -> Report:
    """Exit code 3 if a server, a secret or a server's setting is amiss, else 2 if files and tables do not fit."""
    found = in_project(folder, examined)
    wrong = found.wrong
    result: dict[str, Any] = {"checks": plain(found.checks), "errors": len(wrong), "waits": found.waits}
    text = "\n".join(_lines(found.checks))
    if not wrong:
        return Report(result, f"{text}\nall well: `fieldwarden run` can start{found.waits and f'; {found.waits}'}")
    unfit = [check for check in wrong if check.environment]
    first = (unfit or wrong)[0]
    code = "environment" if unfit else "does_not_fit"
    failure = Failure(code, f"{count(len(wrong), 'thing')} to mend first", first.suggestion, first.path)
    return Report(result, text, failure, 3 if unfit else 2)


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    width = max(len(check.about) for check in checks)
    for check in checks:
        place = f"{check.path}: " if check.path and check.level in ("warning", "error") else ""
        head, *more = f"{place}{check.message}".splitlines() or [""]
        yield f"  {check.about:<{width}}  {_SHOWN[check.level]:<7}  {head}"
        for line in more:
            yield " " * (width + 13) + line
        if check.suggestion:
            yield " " * (width + 13) + f"try: {check.suggestion}"
