"""`fieldwarden apply`, told to people."""

from __future__ import annotations

from pathlib import Path

from fieldwarden.operations.apply import Applied, applied
from fieldwarden.operations.shell.opening import in_project
from fieldwarden.operations.shell.person import me
from fieldwarden.operations.shell.report import Report, plain
from fieldwarden.operations.words import count

_ONBOARDED = "the systems have been introduced: `fieldwarden run` delivers from now on"


def apply(folder: Path | None, *, plan_hash: str | None, reason: str) -> Report:
    """Also ends the onboarding."""
    done = in_project(
        folder, lambda project: applied(project, me(), plan_hash=plan_hash, reason=reason, onboarding=True)
    )
    return Report(plain(done), _text(done), notes=[each.how for each in done.reading if not each.by_itself])


def _text(done: Applied) -> str:
    return f"{_rules_text(done)}\n{_ONBOARDED}" if done.onboarded else _rules_text(done)


def _rules_text(done: Applied) -> str:
    if not done.old:
        return f"rulebook {done.new[:12]} is live; there were no records under another"
    if done.old == done.new and not done.resumed:
        return f"nothing to apply: rulebook {done.new[:12]} is live"
    head = f"rulebook {done.new[:12]} is live"
    head += " (an apply that had been interrupted went on)" if done.resumed else f", {done.old[:12]} was"
    lines = [
        head,
        f"  {count(done.records, 'record')} resolved again, {count(done.changed, 'record')} changed",
    ]
    lines += [f"  {each.how}" for each in done.reading if each.by_itself]
    return "\n".join(lines)
