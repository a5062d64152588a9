"""Commands about systems that Debezium reads: their connectors, and rows read again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fieldwarden.commands.program import cli, command, in_project, say
from fieldwarden.operations.shell.report import Report


@cli.group()
def connector() -> None:
    """The connectors in Kafka Connect, for systems that Debezium reads."""


@command(connector, "list")
@in_project
def connector_list(folder: Path | None) -> Report:
    """List every connector of the Connect cluster, and our systems that have none."""
    from fieldwarden.operations.shell.connector import list_them

    return list_them(folder)


@command(connector, "show")
@click.argument("system")
@in_project
def connector_show(folder: Path | None, system: str) -> Report:
    """Show what SYSTEM's connector is registered with, and where that differs from the files; no secrets."""
    from fieldwarden.operations.shell.connector import show

    return show(folder, system)


@command(connector, "register")
@click.argument("system", required=False)
@click.option("--dry-run", is_flag=True, help="Only print the configuration, secrets blotted out.")
@click.option("--wait/--no-wait", default=True, help="Wait until it runs or has failed (default).")
@in_project
def connector_register(folder: Path | None, system: str | None, **options: Any) -> Report:
    """Create SYSTEM's connector, or give it the files' configuration (default: every system's)."""
    from fieldwarden.operations.shell.connector import register

    return register(folder, system, **options, say=say)


@command(connector, "status")
@click.argument("system", required=False)
@in_project
def connector_status(folder: Path | None, system: str | None) -> Report:
    """Tell how the connectors and their tasks fare; exit code 1 unless all run."""
    from fieldwarden.operations.shell.connector import status

    return status(folder, system)


@command(connector, "restart")
@click.argument("system")
@click.option("--all", "everything", is_flag=True, help="Also what has not failed.")
@in_project
def connector_restart(folder: Path | None, system: str, everything: bool) -> Report:
    """Restart what has failed: the connector, its tasks."""
    from fieldwarden.operations.shell.connector import restart

    return restart(folder, system, everything=everything)


@command(connector, "pause")
@click.argument("system")
@in_project
def connector_pause(folder: Path | None, system: str) -> Report:
    """Let SYSTEM's connector rest."""
    from fieldwarden.operations.shell.connector import pause

    return pause(folder, system)


@command(connector, "resume")
@click.argument("system")
@in_project
def connector_resume(folder: Path | None, system: str) -> Report:
    """Let it go on."""
    from fieldwarden.operations.shell.connector import resume

    return resume(folder, system)


@command(connector, "delete")
@click.argument("system")
@click.option("--yes", is_flag=True, help="Do not ask.")
@in_project
def connector_delete(folder: Path | None, system: str, yes: bool) -> Report:
    """Remove SYSTEM's connector from Kafka Connect; its offsets and its replication slot stay."""
    from fieldwarden.operations.shell.connector import delete

    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked here: say --yes")
        click.confirm(f"remove the connector of {system}?", abort=True, err=True)
    return delete(folder, system)


@cli.group()
def backfill() -> None:
    """Rows told again by Debezium, while changes go on streaming."""


@command(backfill, "start")
@click.option("--system", required=True, metavar="SYSTEM", help="Read by Debezium.")
@click.option("--entity", required=True, metavar="ENTITY", help="All its tables there, parents first.")
@click.option("--stream", metavar="STREAM", help="Only this table.")
@click.option("--where", metavar="SQL", help="Only rows of which this is true: an expression, as in the files.")
@click.option("--wait/--no-wait", default=True, help="See it through (default).")
@click.option(
    "--patience",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a running connector may take to heed the signal.",
)
@in_project
def backfill_start(
    folder: Path | None,
    system: str,
    entity: str,
    stream: str | None,
    where: str | None,
    wait: bool,
    patience: float,
) -> Report:
    """Have the rows of ENTITY in SYSTEM read again."""
    from fieldwarden.operations.backfill import Wanted
    from fieldwarden.operations.shell.backfill import start

    return start(folder, Wanted(system, entity, stream, where), wait=wait, patience=patience, say=say)


@command(backfill, "status")
@click.option("--system", required=True, metavar="SYSTEM", help="Read by Debezium.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@in_project
def backfill_status(folder: Path | None, system: str, limit: int) -> Report:
    """List backfills and how far each is, as the connector tells it; newest first."""
    from fieldwarden.operations.shell.backfill import status

    return status(folder, system, limit)
