"""Forged marks, for `status`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from fieldwarden.engine.hub.views.overview import Overview
from fieldwarden.operations.words import seconds_since


@dataclass(frozen=True, slots=True)
class Forged:
    """Transactions of a system that somebody has marked as our own writes, and the last one's name and age."""

    system: str
    number: int
    last: str
    age_seconds: float


async def forged(overview: Overview) -> list[Forged]:
    """As the hub has noted them. Raises TransientError."""
    return [
        Forged(each.system, each.number, each.transaction, seconds_since(datetime.fromtimestamp(each.at / 1e6, UTC)))
        for each in await overview.forged_marks()
    ]
