"""The live rules of a project: asked of the hub, and reached by the local files; and a hub made ready to be asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.running.ingest.session import microseconds
from fieldwarden.operations.hub import no_hub
from fieldwarden.operations.kinds.table import KINDS
from fieldwarden.rules.changes import in_force
from fieldwarden.rules.errors import ConfigurationError, FieldwardenError
from fieldwarden.rules.loading import load_rulebook_source
from fieldwarden.rules.rulebook import Rulebook

if TYPE_CHECKING:
    from fieldwarden.engine.hub.rules import Live, LiveRules
    from fieldwarden.operations.hub import LiveHub
    from fieldwarden.operations.project import Opened


class LiveUnreadable(FieldwardenError):
    """The hub's rulebook was altered, or made by another version."""

    code = "live_rules_unreadable"
    exit_code = 3


def rules_of(project: Opened) -> LiveRules:
    """The hub's side of it; to be closed by the caller."""
    from fieldwarden.engine.hub.rules import LiveRules

    return LiveRules(project.hub_dsn, project.hub_schema, microseconds)


async def live_of(project: Opened) -> Live | None:
    """What is live in the hub; None in one without rules. Raises EnvironmentUnfit."""
    rules = rules_of(project)
    try:
        return await rules.live()
    except TransientError as error:
        raise no_hub(error) from error
    finally:
        await rules.close()


async def live_rules(project: Opened, *, begin: bool) -> Rulebook | None:
    """The live rules, each system reached as the files say; None if there are none (and `begin` does not make them)."""
    rules = rules_of(project)
    try:
        live = await rules.live()
        if live is None and begin:
            await rules.begin(project.project.rulebook, onboarded=project.onboards_itself)
            live = await rules.live()
        if live is None:
            return None
        loaded = loaded_from(live)
        if loaded.hash != live.hash and begin:  # named by an older version; commits compare the name
            await rules.rename(live.hash, loaded)
    finally:
        await rules.close()
    return in_force(loaded, project.project.rulebook)


async def take_live(project: Opened, *, begin: bool = False) -> None:
    """Ask the hub for the live rules, by which the project then decides. `begin`: where it has none, the files become
    the first ones. Raises TransientError."""
    project.live = await live_rules(project, begin=begin)


async def prepare_hub(project: Opened) -> LiveHub:
    """For operations that only ask: the hub, its live rules and names known. An embedded hub is made ready, so that a
    project in which nothing ran yet can be asked; a server of the user's is only read. Raises EnvironmentUnfit if there
    is no hub on it."""
    from fieldwarden.engine.hub.names import row_names
    from fieldwarden.engine.hub.reading import snapshot

    if project.project.settings.hub.dsn is None:
        await asyncio.to_thread(project.migrate)
    async with snapshot(project.hub_dsn, project.hub_schema) as connection:
        project.names = await row_names(connection)
    try:
        await take_live(project)
    except TransientError as error:
        raise no_hub(error) from error
    return project.live_hub


def loaded_from(live: Live) -> Rulebook:
    """Raises LiveUnreadable."""
    try:
        return load_rulebook_source(live.body, KINDS)
    except (ConfigurationError, ValueError, LookupError) as error:
        raise LiveUnreadable(
            f"the live rulebook {live.hash[:12]} in the hub cannot be read by this version",
            suggestion="use the version of fieldwarden that it was applied with",
        ) from error
