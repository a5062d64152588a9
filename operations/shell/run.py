"""`fieldwarden run`: replication in a process of its own, ended by signals, and told to people."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import structlog

from fieldwarden.operations.project import Opened, opened
from fieldwarden.operations.run import run as running
from fieldwarden.operations.run.logs import configure, nothing_untold
from fieldwarden.operations.run.run import ANY_PORT, Ending, Guide, Ran, Serving, to_rest
from fieldwarden.operations.shell.opening import carried_out
from fieldwarden.operations.shell.person import me
from fieldwarden.operations.shell.report import Failure, Report
from fieldwarden.operations.words import count

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_NAMED = 5
log = structlog.get_logger("fieldwarden.run")


def run(
    folder: Path | None,
    *,
    rebaseline: Sequence[str] = (),
    apply: bool = False,
    until_idle: bool = False,
    log_format: Literal["auto", "human", "json"] = "auto",
    log_level: str = "info",
    port: int | None = None,
    stall_after: float = 30.0,
) -> Report:
    """Replicate until a signal (exit code 130 or 143) or, with `until_idle`, until all is delivered (0).

    Raises EnvironmentUnfit, ConfigurationError; bugs as they are."""
    configure(log_format, log_level)
    with nothing_untold(), opened(folder) as project:
        if apply:
            carried_out(_apply(project))
        project.check_systems(rebaseline)
        settings = project.project.settings.run
        return replicate(
            project,
            to_rest if until_idle else None,
            strict=until_idle,
            rebaseline=rebaseline,
            health=Serving(settings.host, settings.port if port is None else port, project.run_token, stall_after),
        )


def replicate(
    project: Opened,
    guide: Guide | None = None,
    *,
    strict: bool = False,
    rebaseline: Sequence[str] = (),
    health: Serving = ANY_PORT,
    forced: Callable[[int], object] = os._exit,
) -> Report:
    """Until a signal, or until `guide` returns. `forced` is what a second signal does (`sys.exit` where something else
    has to be stopped yet)."""
    ending = Ending(SIGNALS, forced)
    return report(
        carried_out(
            running.replicate(project, me(), ending, guide, strict=strict, rebaseline=rebaseline, health=health)
        )
    )


async def _apply(project: Opened) -> None:
    from fieldwarden.operations.apply import applied

    done = await applied(project, me(), reason="run --apply")
    log.info("rules.applied", old=done.old, new=done.new, records=done.records, changed=done.changed)


def report(ran: Ran) -> Report:
    """Exit code 130 or 143 after a signal, else 1 if something was parked meanwhile."""
    totals = ran.totals
    stopped_by = ran.signal.name if ran.signal else "idle"
    text = (
        f"stopped cleanly ({stopped_by}): {count(totals['changes'], 'change')}, "
        f"{count(totals['decisions'], 'decision')}, {count(totals['deliveries'], 'delivery', 'deliveries')}"
    )
    text += f"\n{ran.onboarding}" if ran.onboarding else ""
    stage = "unknown" if ran.onboarding is None else "waits" if ran.onboarding else "done"
    result: dict[str, Any] = {"stopped_by": stopped_by, "onboarding": stage, **totals}
    if ran.signal or not ran.parked:
        return Report(result, text, exit_code=128 + ran.signal if ran.signal else 0)
    result["parked"] = [each.id for each in ran.parked]
    told = [f"{each.id} ({each.system}): {each.reason}" for each in ran.parked[:_NAMED]]
    told += [f"{len(ran.parked) - _NAMED} more"] if len(ran.parked) > _NAMED else []
    number = count(len(ran.parked), "change or delivery", "changes and deliveries")
    what = f"{number} set aside meanwhile: {'; '.join(told)}"
    return Report(result, text, Failure("parked", what, "see `fieldwarden deadletter list`"), exit_code=1)
