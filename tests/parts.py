"""The two parts of the tests: `make test` runs the first, `make test-rest` the others, `make test-all` both.

A test is of the second part by a marker:

    kafka   it works with the Kafka stack: put on by itself, for every test that asks for a fixture of that stack
    long    it takes long, and is one of several that look at the same thing: put on by hand

What needs neither Java nor Maven and shows that something holds at all is of the first part; further variants, seeds
and moments of death are of the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

ROOT_OF_KAFKA = "java"
"""The fixture below all that are of the Kafka stack."""


def mark_kafka(items: Iterable[pytest.Item]) -> None:
    """Mark those that ask for a fixture of the stack, by whatever other fixture."""
    for item in items:
        if ROOT_OF_KAFKA in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


def refuse_unmarked(test: pytest.Item) -> None:
    """Fail a test that asks for the stack while it runs (`request.getfixturevalue`), which nobody could foresee."""
    if test.get_closest_marker("kafka") is None:
        pytest.fail(f"{test.nodeid} works with the Kafka stack: mark it (or its parameter) with pytest.mark.kafka")


def first(number: int, values: Iterable[Any]) -> Sequence[Any]:
    """For `parametrize`: all these values, those after the first `number` marked as long.

    `first(2, range(5))` -> 0 and 1 as they are; 2, 3 and 4 in the second part.
    """
    later = pytest.mark.long
    return [each if place < number else pytest.param(each, marks=later) for place, each in enumerate(values)]
