"""Commands that change the rules of a project that lives: see what the files would do, and let them."""

from __future__ import annotations

from pathlib import Path

import click

from fieldwarden.commands.program import cli, command, in_project, say
from fieldwarden.operations.shell.report import Report


@command(cli)
@click.option("--unmask", is_flag=True, help="Show personal values in samples too.")
@in_project
def onboard(folder: Path | None, unmask: bool) -> Report:
    """Before anything is delivered: read all systems, and show what matches, would be created and be changed."""
    from fieldwarden.operations.shell.onboard import onboard

    return onboard(folder, unmask=unmask, say=say)


@command(cli)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 4 where the files differ from the live rulebook.")
@click.option("--unmask", is_flag=True, help="Show personal values in samples too.")
@in_project
def plan(folder: Path | None, detailed_exitcode: bool, unmask: bool) -> Report:
    """Show what the files would change in the records and systems there are; nothing is changed."""
    from fieldwarden.operations.shell.plan import plan

    return plan(folder, detailed_exitcode=detailed_exitcode, unmask=unmask)


@command(cli)
@click.option("--plan-hash", metavar="HASH", help="Only if this is still the plan (`fieldwarden plan` shows it).")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the ledger.")
@in_project
def apply(folder: Path | None, plan_hash: str | None, reason: str) -> Report:
    """Make the files the live rulebook, and bring every record under it."""
    from fieldwarden.operations.shell.apply import apply

    return apply(folder, plan_hash=plan_hash, reason=reason)
