"""Deliveries that have begun and come to no end yet, for `status`: put off, or without an answer."""

from __future__ import annotations

from dataclasses import dataclass

from fieldwarden.engine.hub.views.overview import Overview
from fieldwarden.operations.words import seconds_since


@dataclass(frozen=True, slots=True)
class PutOff:
    """Deliveries to a target that were tried, and will be again, for one reason: it is busy, it did not answer."""

    target: str
    reason: str
    number: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Writes to a target that have no result yet: under way, or in doubt and looked up before they are tried again."""

    target: str
    number: int
    oldest_seconds: float


async def put_off(overview: Overview) -> list[PutOff]:
    """By target, the most frequent reason first. Raises TransientError."""
    return [
        PutOff(each.target, each.reason, each.number, seconds_since(each.oldest)) for each in await overview.put_off()
    ]


async def unanswered(overview: Overview) -> list[Unanswered]:
    """By target; those that have any. Raises TransientError."""
    return [Unanswered(each.target, each.number, seconds_since(each.oldest)) for each in await overview.unanswered()]
