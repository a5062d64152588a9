"""Commands about what was decided: a record's story, the ledger, and what was set aside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fieldwarden.commands.program import Operation, cli, command, in_project
from fieldwarden.operations.shell.report import Report

unmasked = click.option("--unmask", is_flag=True, help="Show personal values too.")


@command(cli)
@click.argument("entity")
@click.argument("key")
@unmasked
@in_project
def trail(folder: Path | None, entity: str, key: str, unmask: bool) -> Report:
    """One record's whole story across the systems; KEY is any system's key, a match key, or the record's id."""
    from fieldwarden.operations.shell.trail import trail

    return trail(folder, entity, key, unmask)


@command(cli)
@click.argument("name", metavar="ENTITY.FIELD")
@click.argument("key")
@unmasked
@in_project
def explain(folder: Path | None, name: str, key: str, unmask: bool) -> Report:
    """Why a field holds its value, and who lost."""
    from fieldwarden.operations.shell.explain import explain

    return explain(folder, name, key, unmask)


@command(cli)
@click.argument("entity", required=False)
@click.option("--system", metavar="SYSTEM", help="Only this system's rows.")
@click.option("--list", "listed", is_flag=True, help="Name each row and field that differs.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many --list names.")
@unmasked
@in_project
def check(folder: Path | None, **options: Any) -> Report:
    """Read the systems as they are, and compare them with the golden records."""
    from fieldwarden.operations.shell.check import check

    return check(folder, **options)


@cli.group()
def audit() -> None:
    """The ledger: what was decided, and the proof that nothing was changed afterwards."""


@command(audit, "export")
@click.option("--format", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file, not to stdout.")
@click.option("--entity", metavar="ENTITY")
@click.option("--record", metavar="ID", help="Of one record (its id, as `trail` shows it).")
@click.option("--field", metavar="FIELD")
@click.option("--outcome", metavar="OUTCOME", help="accepted, agreed, outranked, refused, held, stale, withdrawn ...")
@click.option("--system", metavar="SYSTEM", help="Only what this system said.")
@click.option("--since", metavar="TIME", help="Not before (ISO 8601; UTC if it names no zone).")
@click.option("--until", metavar="TIME", help="Before.")
@unmasked
@in_project
def audit_export(folder: Path | None, **options: Any) -> Report:
    """Write decisions as JSON Lines or CSV, oldest first."""
    from fieldwarden.operations.shell.audit import export

    return export(folder, **options)


@command(audit, "verify")
@in_project
def audit_verify(folder: Path | None) -> Report:
    """Recompute the chain, and replay the ledger against the golden records."""
    from fieldwarden.operations.shell.audit import verify

    return verify(folder)


@cli.group()
def deadletter() -> None:
    """Changes and deliveries set aside with their reason."""


def which(function: Operation) -> Operation:
    """The filters by which dead letters are chosen."""
    for option in (
        click.option("--kind", metavar="KIND", help="Only of this kind (data, ambiguous, reference, delivery ...)."),
        click.option("--entity", metavar="ENTITY", help="Only about this entity."),
        click.option("--system", metavar="SYSTEM", help="Only from or for this system."),
        click.option("--place", metavar="TOPIC[/N[@OFFSET]]", help="Only of changes that stand there in their source."),
    ):
        function = option(function)
    return function


def with_reason(function: Operation) -> Operation:
    """Why a person does this: asked for on a terminal, required elsewhere."""
    return click.option(
        "--reason", metavar="TEXT", callback=_reason, help="Why; it goes into the ledger, with your name."
    )(function)


def _reason(_context: click.Context, _option: click.Parameter, said: str | None) -> str:
    return reason_for(said)


def reason_for(said: str | None) -> str:
    """As `with_reason`, where it is asked for later."""
    if said is None and sys.stdin.isatty():
        said = str(click.prompt("reason", err=True))
    if said is None or not said.strip():
        raise click.UsageError('say why, for the ledger: --reason "..."')
    return said.strip()


@command(deadletter, "list")
@which
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--unmask", is_flag=True, help="Show personal keys too.")
@in_project
def deadletter_list(folder: Path | None, **filters: Any) -> Report:
    """List what is set aside, oldest first; values are not shown."""
    from fieldwarden.operations.shell.deadletter import list_them

    return list_them(folder, **filters)


@command(deadletter, "show")
@click.argument("id")
@click.option("--values", is_flag=True, help="Show its values, or what the target said, personal ones included.")
@in_project
def deadletter_show(folder: Path | None, id: str, values: bool) -> Report:
    """Show one: its reason, where it came from, and what it waits for."""
    from fieldwarden.operations.shell.deadletter import show

    return show(folder, id, values=values)


@command(deadletter, "retry")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that the filters leave.")
@which
@with_reason
@in_project
def deadletter_retry(folder: Path | None, ids: tuple[str, ...], **filters: Any) -> Report:
    """Try again: the ones named, or all that the filters leave (--all)."""
    from fieldwarden.operations.shell.deadletter import retry

    return retry(folder, ids, **filters)


@command(deadletter, "discard")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that the filters leave.")
@which
@with_reason
@in_project
def deadletter_discard(folder: Path | None, ids: tuple[str, ...], **filters: Any) -> Report:
    """Drop for good: the ones named, or all that the filters leave (--all)."""
    from fieldwarden.operations.shell.deadletter import discard

    return discard(folder, ids, **filters)


_LARGEST_ID = 2**63 - 1


@cli.group()
def deletes() -> None:
    """Deletions that are held because there were too many at once."""


def _held(function: Operation) -> Operation:
    """The filters by which held deletions are chosen."""
    for option in (
        click.option("--stream", metavar="STREAM", help="Only of this stream."),
        click.option("--system", metavar="SYSTEM", help="Only of this system."),
    ):
        function = option(function)
    return function


@command(deletes, "list")
@_held
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--unmask", is_flag=True, help="Show personal keys too.")
@in_project
def deletes_list(folder: Path | None, **filters: Any) -> Report:
    """List the rows whose deletion is held, oldest first."""
    from fieldwarden.operations.shell.deletes import list_them

    return list_them(folder, **filters)


@command(deletes, "approve")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(1, _LARGEST_ID))
@_held
@with_reason
@in_project
def deletes_approve(folder: Path | None, ids: tuple[int, ...], **filters: Any) -> Report:
    """They are meant: retire what they delete. The ones named, or all of a system or stream."""
    from fieldwarden.operations.shell.deletes import approve

    return approve(folder, ids, **filters)


@command(deletes, "discard")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(1, _LARGEST_ID))
@_held
@with_reason
@in_project
def deletes_discard(folder: Path | None, ids: tuple[int, ...], **filters: Any) -> Report:
    """They are not: nothing is retired. The ones named, or all of a system or stream."""
    from fieldwarden.operations.shell.deletes import discard

    return discard(folder, ids, **filters)
