"""What a project holds at its systems' servers, and the id by which that is told from other projects' there.

A server's slots and a database's change stream are everybody's: a copy of the project with another hub, or another
project altogether, may work on the same systems. So the hub makes an id once, which stands in names and in marks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Followed:
    """The replication slot and the publication that a source follows on its system's server, by name. Both empty: those
    that it followed before projects had ids."""

    slot: str = ""
    publication: str = ""


class Footholds(Protocol):
    """The part of the hub that keeps them."""

    async def project(self) -> str:
        """The project's own id: made with the hub, never changed, another one in every other hub."""

    async def mark_key(self) -> bytes:
        """What the marks on our writes are sealed with: 32 bytes, made at random with the hub. A secret."""

    async def sealed_from(self, source: str, end: int) -> int:
        """The place (an LSN) in a source's log before which our marks were not sealed: 0 where they always were. Where
        the hub comes from a version that did not seal them, it is the log's `end` when that was asked for the first
        time, which is durable when this returns."""

    async def followed(self, source: str) -> Followed | None:
        """What a source that we read directly follows on its server; None: nothing of ours was ever made there."""

    async def follow(self, source: str, followed: Followed) -> None:
        """A source follows this from now on. Durable when it returns, so that what is made next is known to be ours."""
