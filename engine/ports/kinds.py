"""The port behind which a kind of connector stands: how its systems are reached, read, written to and looked at.

    settings -> session -> source, target, lag, looking, findings

What is asked of a kind while files are checked (its settings, what `validate` says) is in `rules.kinds`. A kind of
somebody else's is found by its entry point (docs/connectors.md); nothing but the table of kinds knows which there are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from fieldwarden.engine.ports.duties import Half
from fieldwarden.engine.ports.finding import Finding
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.ports.inbox import Arrivals
from fieldwarden.engine.ports.looks import Footing, Lag, Looking
from fieldwarden.engine.ports.source import Source
from fieldwarden.engine.ports.target import Target
from fieldwarden.rules.kinds import RulesOfKind
from fieldwarden.rules.models import ProjectFile
from fieldwarden.rules.rulebook import Rulebook, System
from fieldwarden.rules.secret import Secret


class Reach(Protocol):
    """What a kind is told of the project whose systems it reaches."""

    @property
    def rulebook(self) -> Rulebook:
        """What everything is decided by now."""

    @property
    def file(self) -> ProjectFile:
        """What fieldwarden.yaml says."""

    @property
    def folder(self) -> Path:
        """The project's, to which paths in its files are relative."""

    def where(self, system: str) -> str:
        """The place at which a system's file says how it is reached, for an error's `path`."""

    def secret(self, text: str, where: str) -> Secret:
        """A text with every `${...}` followed. Raises ReferenceUnresolved, with `where` for its path."""

    def shown(self, text: str, where: str) -> str:
        """The same of a text that is no secret, since messages show it. Raises ReferenceUnresolved."""


class Room(Protocol):
    """Set, but while something large is delivered: what is large is not read then, lest both are in memory."""

    def is_set(self) -> bool: ...
    async def wait(self) -> Literal[True]: ...


class Session(Protocol):
    """One system in one process: its source, its target and every look at it are made with the same one.

    It owns what they share: credentials, and where the system limits them, its rate of requests and how many are under
    way at once. Making it connects to nothing."""

    async def cut_off(self, process: str, half: Half) -> None:
        """A worker of ours that read or wrote here is cut off; end what it may still hold, a slot or locks.

        Called before another takes its place. It may raise any FieldwardenError; then the system's own time-outs have
        to do."""

    async def close(self) -> None:
        """Give up what it holds. Called once, after all that was made with it is closed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source is made for. `project` is the project's id. `rebaseline`: a person has all rows of its
    partitions told again; `eager`: an idle position is moved on within a moment, not seconds. `arrivals` is the inbox
    of a system that sends webhooks; None: it sends none."""

    system: System
    hub: Hub
    project: str
    rebaseline: bool = False
    eager: bool = False
    room: Room | None = None
    arrivals: Arrivals | None = None


@dataclass(frozen=True, slots=True)
class Writing:
    """What a target is made for. `project` is the project's id, and `key` what its marks are sealed with."""

    system: System
    hub: Hub
    project: str
    key: bytes = field(repr=False)


S = TypeVar("S", bound=Session)


class Kind(RulesOfKind, Protocol[S]):
    """One kind of connector. Nothing that it makes is connected yet; whoever asked for it closes it."""

    def session(self, system: System, reach: Reach) -> S:
        """Made once for a system in a process. Raises ReferenceUnresolved, and what else is wrong with the settings."""

    def source(self, session: S, reading: Reading) -> Source: ...

    def reread(self, position: str, streams: Collection[str]) -> str:
        """Where a part goes on that was read up to `position`, if all rows of these streams have to be read first,
        since more of their columns are mapped by now. A position that is no source's of this kind stays as it is, and
        so does one of a source that does not read its rows by itself."""

    def target(self, session: S, writing: Writing) -> Target: ...

    def lag(self, session: S, system: System, footing: Footing) -> Lag:
        """How far the system is ahead of us; a PartitionsLag where its settings say `partitioned`."""

    def looking(self, session: S, system: System) -> AbstractAsyncContextManager[Looking] | str:
        """A look at its rows as they are now; or why there can be none, in words."""

    async def findings(self, session: S, system: System, footing: Footing | None) -> Sequence[Finding]:
        """What `doctor` says of a system: everything that was looked at, good and bad. `footing` is None where the hub
        cannot be asked. A server that cannot be reached is a finding, or any FieldwardenError."""
