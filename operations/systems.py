"""The systems of a project, to be connected to: what reads, writes and looks at each is made by its kind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from fieldwarden.engine.ports.inbound import ReceivingKind
from fieldwarden.operations.kinds.table import KINDS, AnyKind
from fieldwarden.rules.kinds import KindUnusable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fieldwarden.engine.ports.finding import Finding
    from fieldwarden.engine.ports.inbound import Receiving
    from fieldwarden.engine.ports.kinds import Reading, Session, Writing
    from fieldwarden.engine.ports.looks import Footing, Lag, Looking
    from fieldwarden.engine.ports.source import Source
    from fieldwarden.engine.ports.target import Target
    from fieldwarden.operations.project import Opened
    from fieldwarden.rules.rulebook import System


@contextlib.asynccontextmanager
async def sessions(project: Opened) -> AsyncIterator[None]:
    """Inside, each system that anything is made of here has one session; at the end they are closed. One inside another
    is the outer one."""
    if project.sessions is not None:
        yield
        return
    project.sessions = {}
    try:
        yield
    finally:
        made, project.sessions = project.sessions, None
        for each in made.values():
            await each.close()


def session(project: Opened, name: str) -> Session:
    """The session of a system. Raises ReferenceUnresolved."""
    assert project.sessions is not None, "whoever connects to systems does it inside `sessions`"
    if name not in project.sessions:
        system = project.rulebook.systems[name]
        project.sessions[name] = _kind(project, name).session(system, project)
    found: Session = project.sessions[name]
    return found


def source(project: Opened, reading: Reading) -> Source:
    """Not connected yet."""
    name = reading.system.name
    return _kind(project, name).source(session(project, name), reading)


def target(project: Opened, writing: Writing) -> Target:
    """Not connected yet."""
    name = writing.system.name
    return _kind(project, name).target(session(project, name), writing)


def lag(project: Opened, name: str, footing: Footing) -> Lag:
    """How far a system is ahead; not connected yet."""
    return _kind(project, name).lag(session(project, name), project.rulebook.systems[name], footing)


def looking(project: Opened, name: str) -> AbstractAsyncContextManager[Looking] | str:
    """A look at a system's rows as they are now; or why there can be none, in words."""
    return _kind(project, name).looking(session(project, name), project.rulebook.systems[name])


async def findings(project: Opened, name: str, footing: Footing | None) -> Sequence[Finding]:
    """What `doctor` says of a system. Raises FieldwardenError."""
    return await _kind(project, name).findings(session(project, name), project.rulebook.systems[name], footing)


def receiving(project: Opened, name: str) -> Receiving | None:
    """What a system's webhooks are made of; None: it sends none, or nothing takes them. Raises ReferenceUnresolved."""
    kind = _kind(project, name)
    return kind.receiving(project.rulebook.systems[name], project) if isinstance(kind, ReceivingKind) else None


def reread(system: System, position: str, streams: Collection[str]) -> str:
    """Where a part of a system that is read directly goes on, to read all rows of these streams first."""
    return KINDS[system.kind].reread(position, streams)


def _kind(project: Opened, name: str) -> AnyKind:
    """Raises KindUnusable: a live rulebook may have a system that the files do not have any more, of a kind that is not
    installed."""
    kind = project.rulebook.systems[name].kind
    try:
        return KINDS[kind]
    except KeyError:
        raise KindUnusable(
            f"{name} is of the kind {kind!r}, which is not installed here",
            suggestion=f"there is {', '.join(KINDS)}; install the package that brings it",
            path=project.where(name),
        ) from None
