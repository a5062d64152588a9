"""A few hundred hostile inputs for each decoder and the HTTP server; `make fuzz` tries very many more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

import pytest

from tests.fuzz.decoders import TARGETS, Target, kept
from tests.fuzz.measuring import Input, cost

INPUTS = {"project": 40, "debezium json": 150, "debezium avro": 150, "http": 200}


@pytest.fixture(scope="module", autouse=True)
def _kept() -> Iterator[None]:
    with kept():
        yield


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_input_costs_a_decoder_more_than_its_share_or_ends_it_otherwise_than_by_an_error_of_ours(
    target: Target,
) -> None:
    for number in range(INPUTS.get(target.name, 300)):
        data = target.make(Random(f"{target.name} {number}"))
        found = cost(target.run, data, traced=number % 10 == 0, clock=target.clock)
        assert not found.wrong, (number, found.wrong, data)


def endless(data: Input) -> None:
    end = time.thread_time() + 0.15 * len(data)
    while time.thread_time() < end:
        pass


def huge(data: Input) -> None:
    bytes(10**8 * len(data))


def broken(data: Input) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("run", "wrong"),
    [(endless, " ms"), (huge, "it took 95 MB"), (broken, "MemoryError")],
    ids=["time", "memory", "error"],
)
def test_what_costs_more_than_its_share_is_found(run: object, wrong: str) -> None:
    assert callable(run)
    assert wrong in cost(run, (b"x",), traced=True).wrong


def test_a_longer_input_may_cost_more() -> None:
    assert not cost(huge, (b"x" * 200_000,), traced=True).wrong
