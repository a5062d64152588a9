"""What only the systems' catalogues tell: columns that are one under several names, one of them protected."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from operations.project import Opened
from rules.checks import told, where
from rules.loading import ReferenceUnresolved


@dataclass(frozen=True, slots=True)
class Reached:
    """A column that is written where it must not be, or by two systems, in words; `path` is the place in the files."""

    system: str
    message: str
    suggestion: str
    path: str
    protected: bool


async def reached(project: Opened) -> list[Reached]:
    """By the project's files, in every system that can be reached; what cannot be, is for `doctor` to say."""
    from connectors.postgres.protecting import live_conflicts

    rulebook, files = project.project.rulebook, project.project.files
    dsns = {}
    for name, system in rulebook.systems.items():
        if system.settings.get("database", "postgres") == "postgres":
            with suppress(ReferenceUnresolved):
                dsns[name] = project.dsn_of(system)
    found = await live_conflicts(rulebook, dsns)
    return [
        Reached(each.write.system, told(files, each), each.suggestion, str(where(files, each.write)), each.protected)
        for each in found
    ]
