"""A few values that stand for many: what a look at all records shows of each field that it counts."""

from __future__ import annotations

from dataclasses import dataclass

from fieldwarden.engine.change import Value

SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """`winner` is the system whose word makes it `after`; empty: nobody's does."""

    record: str
    before: Value
    after: Value
    winner: str


def first(samples: list[Sample]) -> list[Sample]:
    """The first of them by their records' ids, whoever counted them."""
    return sorted(samples, key=lambda each: each.record)[:SAMPLES]
