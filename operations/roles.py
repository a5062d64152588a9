"""Roles of least privilege, and the SQL that makes them.

What is printed is what is executed: both come from the same statements, and tests run whole projects by them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fieldwarden.connectors.postgres.following import names_of, resolved
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.migrate import make_roles, migrate, renew_rights
from fieldwarden.engine.hub.roles import HubRoles
from fieldwarden.engine.hub.views.footing import HubFooting
from fieldwarden.operations.project import Opened, UnknownSystem
from fieldwarden.rules.connections import DatabaseSettings, in_postgres
from fieldwarden.rules.loading import Project
from fieldwarden.rules.rulebook import System


@dataclass(frozen=True, slots=True)
class Migrated:
    """The migrations that were applied, and the roles whose rights are those of this version now."""

    applied: Sequence[str]
    renewed: Sequence[str]


async def hub_migrated(project: Opened) -> Migrated:
    """Bring the hub's schema and its roles' rights up to date, as its owner. Raises EnvironmentUnfit."""
    done = await asyncio.to_thread(migrate, project.owner_dsn, project.hub_schema)
    return Migrated(done, await asyncio.to_thread(renew_rights, project.owner_dsn, project.hub_schema))


async def hub_roles_made(project: Opened, roles: HubRoles) -> None:
    """Make the hub's roles and give them their rights, over hub.owner_dsn. Raises EnvironmentUnfit."""
    await asyncio.to_thread(make_roles, project.owner_dsn, roles, project.hub_schema)


def written_by_us(project: Project, name: str) -> System:
    """The system of that name, if roles can be made for us in it. Raises UnknownSystem, EnvironmentUnfit."""
    system = project.rulebook.systems.get(name)
    if system is None:
        known = ", ".join(project.rulebook.systems)
        raise UnknownSystem(f"there is no system {name!r}", suggestion=f"the systems are {known}")
    if not isinstance(system.settings, DatabaseSettings):
        raise EnvironmentUnfit(f"{name} is no database, and has no roles: it is of kind {system.kind}", path=name)
    if not in_postgres(system):
        raise EnvironmentUnfit(
            f"{name} is {system.settings.product}, which only Debezium reads",
            suggestion="see Debezium's documentation for the rights of its user there",
            path=name,
        )
    return system


async def publication_of(project: Opened, name: str) -> str:
    """Of a system whose file names none: that which the hub follows, or the first run will make. Raises
    EnvironmentUnfit."""
    async with project.live_hub.part(HubFooting) as footing:
        followed, id = await footing.followed(name), await footing.project()
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
