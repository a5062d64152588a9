"""Commands about who may do what: the roles of the hub and of the systems, and the hub's schema."""

from __future__ import annotations

from pathlib import Path

import click

from fieldwarden.commands.program import cli, command, in_project
from fieldwarden.operations.shell.report import Report


@cli.group()
def hub() -> None:
    """The hub's schema and the roles that work in it."""


@command(hub, "migrate")
@in_project
def hub_migrate(folder: Path | None) -> Report:
    """Bring the hub's schema up to date, as its owner (hub.owner_dsn)."""
    from fieldwarden.operations.shell.roles import hub_migrate

    return hub_migrate(folder)


@command(hub, "roles")
@click.option("--owner", default="fieldwarden_owner", show_default=True, metavar="ROLE", help="Owns the schema.")
@click.option(
    "--runtime", default="fieldwarden_runtime", show_default=True, metavar="ROLE", help="What the engine works as."
)
@click.option(
    "--reader", default="fieldwarden_reader", show_default=True, metavar="ROLE", help="Reads all but rows' values."
)
@click.option("--auditor", default="fieldwarden_auditor", show_default=True, metavar="ROLE", help="Reads everything.")
@click.option("--print", "only_print", is_flag=True, help="Only print the SQL; connect to nothing.")
@click.option(
    "--new", is_flag=True, help="With --print: for a hub that is not there yet, only the roles and the schema."
)
@in_project
def hub_roles(
    folder: Path | None, owner: str, runtime: str, reader: str, auditor: str, only_print: bool, new: bool
) -> Report:
    """Make the hub's roles and give them their exact rights (by hub.owner_dsn)."""
    from fieldwarden.operations.shell.roles import hub_roles

    if new and not only_print:
        raise click.UsageError("--new goes with --print: without it the hub is made first")
    return hub_roles(folder, owner, runtime, reader, auditor, only_print=only_print, new=new)


@cli.group()
def target() -> None:
    """The systems that are read and written to."""


@command(target, "roles")
@click.argument("system")
@click.option("--source", metavar="ROLE", help="Reads the system (default: fieldwarden_SYSTEM_source).")
@click.option("--target", metavar="ROLE", help="Writes to it (default: fieldwarden_SYSTEM_target).")
@click.option("--print", "only_print", is_flag=True, help="As without it: it is for the system's owner to run.")
@in_project
def target_roles(folder: Path | None, system: str, source: str | None, target: str | None, only_print: bool) -> Report:
    """Print the SQL that makes SYSTEM's roles, with the rights that its mapping needs and no more."""
    from fieldwarden.operations.shell.roles import target_roles

    del only_print
    return target_roles(folder, system, source, target)
