"""The project's id and what its sources follow, in memory."""

from __future__ import annotations

from engine.foothold import Followed


class MemoryFootholds:
    """`id` is the project's."""

    def __init__(self, id: str = "inmemory") -> None:
        self.id = id
        self.follows: dict[str, Followed] = {}

    async def project(self) -> str:
        return self.id

    async def followed(self, source: str) -> Followed | None:
        return self.follows.get(source)

    async def follow(self, source: str, followed: Followed) -> None:
        self.follows[source] = followed
