"""`fieldwarden hub roles`, `hub migrate`, `target roles`, told to people."""

from __future__ import annotations

from pathlib import Path

from fieldwarden.connectors.postgres.writing import roles as target
from fieldwarden.engine.hub.roles import HubRoles, printed
from fieldwarden.operations.project import load
from fieldwarden.operations.roles import hub_migrated, hub_roles_made, publication_of, written_by_us
from fieldwarden.operations.shell.opening import in_project
from fieldwarden.operations.shell.report import Report, plain
from fieldwarden.rules.connections import database_settings

_NEXT = (
    "give each a password (\\password ROLE in psql), and name them in fieldwarden.yaml: hub.dsn as the runtime, "
    "hub.owner_dsn as the owner (only `hub migrate` and `hub roles` use it)"
)


def hub_migrate(folder: Path | None) -> Report:
    done = in_project(folder, hub_migrated)
    text = f"applied {', '.join(done.applied)}" if done.applied else "the hub's schema is up to date"
    if done.renewed:
        text += f"\nthese roles have the rights of this version now: {', '.join(done.renewed)}"
    return Report(plain(done), text)


def hub_roles(
    folder: Path | None, owner: str, runtime: str, reader: str, auditor: str, *, only_print: bool, new: bool = False
) -> Report:
    """Make them; or only print how (connects to nothing)."""
    roles = HubRoles(owner, runtime, reader, auditor)
    if only_print:
        text = printed(roles, load(folder).settings.hub.schema_name, new=new)
        return Report({"sql": text}, text)
    in_project(folder, lambda project: hub_roles_made(project, roles))
    return Report(
        {"roles": roles.named}, f"these roles are there, with their rights: {', '.join(roles.named)}\n{_NEXT}"
    )


def target_roles(folder: Path | None, name: str, source: str | None, to: str | None) -> Report:
    """Print how the roles are made by which SYSTEM is read and written to."""
    system = written_by_us(load(folder), name)
    publication = database_settings(system).publication_for(name)
    publication = publication or in_project(folder, lambda project: publication_of(project, name))
    roles = source or f"fieldwarden_{name}_source", to or f"fieldwarden_{name}_target"
    text = target.printed(system, *roles, publication)
    return Report({"sql": text}, text)
