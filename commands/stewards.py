"""Commands of stewards: which records are one, and which row stands for which."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fieldwarden.commands.program import Operation, cli, command, in_project
from fieldwarden.commands.proving import reason_for, unmasked, with_reason
from fieldwarden.operations.shell.report import Report


def of_two(function: Operation) -> Operation:
    return click.argument("one")(click.argument("other")(function))


@cli.group()
def match() -> None:
    """Records that may be one and the same."""


@command(match, "list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@in_project
def match_list(folder: Path | None, limit: int) -> Report:
    """The queue of duplicates, and why they were not joined by themselves."""
    from fieldwarden.operations.shell.stewards import listed

    return listed(folder, limit=limit)


@command(match, "show")
@of_two
@unmasked
@in_project
def match_show(folder: Path | None, one: str, other: str, unmask: bool) -> Report:
    """Two records side by side."""
    from fieldwarden.operations.shell.stewards import show

    return show(folder, one, other, unmask=unmask)


@command(match, "join")
@of_two
@with_reason
@in_project
def match_join(folder: Path | None, one: str, other: str, reason: str) -> Report:
    """Make two records one: the older goes on."""
    from fieldwarden.operations.shell.stewards import join

    return join(folder, one, other, reason=reason)


@command(match, "keep-apart")
@of_two
@with_reason
@in_project
def match_keep_apart(folder: Path | None, one: str, other: str, reason: str) -> Report:
    """Never join two records, whatever they share."""
    from fieldwarden.operations.shell.stewards import keep_apart

    return keep_apart(folder, one, other, reason=reason)


@cli.group()
def record() -> None:
    """Which rows stand for a record."""


def of_row(function: Operation) -> Operation:
    for name in ("key", "stream", "system"):
        function = click.argument(name)(function)
    return function


@command(record, "link")
@of_row
@click.argument("id", metavar="RECORD")
@with_reason
@in_project
def record_link(folder: Path | None, system: str, stream: str, key: str, id: str, reason: str) -> Report:
    """Say which record a row that waits as ambiguous stands for."""
    from fieldwarden.operations.shell.stewards import link

    return link(folder, (system, stream, key), id, reason=reason)


@command(record, "unlink")
@of_row
@with_reason
@in_project
def record_unlink(folder: Path | None, system: str, stream: str, key: str, reason: str) -> Report:
    """Let a row begin a record of its own."""
    from fieldwarden.operations.shell.stewards import unlink

    return unlink(folder, (system, stream, key), reason=reason)


@command(record, "split")
@click.argument("id", metavar="RECORD")
@click.argument("other", required=False)
@click.option(
    "--restore", is_flag=True, help="Give the values back, too, that the join replaced; they are shown first."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", metavar="TEXT", help="Why; it goes into the ledger, with your name.")
@unmasked
@in_project
def record_split(
    folder: Path | None, id: str, other: str | None, restore: bool, yes: bool, reason: str | None, unmask: bool
) -> Report:
    """Undo a join: give the rows back that came with OTHER (by default the one joined last)."""
    from fieldwarden.operations.shell.stewards import parting, split

    if not restore or yes:
        return split(folder, id, other, reason=reason_for(reason), restore=restore)
    preview = parting(folder, id, other, unmask=unmask)
    if not sys.stdin.isatty():
        return preview
    click.echo(preview.text, err=True)
    click.confirm("restore these values and split?", abort=True, err=True)
    done = preview.result
    return split(folder, id, done["other"], reason=reason_for(reason), restore=True, seen=done["seen"])
