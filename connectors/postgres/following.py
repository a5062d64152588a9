"""What a source follows on its server, by name, and by which marks it knows our own writes.

Slots belong to a whole server, and other projects (a copy of this one with another hub, say) work there too. So the
names and the marks carry the project's id. What a hub followed before there were ids it goes on following under the
names of then, and there marks without an id are its own.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.engine.ports.parts import Baseline
from fieldwarden.rules.connections import database_settings
from fieldwarden.rules.rulebook import System

FORMER_MARK = "fieldwarden"
"""What our writes were marked with before projects had ids."""

_LONGEST_NAME = 63


class Footing(Protocol):
    """What the hub knows of a source's place on its server; also of one that nothing was read from."""

    async def project(self) -> str | None: ...
    async def followed(self, source: str) -> Followed | None: ...


class Memory(Protocol):
    """Where a source notes what it follows, and learns by what our own marks are known (`engine.ports.foothold`), and
    how it stands to its rows (`engine.ports.hub`)."""

    async def mark_key(self) -> bytes: ...
    async def sealed_from(self, source: str, end: int) -> int: ...

    async def baseline(self, source: str) -> Baseline: ...
    async def followed(self, source: str) -> Followed | None: ...
    async def follow(self, source: str, followed: Followed) -> None: ...


def mark_of(project: str) -> str:
    """The prefix of the logical message that stands before our rows in each transaction of ours."""
    return f"{FORMER_MARK}:{project}"


def prefixes_of(project: str, followed: Followed) -> frozenset[str]:
    """What the marks on our own writes begin with for a source that follows this."""
    ours = {mark_of(project)}
    return frozenset(ours if followed.slot else ours | {FORMER_MARK})


def names_of(system: System, project: str) -> Followed:
    """What a baseline that begins now follows: the files' names, or such as no other project has."""
    own = f"fieldwarden_{project}_{system.name}"
    if len(own) > _LONGEST_NAME:
        digest = hashlib.sha256(system.name.encode()).hexdigest()[:8]
        own = f"{own[: _LONGEST_NAME - 9]}_{digest}"
    return _said(system, own)


def resolved(system: System, followed: Followed) -> Followed:
    """The names themselves, where those of before there were ids are meant."""
    former = _said(system, f"fieldwarden_{system.name}")
    named = database_settings(system).publication
    return Followed(followed.slot or former.slot, named or followed.publication or former.publication)


async def check_unread(system: System, memory: Memory) -> None:
    """Of a log that was never read. Raises EnvironmentUnfit where topics have told its rows in this baseline, or were
    to tell them."""
    known = await memory.baseline(system.name)
    if known.told or not known.swept or any(baseline == known.number for baseline in known.parts.values()):
        raise EnvironmentUnfit(
            f"{system.name} was read by topics before, and positions there do not compare with those of its log",
            suggestion=f"read all its rows again with `fieldwarden run --rebaseline {system.name}`",
            path=system.name,
        )


def is_ours(slot: str, project: str, followed: Followed | None) -> bool:
    """Whether a slot of this name can only be our own: it carries our id, or we have noted that we follow it."""
    return slot.startswith(f"fieldwarden_{project}_") or (followed is not None and followed.slot == slot)


def _said(system: System, otherwise: str) -> Followed:
    settings = database_settings(system)
    return Followed(settings.slot or otherwise, settings.publication or otherwise)
