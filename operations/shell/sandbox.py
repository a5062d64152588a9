"""`fieldwarden sandbox`: a vendor to rehearse with, until a signal."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fieldwarden.operations.shell.opening import carried_out
from fieldwarden.operations.shell.report import Report
from fieldwarden.sandbox.frame.exchange import NotPossible, Refused
from fieldwarden.sandbox.frame.faults import SandboxRefused, read
from fieldwarden.sandbox.frame.hooks import Destination
from fieldwarden.sandbox.frame.limits import Rate
from fieldwarden.sandbox.frame.stage import Stage
from fieldwarden.sandbox.serving import bound, serve
from fieldwarden.sandbox.vendors import vendor


def sandbox(
    name: str,
    *,
    port: int,
    seed: int,
    say: Callable[[str], object],
    faults: Sequence[str] = (),
    hooks: Sequence[str] = (),
    data: Path | None = None,
    rate: int | None = None,
) -> Report:
    """Serve on loopback until SIGINT or SIGTERM. Raises SandboxRefused before anything is served."""
    stage = Stage(vendor(name), seed)
    if data is not None:
        _load(stage, data)
    for each in faults:
        stage.world.faults.arm(*read(each))
    stage.world.hooks.destinations += [Destination(url, [stage.vendor.secret]) for url in hooks]
    if rate is not None:
        stage.limit(Rate(rate, 1.0) if rate else None)
    listening = bound(port)

    def ready(url: str) -> None:
        say(f"{stage.vendor.title} is played at {url}")
        for note in stage.vendor.notes:
            say(f"  {note}")
        say(f"  faults: {', '.join(stage.world.faults.known)}")

    carried_out(serve(stage, listening, ready))
    return Report(result={"vendor": name, "requests": sum(stage.journal.counted.values())})


def _load(stage: Stage, data: Path) -> None:
    where = str(data)
    try:
        told: Any = json.loads(data.read_text("utf-8"))
    except OSError as error:
        raise SandboxRefused(f"{where} cannot be read: {error.strerror}", suggestion="name a file of JSON") from error
    except ValueError as error:
        raise SandboxRefused(f"{where} is no JSON: {error}", suggestion="see docs/sandbox.md for its form") from error
    if not isinstance(told, dict):
        raise SandboxRefused(f"{where} is no JSON object", suggestion="see docs/sandbox.md for its form")
    stage.world.quiet = True
    try:
        stage.load(told)
    except NotPossible as error:
        raise SandboxRefused(f"{where}: {error}", suggestion="see docs/sandbox.md for its form") from error
    except Refused as refused:
        wrong = refused.answer.body.decode()
        raise SandboxRefused(f"{where}: the vendor says {wrong}", suggestion="see docs/sandbox.md") from refused
    finally:
        stage.world.quiet = False
