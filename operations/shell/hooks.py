"""`fieldwarden hooks`, told to people."""

from __future__ import annotations

from pathlib import Path

from fieldwarden.operations import hooks
from fieldwarden.operations.hooks import Hook
from fieldwarden.operations.shell.opening import asked, in_project
from fieldwarden.operations.shell.report import Failure, Report, plain, table
from fieldwarden.operations.words import age


def listed(folder: Path | None) -> Report:
    found = asked(folder, hooks.hooks)
    columns = ["system", "address", "known by", "last", "unread", "taken", "known", "turned away"]
    rows = [
        [h.system, h.address, h.scheme, age(h.arrived_seconds), _unread(h), h.received, h.repeated, h.refused]
        for h in found
    ]
    text = table(columns, rows, indent="") if rows else "no system of the project sends webhooks"
    return Report({"hooks": plain(found)}, text)


def _unread(hook: Hook) -> str:
    return f"{hook.unread}, for {age(hook.oldest_seconds)}" if hook.unread else "0"


def tried(folder: Path | None, system: str, *, url: str | None) -> Report:
    """Exit code 1 if it is not taken."""
    found = in_project(folder, lambda project: hooks.tried(project, system, url))
    text = f"{found.url} answers {found.status}: {found.meaning}"
    if found.good:
        return Report(plain(found), text)
    failure = Failure("hook_not_taken", text, "see the log of `fieldwarden run`", found.url)
    return Report(plain(found), failure=failure, exit_code=1)
