"""Commands about webhooks: what systems send to us."""

from __future__ import annotations

from pathlib import Path

import click

from fieldwarden.commands.program import cli, command, in_project
from fieldwarden.operations.shell.report import Report


@cli.group()
def hooks() -> None:
    """Webhooks: what systems send to us by themselves."""


@command(hooks, "list")
@in_project
def hooks_list(folder: Path | None) -> Report:
    """List the systems that send webhooks: where to, how they are known, what came and what waits to be read."""
    from fieldwarden.operations.shell.hooks import listed

    return listed(folder)


@command(hooks, "test")
@click.argument("system")
@click.option("--url", metavar="URL", help="Where the process listens (default: run.host and run.port of the files).")
@in_project
def hooks_test(folder: Path | None, system: str, url: str | None) -> Report:
    """Send a signed request with nothing in it to a running process, as SYSTEM would; exit code 1 if not taken."""
    from fieldwarden.operations.shell.hooks import tried

    return tried(folder, system, url=url)
