"""The live rules of a project: asked of the hub, and reached by the local files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import TransientError
from engine.pipeline import microseconds
from rules.changes import in_force
from rules.errors import ConfigurationError, FieldwardenError
from rules.loading import load_rulebook_source
from rules.rulebook import Rulebook

if TYPE_CHECKING:
    from engine.hub.rules import Live, LiveRules
    from operations.project import Opened


class LiveUnreadable(FieldwardenError):
    """The hub's rulebook was altered, or made by another version."""

    code = "live_rules_unreadable"
    exit_code = 3


def rules_of(project: Opened) -> LiveRules:
    """The hub's side of it; to be closed by the caller."""
    from engine.hub.rules import LiveRules

    return LiveRules(project.hub_dsn, project.hub_schema, microseconds)


async def live_of(project: Opened) -> Live | None:
    """What is live in the hub; None in one without rules. Raises EnvironmentUnfit."""
    rules = rules_of(project)
    try:
        return await rules.live()
    except TransientError as error:
        raise project.no_hub(error) from error
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


def loaded_from(live: Live) -> Rulebook:
    """Raises LiveUnreadable."""
    try:
        return load_rulebook_source(live.body)
    except (ConfigurationError, ValueError, LookupError) as error:
        raise LiveUnreadable(
            f"the live rulebook {live.hash[:12]} in the hub cannot be read by this version",
            suggestion="use the version of fieldwarden that it was applied with",
        ) from error
