"""A vendor's service gets each record once, and the values that are golden, whatever becomes of calls and callers."""

from __future__ import annotations

import pytest

from fieldwarden.engine.testing.vendor import KINDS
from tests.simulation.vendor_world import VendorWorld, lived

NAMES = list(KINDS)
QUICK = 48
"""Seeds of each run; the long part makes it a thousand."""


def assert_each_record_is_there_once(seed: int) -> VendorWorld:
    world = lived(seed, KINDS[NAMES[seed % len(NAMES)]], rounds=seed % 5 == 0)
    assert world.holds() == world.should_hold(), NAMES[seed % len(NAMES)]
    return world


@pytest.mark.parametrize("seed", range(QUICK))
def test_each_record_is_there_once_and_holds_the_golden_values(seed: int) -> None:
    assert_each_record_is_there_once(seed)


@pytest.mark.long
@pytest.mark.parametrize("seeds", [range(n, n + 100) for n in range(0, 1000, 100)], ids=lambda seeds: str(seeds[0]))
def test_in_a_thousand_seeds(seeds: range) -> None:
    for seed in seeds:
        assert_each_record_is_there_once(seed)


def test_the_runs_do_meet_what_they_are_about() -> None:
    worlds = [assert_each_record_is_there_once(seed) for seed in range(len(NAMES) * 2)]
    fates = [fate for world in worlds for fate in world.fates]
    assert sum(world.kills for world in worlds) > 20
    assert sum(fate.lands is None for fate in fates) > 10
    assert sum(fate.answers is None for fate in fates) > 10
    assert sum((fate.lands or 0) > 2 for fate in fates) > 10


@pytest.mark.parametrize("kind", ["nothing but an external id", "nothing but a natural key", "versions, no unique ids"])
def test_a_loop_that_tries_an_unknown_outcome_again_makes_doubles(kind: str) -> None:
    """The runs would notice the loss of what they are to show."""
    worlds = [lived(seed, KINDS[kind], naive=True) for seed in range(10)]
    assert any(len(world.holds()) > len(world.should_hold()) for world in worlds)


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (lived(3, KINDS["unique ids, versions"]) for _ in range(2))
    assert (first.holds(), first.kills, first.fates) == (second.holds(), second.kills, second.fates)
