"""A target that undoes what it is given is noticed by how often one version of a record is delivered."""

from __future__ import annotations

from fieldwarden.engine.delivering.habits import ASKED, Habits
from fieldwarden.engine.record import Record


def record(version: int = 1, id: str = "r") -> Record:
    return Record(id, "customer", version, {}, [])


def undone(habits: Habits, version: int = 1) -> None:
    """Delivered until it is noticed."""
    assert [habits.delivered(record(version)) for _ in range(4)] == [False, False, False, True]


def test_after_too_many_deliveries_of_one_version_nothing_more_is_written() -> None:
    habits = Habits(3)
    assert not habits.undoes(record(), "")
    undone(habits)
    assert habits.undoes(record(), "")
    assert habits.undoes(record(), ""), "asking changes nothing"
    assert not habits.undoes(record(id="other"), "")


def test_a_persons_word_makes_another_version_which_is_delivered_anew() -> None:
    habits = Habits(3)
    undone(habits)
    assert not habits.undoes(record(2), "")
    undone(habits, 2)


def test_a_person_who_asks_has_it_tried_as_often_again() -> None:
    habits = Habits(3)
    undone(habits)
    assert not habits.undoes(record(), ASKED)
    undone(habits)
