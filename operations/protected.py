"""What only the systems' catalogues tell: columns that are one under several names, one of them protected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fieldwarden.operations.project import Opened
from fieldwarden.rules.checks import told, where
from fieldwarden.rules.connections import in_postgres
from fieldwarden.rules.loading import ReferenceUnresolved
from fieldwarden.rules.protecting import owns_protected
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.secret import Secret


@dataclass(frozen=True, slots=True)
class Reached:
    """A column that is written where it must not be, or by two systems, in words; `path` is the place in the files."""

    system: str
    message: str
    suggestion: str
    path: str
    protected: bool


@dataclass(frozen=True, slots=True)
class Protection:
    """What was found in the systems that can be reached; `unchecked` says in words what nobody could look at."""

    found: list[Reached]
    unchecked: list[str]


async def protection(project: Opened) -> Protection:
    """By the project's files, in every PostgreSQL system that can be reached."""
    from fieldwarden.connectors.postgres.writing.protecting import live_conflicts

    rulebook, files = project.project.rulebook, project.project.files
    dsns: dict[str, Secret] = {}
    target_dsns: dict[str, Secret] = {}
    unknown = []
    for name, system in rulebook.systems.items():
        if not in_postgres(system):
            continue
        try:
            ways = project.dsn_of(system), project.target_dsn_of(system)
        except ReferenceUnresolved:
            unknown.append(name)
            continue
        dsns[name] = ways[0]
        if ways[1] != ways[0]:
            target_dsns[name] = ways[1]
    live = await live_conflicts(rulebook, dsns, target_dsns)
    found = [
        Reached(each.write.system, told(files, each), each.suggestion, str(where(files, each.write)), each.protected)
        for each in live.conflicts
    ]
    unchecked = [*_unchecked(rulebook, live.unasked, "it does not answer")]
    unchecked += _unchecked(rulebook, unknown, "its connection string refers to what is not known here")
    return Protection(found, unchecked)


def _unchecked(rulebook: Rulebook, names: Iterable[str], why: str) -> Iterator[str]:
    owners = {name for name, system in rulebook.systems.items() if owns_protected(rulebook, system)}
    for name in names if owners else ():
        what = (
            f"protected columns of {name} were" if name in owners else f"whether {name} writes a protected column was"
        )
        yield f"{what} not checked: {why}"
