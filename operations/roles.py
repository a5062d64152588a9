"""`fieldwarden hub roles`, `hub migrate`, `target roles`: roles of least privilege, and the SQL that makes them.

What is printed is what is executed: both come from the same statements, and tests run whole projects by them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.operations.project import Opened, UnknownSystem, load, opened
from fieldwarden.operations.shell.report import Report
from fieldwarden.rules.connections import database_settings


def hub_migrate(folder: Path | None) -> Report:
    """Bring the hub's schema and its roles' rights up to date, as its owner. Raises EnvironmentUnfit."""
    from fieldwarden.engine.hub.migrate import migrate, renew_rights

    with opened(folder) as project:
        done = migrate(project.owner_dsn, project.hub_schema)
        renewed = renew_rights(project.owner_dsn, project.hub_schema)
    text = f"applied {', '.join(done)}" if done else "the hub's schema is up to date"
    if renewed:
        text += f"\nthese roles have the rights of this version now: {', '.join(renewed)}"
    return Report({"applied": done, "renewed": renewed}, text)


def hub_roles(
    folder: Path | None, owner: str, runtime: str, reader: str, auditor: str, *, only_print: bool, new: bool = False
) -> Report:
    """Make the hub's roles and give them their rights, over hub.owner_dsn; or only print how (connects to nothing).

    Raises EnvironmentUnfit."""
    from fieldwarden.engine.hub.roles import HubRoles, printed

    roles = HubRoles(owner, runtime, reader, auditor)
    if only_print:
        settings = load(folder).settings
        text = printed(roles, settings.hub.schema_name, new=new)
        return Report({"sql": text}, text)
    from fieldwarden.engine.hub.migrate import make_roles

    with opened(folder) as project:
        make_roles(project.owner_dsn, roles, project.hub_schema)
    return Report(
        {"roles": roles.named}, f"these roles are there, with their rights: {', '.join(roles.named)}\n{_NEXT}"
    )


_NEXT = (
    "give each a password (\\password ROLE in psql), and name them in fieldwarden.yaml: hub.dsn as the runtime, "
    "hub.owner_dsn as the owner (only `hub migrate` and `hub roles` use it)"
)


def target_roles(folder: Path | None, name: str, source: str | None, target: str | None) -> Report:
    """Print how the roles are made by which SYSTEM is read and written to. Raises UnknownSystem, EnvironmentUnfit."""
    from fieldwarden.connectors.postgres.writing.roles import printed

    project = load(folder)
    system = project.rulebook.systems.get(name)
    if system is None:
        known = ", ".join(project.rulebook.systems)
        raise UnknownSystem(f"there is no system {name!r}", suggestion=f"the systems are {known}")
    settings = database_settings(system)
    if not settings.is_postgres:
        raise EnvironmentUnfit(
            f"{name} is {settings.product}, which only Debezium reads",
            suggestion="see Debezium's documentation for the rights of its user there",
            path=name,
        )
    publication = settings.publication_for(name) or _publication(folder, name)
    text = printed(system, source or f"fieldwarden_{name}_source", target or f"fieldwarden_{name}_target", publication)
    return Report({"sql": text}, text)


def _publication(folder: Path | None, name: str) -> str:
    """Of a system whose file names none: that which the hub follows, or the first run will make."""
    from fieldwarden.connectors.postgres.following import names_of, resolved
    from fieldwarden.engine.hub.views.footing import HubFooting

    async def asked(project: Opened) -> str:
        footing = HubFooting(project.hub_dsn, project.hub_schema)
        try:
            followed, id = await footing.followed(name), await footing.project()
        finally:
            await footing.close()
        system = project.rulebook.systems[name]
        if followed is not None:
            return resolved(system, followed).publication
        if id is not None:
            return names_of(system, id).publication
        raise EnvironmentUnfit(
            f"the publication of {name} is named after the project's id, which the hub does not have yet",
            suggestion="make the hub first: fieldwarden hub migrate; or name one in the system file (publication:)",
            path=name,
        )

    with opened(folder) as project:
        return asyncio.run(asked(project))
