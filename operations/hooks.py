"""The webhooks that a project's systems send: where to, and how they are known."""

from __future__ import annotations

from fieldwarden.operations.project import Opened
from fieldwarden.operations.run.hooks import PREFIX, Taking
from fieldwarden.operations.systems import receiving


def taken(project: Opened, base: str) -> dict[str, Taking]:
    """By system, those that are taken by a server whose address is `base`. Raises ReferenceUnresolved."""
    found = {}
    for name, system in project.rulebook.systems.items():
        if (settings := system.settings.hooks) is not None and (made := receiving(project, name)) is not None:
            found[name] = Taking(made, settings, address(project, name, base))
    return found


def address(project: Opened, system: str, base: str) -> str:
    """Where a system sends its webhooks: as the files say that this server is reached from outside, else `base`."""
    return (project.file.run.address or base).rstrip("/") + PREFIX + system
