"""Commands about a project as a whole: make one, check it, run it, look how it fares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fieldwarden.commands.program import cli, command, in_project, say
from fieldwarden.operations.shell.report import Report

_CHECK = (
    "Exit with 1 if a source is halted, a stream of it parked, a partition standing still, deletions are held, or "
    "(while `run` works) a delivery has been due for more than 5 minutes."
)


@command(cli)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("fieldwarden-demo"),
    show_default=True,
    help="Where to leave the project.",
)
@click.option("--fresh", is_flag=True, help="Begin anew in a folder that an earlier demo made.")
@click.option("--keep-running", is_flag=True, help="Go on replicating, so that you can edit rows and watch.")
def demo(folder: Path, fresh: bool, keep_running: bool) -> Report:
    """Run three sample systems, edit them from each side, and prove that they agree."""
    from fieldwarden.operations.demo.demo import demo

    return demo(folder, fresh=fresh, keep_running=keep_running, say=say)


@command(cli)
@click.argument("name", type=click.Path(path_type=Path))
@click.option("--example", metavar="NAME", help="Copy a whole example instead: quote-to-cash, normalised-erp.")
@click.option(
    "--from", "source", metavar="DSN", help="Draft one from a database's tables; '${env:NAME}' names a variable."
)
@click.option(
    "--tables", metavar="NAMES", help="With --from: the tables, as public.party,public.address (default: all)."
)
@click.option("--system", metavar="NAME", help="With --from: what to call it (default: the database's name).")
def init(name: Path, example: str | None, source: str | None, tables: str | None, system: str | None) -> Report:
    """Lay out a small project in a new folder NAME, ready to run, or a draft of one from a database (--from)."""
    from fieldwarden.operations.shell.init import draft, lay_out

    if source is None:
        if tables or system:
            raise click.UsageError("--tables and --system go with --from")
        return lay_out(name, example)
    if example:
        raise click.UsageError("--example and --from exclude each other")
    return draft(name, source, [each.strip() for each in (tables or "").split(",") if each.strip()], system)


@command(cli)
@in_project
def validate(folder: Path | None) -> Report:
    """Check all files of the project; name every problem at once."""
    from fieldwarden.operations.shell.validate import validate

    return validate(folder)


@command(cli)
@click.argument("kind", type=click.Choice(["entity", "system", "project", "vendor"]))
def schema(kind: str) -> Report:
    """Print the JSON Schema of a kind of file, for your editor."""
    from fieldwarden.operations.shell.schema import schema

    return schema(kind)


@command(cli)
@in_project
def doctor(folder: Path | None) -> Report:
    """Look whether the hub and every system can be reached and fit the files."""
    from fieldwarden.operations.shell.doctor import doctor

    return doctor(folder)


@command(cli)
@click.option(
    "--rebaseline",
    metavar="SYSTEM",
    multiple=True,
    help="Read all rows of SYSTEM again first (after a gap). May be given several times.",
)
@click.option("--apply", is_flag=True, help="Make the files the live rulebook first, as `fieldwarden apply` does.")
@click.option("--until-idle", is_flag=True, help="Stop when every change is decided on and delivered.")
@click.option("--log-format", type=click.Choice(["auto", "human", "json"]), default="auto", show_default=True)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of /livez, /readyz, /metrics (0: any free one).")
@click.option(
    "--stall-after",
    type=click.FloatRange(min=1),
    default=30.0,
    metavar="SECONDS",
    help="Not ready when changes wait and nothing has moved for so long (default: 30).",
)
@in_project
def run(folder: Path | None, **options: Any) -> Report:
    """Replicate until told to stop (SIGTERM or Ctrl-C)."""
    from fieldwarden.operations.shell.run import run

    return run(folder, **options)


@command(cli)
@click.option("--check", is_flag=True, help=_CHECK)
@in_project
def status(folder: Path | None, check: bool) -> Report:
    """How far every source and target is, and what waits for a person."""
    from fieldwarden.operations.shell.status import status

    return status(folder, check=check)
