"""A few values that stand for many: what a look at all records shows of each field that it counts."""

from __future__ import annotations

from dataclasses import dataclass

from fieldwarden.engine.change import Value

SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One record's value before and after. `winner` is the system whose word makes it `after`; "": nobody's does."""

    record: str
    before: Value
    after: Value
    winner: str


def first(samples: list[Sample]) -> list[Sample]:
    """The first SAMPLES of them by their records' ids, whoever counted them.

    >>> [each.record for each in first([Sample(id, None, "A", "crm") for id in ("4", "2", "1", "3")])]
    ['1', '2', '3']
    """
    return sorted(samples, key=lambda each: each.record)[:SAMPLES]
