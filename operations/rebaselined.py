"""Systems whose rows were read from the beginning once more, for `status`."""

from __future__ import annotations

from dataclasses import dataclass

from fieldwarden.engine.hub.views.overview import Overview
from fieldwarden.operations.words import seconds_since


@dataclass(frozen=True, slots=True)
class Rebaselined:
    """A system whose rows are read, or have been, from the beginning once more: the number of that baseline, how long
    ago it was begun, and why. `read`: all of them have been."""

    system: str
    baseline: int
    age_seconds: float
    why: str
    read: bool


async def rebaselined(overview: Overview) -> list[Rebaselined]:
    """As the hub has noted them, by name. Raises TransientError."""
    return [
        Rebaselined(each.system, each.baseline, seconds_since(each.since), each.why, each.read)
        for each in await overview.rebaselined()
    ]
