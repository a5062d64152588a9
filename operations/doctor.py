"""Can everything be reached, and do databases and files fit? A checklist; nothing is changed.

What only a live system can tell is wrong (a missing column, a privilege) is shown with the place in the files that
speaks of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from fieldwarden.engine.hub.views.checkup import Checkup, check_up
from fieldwarden.engine.hub.views.footing import HubFooting
from fieldwarden.operations.onboarding import ONBOARDING, waits
from fieldwarden.operations.project import Opened
from fieldwarden.operations.protected import protection
from fieldwarden.operations.rules import live_of
from fieldwarden.operations.systems import findings, sessions
from fieldwarden.operations.words import count
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.loading import PROJECT_FILE, Project

if TYPE_CHECKING:
    from fieldwarden.engine.ports.finding import Finding

_CHOOSE = 'openssl rand -hex 32, and run: {token: "${env:RUN_TOKEN}"}'
_SHORTEST_TOKEN = 16
Level = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the checklist. `about` is "files", "hub" or a system; `path` the place in the files, if one is."""

    about: str
    subject: str
    level: Level
    message: str
    suggestion: str = ""
    path: str = ""
    environment: bool = False
    """An error of the environment, rather than of the files."""


@dataclass(frozen=True, slots=True)
class Checklist:
    """`waits`: in words, what has to be done before `run` delivers anything, if nothing is wrong."""

    checks: Sequence[Check]
    waits: str

    @property
    def wrong(self) -> list[Check]:
        return [each for each in self.checks if each.level == "error"]


async def examined(project: Opened) -> Checklist:
    """Raises EnvironmentUnfit if the hub fails meanwhile."""
    checks = Checklist([_files(project.project), *_health(project), *await _live(project)], "")
    return checks if checks.wrong else replace(checks, waits=await _waits(project))


async def _waits(project: Opened) -> str:
    """In words, what has to be done before `run` delivers anything; empty where that is nothing. Raises
    EnvironmentUnfit."""
    if project.onboards_itself:
        return ""
    live = await live_of(project)
    return ONBOARDING if live is None else waits(live)


def _files(project: Project) -> Check:
    rulebook = project.rulebook
    what = f"{count(len(rulebook.entities), 'entity', 'entities')}, {count(len(rulebook.systems), 'system')}"
    if not project.warnings:
        return Check("files", "files", "ok", what)
    return Check("files", "files", "warning", "\n".join(map(str, project.warnings)))


def _health(project: Opened) -> list[Check]:
    """Whether strangers are told how a process fares."""
    from fieldwarden.operations.run.health import OPEN, is_loopback

    settings, where = project.project.settings.run, f"{PROJECT_FILE}: run"
    if settings.token is None:
        open_to_all = not is_loopback(settings.host)
        return [Check("files", "run", "warning", OPEN, _CHOOSE, where)] if open_to_all else []
    try:
        token = project.run_token
    except FieldwardenError as error:
        return [Check("files", "run", "error", error.message, error.suggestion, error.path, environment=True)]
    if token is not None and len(token.reveal()) < _SHORTEST_TOKEN:
        return [Check("files", "run", "warning", "the token of `run` can be guessed: it is short", _CHOOSE, where)]
    return []


async def _live(project: Opened) -> list[Check]:
    hub = await _hub(project)
    broken = hub[0].level == "error"
    footing = None if broken else HubFooting(project.hub_dsn, project.hub_schema)
    rules = [] if broken else await _rules(project)
    try:
        async with sessions(project):
            systems = await asyncio.gather(*(_system(project, name, footing) for name in project.rulebook.systems))
    finally:
        if footing is not None:
            await footing.close()
    return [*hub, *rules, *(check for checks in systems for check in checks), *await _protected(project)]


async def _protected(project: Opened) -> list[Check]:
    """Columns that are one by the catalogue, though the files call them differently. That a system does not answer, its
    own checks say."""
    return [
        Check(
            each.system, "protected", "error" if each.protected else "warning", each.message, each.suggestion, each.path
        )
        for each in (await protection(project)).found
    ]


async def _rules(project: Opened) -> list[Check]:
    """Whether the files are what everything is decided by. Systems are checked against the files: those come next."""
    from fieldwarden.operations.rules import live_rules

    try:
        live = await live_rules(project, begin=False)
    except FieldwardenError as error:
        return [Check("rules", "rules", "error", error.message, error.suggestion, environment=True)]
    if live is None:
        return [Check("rules", "rules", "note", "no rulebook is live yet: the first run makes the files so")]
    remark = replace(project, live=live).remark
    if not remark:
        return [Check("rules", "rules", "ok", f"rulebook {live.hash[:12]} is live, and is that of the files")]
    return [Check("rules", "rules", "warning", remark, "fieldwarden plan")]


async def _hub(project: Opened) -> list[Check]:
    try:
        # An embedded one is migrated by its superuser, whatever the runtime may.
        embedded = project.project.settings.hub.dsn is None
        found = await check_up(project.owner_dsn if embedded else project.hub_dsn, project.hub_schema)
        alike = await _alike(project) if found.applied == found.known else []
    except FieldwardenError as error:
        return [Check("hub", "hub", "error", error.message, error.suggestion, error.path, environment=True)]
    where = "embedded" if embedded else f"schema {project.hub_schema}"
    if found.applied < found.known:
        state = "the first run makes its tables" if found.applied == 0 else "the next run brings its tables up to date"
        return [Check("hub", "hub", "note", f"PostgreSQL {found.server}, {where}; {state}")]
    return [
        Check("hub", "hub", "ok", f"PostgreSQL {found.server}, {where}, version {found.applied}"),
        *_hub_role(project, found),
        *alike,
    ]


def _hub_role(project: Opened, found: Checkup) -> Iterator[Check]:
    """Of an embedded hub nothing: it is entered as the runtime, whose rights each start renews, and its files are its
    user's own."""
    if found.power and project.project.settings.hub.dsn is not None:
        what = f"the engine enters the hub as {found.role}, {found.power}: it could rewrite the ledger"
        hint = "fieldwarden hub roles, then hub.dsn as the runtime (docs/security.md)"
        yield Check("hub", "role", "warning", what, hint)
    if found.outdated and project.project.settings.hub.dsn is not None:
        what = f"{', '.join(found.outdated)}: the rights in the hub are those that another version of this program gave"
        yield Check("hub", "rights", "warning", what, "as the schema's owner: fieldwarden hub migrate")


async def _alike(project: Opened) -> list[Check]:
    """Records that may be one and the same, in the hub's tables as this program knows them."""
    from fieldwarden.engine.hub.views.overview import Overview

    overview = Overview(project.hub_dsn, project.hub_schema)
    try:
        counts = await overview.duplicate_counts()
    finally:
        await overview.close()
    return [
        Check(
            "hub",
            "duplicates",
            "warning",
            f"{entity}: {count(number, 'value')} of a match key, each carried by several records that may be one",
            "fieldwarden status names them",
        )
        for entity, number in counts.items()
    ]


async def _system(project: Opened, name: str, footing: HubFooting | None) -> list[Check]:
    try:
        return [_check(project.project, name, finding) for finding in await findings(project, name, footing)]
    except FieldwardenError as error:
        return [Check(name, "connection", "error", error.message, error.suggestion, error.path, environment=True)]


def _check(project: Project, system: str, finding: Finding) -> Check:
    path = "" if finding.level == "ok" else _place(project, system, finding)
    environment = finding.level == "error" and finding.stream is None and finding.part is None
    return Check(system, finding.subject, finding.level, finding.message, finding.suggestion, path, environment)


def _place(project: Project, system: str, finding: Finding) -> str:
    """Where the files speak of what was found: the field that a column carries, else the stream's part that names
    it, else the stream, else the system."""
    if finding.stream is None:
        return str(project.locate(system, part=finding.part))
    stream, column = project.rulebook.systems[system].streams[finding.stream], finding.column
    for name, mapped in stream.fields.items():
        if column is not None and (column == mapped.column or (mapped.read and column in mapped.read.columns)):
            return str(project.locate(system, stream.name, name))
    parts = {
        "key": stream.key,
        "external_id": (stream.external_id,),
        "parent": stream.parent_columns,
        "merged_into": stream.merged_into,
        "where": stream.where.columns if stream.where else (),
        "changed_at": stream.changed_at.columns if stream.changed_at else (),
        "set": stream.constants,
        "unique": stream.conflict,
    }
    for part, columns in parts.items():
        if column is not None and column in columns:
            return str(project.locate(system, stream.name, part=part))
    return str(project.locate(system, stream.name))
