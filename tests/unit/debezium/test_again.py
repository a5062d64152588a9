"""From where partitions are gone on with, and what a new baseline begins again: one generation for all, begun once."""

from __future__ import annotations

import pytest

from connectors.debezium.assignment import Again
from connectors.debezium.parts import Position
from engine.errors import EnvironmentUnfit
from engine.ports import Part

A, B = "crm.a/0", "crm.b/0"


def at(generation: int, offset: int) -> Part:
    return Part(1, Position(generation, offset, 1).encode())


NEW = Part(1, None)


def test_a_partition_is_gone_on_with_where_the_hub_has_it() -> None:
    stored, _ = Again("crm", wanted=False).positions({A: at(0, 7), B: NEW})
    assert stored == {A: Position(0, 7, 1), B: None}


def test_a_partition_that_begins_does_so_in_the_newest_generation() -> None:
    assert Again("crm", wanted=False).positions({A: at(3, 7), B: NEW})[1] == 3


def test_a_new_baseline_begins_everything_again_in_one_generation_above_all() -> None:
    assert Again("crm", wanted=True).positions({A: at(0, 7), B: at(2, 9)}) == ({A: None, B: None}, 3)


def test_a_partition_that_the_baseline_has_begun_is_not_begun_again() -> None:
    again = Again("crm", wanted=True)
    again.positions({A: at(0, 7)})
    assert again.positions({A: at(1, 4), B: at(0, 9)}) == ({A: Position(1, 4, 1), B: None}, 1)


def test_a_first_read_needs_no_generation_of_its_own() -> None:
    again = Again("crm", wanted=True)
    assert again.positions({A: NEW}) == ({A: None}, 0)
    assert again.positions({B: at(0, 7)}) == ({B: None}, 1)


def test_a_position_that_cannot_be_read_asks_for_a_baseline_which_mends_it() -> None:
    odd = Part(1, "0/16B3748")
    with pytest.raises(EnvironmentUnfit, match=A) as caught:
        Again("crm", wanted=False).positions({A: odd})
    assert "--rebaseline crm" in caught.value.suggestion
    assert Again("crm", wanted=True).positions({A: odd}) == ({A: None}, 1)
