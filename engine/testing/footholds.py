"""The project's id and what its sources follow, in memory."""

from __future__ import annotations

from dataclasses import replace

from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.engine.ports.forged import AGAIN_AFTER, NONE, Forged, Noted
from fieldwarden.engine.ports.parts import Baseline


class MemoryFootholds:
    """`id` is the project's."""

    def __init__(self, id: str = "inmemory") -> None:
        self.id = id
        self.follows: dict[str, Followed] = {}
        self.unsealed: dict[str, int | None] = {}
        """Sources whose marks were not sealed: up to which place, None before anybody has asked."""
        self.forgeries: dict[str, Forged] = {}
        self.baselines: dict[str, Baseline] = {}
        """Of sources that somebody has read, for a source that is tried without a hub."""
        self._told: dict[str, tuple[int, int]] = {}

    async def project(self) -> str:
        return self.id

    async def mark_key(self) -> bytes:
        return self.id.encode().ljust(32, b"k")

    async def sealed_from(self, source: str, end: int) -> int:
        if source not in self.unsealed:
            return 0
        if (noted := self.unsealed[source]) is None:
            noted = self.unsealed[source] = end
        return noted

    async def baseline(self, source: str) -> Baseline:
        return self.baselines.get(source, Baseline())

    async def followed(self, source: str) -> Followed | None:
        return self.follows.get(source)

    async def follow(self, source: str, followed: Followed) -> None:
        self.follows[source] = followed
        self.unsealed.pop(source, None)

    async def forged(self, source: str, forged: Forged, now: int) -> Noted:
        known = self.forgeries.get(source, NONE)
        if forged.position <= known.position:
            return Noted()
        number = known.number + forged.number
        self.forgeries[source] = replace(forged, number=number)
        told, told_at = self._told.get(source, (0, -AGAIN_AFTER))
        if now - told_at < AGAIN_AFTER:
            return Noted(forged.number)
        self._told[source] = number, now
        return Noted(forged.number, number - told)
