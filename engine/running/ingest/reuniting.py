"""Records of the queue of duplicates that may be joined by now, a few at a time.

Nobody has looked at them since they came to be alike, or since something of them changed that had stood in the way: a
row deleted, a key corrected, new match keys applied. With them go records that are found by the id of one that was
joined to another, and are to follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fieldwarden.engine.ports.durable import AlikePair
from fieldwarden.engine.ports.hub import MANY_ALIKE, Hub

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Reunion:
    alike: Sequence[AlikePair] = ()
    following: Sequence[str] = ()

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Those that may be joined: a value that very many carry tells nothing apart."""
        return [pair.records for pair in self.alike if len(pair.records) <= MANY_ALIKE]

    @property
    def records(self) -> set[str]:
        """All that have to be at hand."""
        return {*self.following, *(id for group in self.groups for id in group)}


async def next_reunion(hub: Hub) -> Reunion:
    return Reunion(await hub.alike(_AT_ONCE), await hub.following(_AT_ONCE))
