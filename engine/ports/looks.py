"""The ports behind which a system is looked at from outside its stream: how far it is, and what its rows hold now."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

from fieldwarden.engine.change import RawChange, Relation
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.rules.rulebook import Stream

Positions = Mapping[str, str | None]
"""The parts of a source that somebody has taken, with their positions, as its batches have them."""


class Footing(Protocol):
    """What the hub knows of a source's place in its system; also of one that nothing was read from."""

    async def project(self) -> str | None:
        """The project's id; None: it has none yet, the first run makes it."""

    async def followed(self, source: str) -> Followed | None:
        """The slot and publication of a source that is read directly; None: it has none."""

    async def position(self, source: str) -> str | None:
        """How far a source of one part was read; None: not at all."""

    async def processes(self) -> set[str]:
        """How the sessions of this project's living processes are marked."""


class Retained(Protocol):
    """What a system keeps of its log for us, in bytes."""

    @property
    def slot(self) -> str: ...
    @property
    def retained_bytes(self) -> int: ...
    @property
    def behind_bytes(self) -> int: ...
    @property
    def usable(self) -> bool: ...
    @property
    def reason(self) -> str: ...


class Lag(Protocol):
    """How far a system is ahead of us. Connections are made when needed, and given up after any failure."""

    async def end(self) -> Any:
        """What `reached` is asked with for everything committed by now. Raises TransientError, EnvironmentUnfit."""

    def reached(self, positions: Positions, end: Any) -> bool:
        """Whether the parts, by their positions in the hub (None: nothing was read), are at or past `end`."""

    async def slot(self) -> Retained | None:
        """What is kept for us; None in a system that keeps nothing. Raises TransientError, EnvironmentUnfit."""

    async def close(self) -> None: ...


class PartitionsLag(Lag, Protocol):
    """The same of a partitioned source."""

    async def ends(self) -> Mapping[str, int]:
        """Where its parts end now. Raises TransientError, EnvironmentUnfit."""

    async def lags(self, positions: Positions) -> dict[str, int]:
        """By part, how much has not been read, given the hub's positions. Raises TransientError, EnvironmentUnfit."""


class Looking(Protocol):
    """A look at a system's rows as they are now, beside the stream. All raise TransientError, EnvironmentUnfit,
    SchemaDrift; nothing is written."""

    def relation(self, stream: Stream) -> Relation:
        """The shape in which a stream's rows come."""

    def rows(self, stream: Stream, relation: Relation) -> AsyncGenerator[list[RawChange], None]:
        """Every row of a stream, in pages, in the order of the keys' bytes (as `engine.change` writes keys)."""

    async def again(self, stream: Stream, relation: Relation, keys: Sequence[str]) -> list[RawChange]:
        """Those of these rows that are there now, in any order."""

    async def untold(self, followed: Followed, position: str | None) -> bool | None:
        """Whether what is followed holds changes that stand after a position; None where that cannot be seen."""
