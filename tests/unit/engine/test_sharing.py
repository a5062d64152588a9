"""Who takes what: a table of situations, and that all workers together come to rest in an even share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.engine.ports.duties import SHARDS, Duty, Lane, LoopName, share

A, B, C, D = Duty("source", "a"), Duty("source", "b"), Duty("target", "a"), Duty("target", "b")


@pytest.mark.parametrize(
    ("me", "workers", "holders", "take", "give"),
    [
        pytest.param(1, [1], {A: None, B: None, C: None}, [A, B, C], [], id="alone: everything"),
        pytest.param(1, [1, 2], {A: None, B: None, C: None, D: None}, [A, C], [], id="two at once: every other one"),
        pytest.param(2, [1, 2], {A: None, B: None, C: None, D: None}, [B, D], [], id="and the other half"),
        pytest.param(1, [1, 2], {A: 1, B: 1, C: 1, D: 1}, [], [D, C], id="a second one comes: half goes"),
        pytest.param(2, [1, 2], {A: 1, B: 1, C: 1, D: 1}, [], [], id="it waits for them"),
        pytest.param(2, [1, 2], {A: 1, B: 1, C: 1, D: None}, [D], [], id="it takes the first"),
        pytest.param(1, [1, 2], {A: 1, B: 1, C: 1}, [], [C], id="two and one is even"),
        pytest.param(1, [1, 2], {A: 1, B: 1, C: 2}, [], [], id="so nothing moves"),
        pytest.param(2, [1, 2, 3], {A: 1, B: 1, C: 2, D: 2}, [], [D], id="of equals the last one gives"),
        pytest.param(1, [1, 2, 3], {A: 1, B: 1, C: 2, D: 2}, [], [], id="and not the other"),
        pytest.param(2, [1, 2, 3], {A: 1, B: 1, C: 2, D: None}, [], [], id="who gave does not take it back"),
        pytest.param(3, [1, 2, 3], {A: 1, B: 1, C: 2, D: None}, [D], [], id="the poorest does"),
        pytest.param(1, [1], {A: 1, B: 2}, [B], [], id="of one that is gone"),
        pytest.param(5, [1, 2, 3, 4, 5], {A: 1, B: 2, C: 3, D: 4}, [], [], id="nothing left"),
        pytest.param(3, [], {A: None}, [A], [], id="not yet seen by itself"),
    ],
)
def test_situations(
    me: int, workers: list[int], holders: dict[Duty, int | None], take: list[Duty], give: list[Duty]
) -> None:
    assert share(me, workers, holders) == (take, give)


def test_every_worker_gets_some_shards_of_every_target() -> None:
    names = [Duty("target", system, shard) for system in ("billing", "crm", "erp") for shard in SHARDS]
    dealt = share(1, [1, 2], dict.fromkeys(names)).take
    given = share(1, [1, 2], dict.fromkeys(names, 1)).give
    for some in (dealt, given):
        assert {duty.loop for duty in some} == {
            LoopName("target", "billing"),
            LoopName("target", "crm"),
            LoopName("target", "erp"),
        }
        assert len(some) == len(names) / 2


def test_what_is_being_given_up_counts_no_more() -> None:
    assert share(1, [1, 2], {A: 1, B: 1, C: 1, D: 1}, leaving=[C, D]) == ([], [])


def test_what_is_kept_is_not_given() -> None:
    assert share(1, [1, 2], {A: 1, B: 1}, keep=[B]) == ([], [A])
    assert share(1, [1, 2], {A: 1, B: 1}, keep=[A, B]) == ([], [])


@given(
    st.sets(st.integers(1, 6), min_size=1),
    st.lists(st.one_of(st.none(), st.integers(1, 8)), max_size=12),
    st.randoms(use_true_random=False),
)
def test_from_anywhere_all_come_to_rest_in_even_shares(
    workers: set[int], start: list[int | None], order: object
) -> None:
    """In whatever order they look; and what one has given up in its turn is free at once."""
    holders: dict[Duty, int | None] = {Duty("source", f"system {n}"): holder for n, holder in enumerate(start)}
    for _ in range(4 * len(workers) + 4):
        moved = False
        turn = sorted(workers)
        order.shuffle(turn)  # type: ignore[attr-defined]
        for me in turn:
            take, give = share(me, workers, holders)
            assert all(holders[name] not in workers for name in take), "nobody takes what another has"
            assert all(holders[name] == me for name in give)
            holders |= dict.fromkeys(take, me) | dict.fromkeys(give)
            moved = moved or bool(take or give)
        if not moved:
            break
    loads = [sum(holder == number for holder in holders.values()) for number in workers]
    assert not moved, "it does not come to rest"
    assert sum(loads) == len(holders)
    assert max(loads) - min(loads) <= 1


@pytest.mark.parametrize("duty", [Duty("source", "crm"), Duty("target", "erp", 3)])
def test_a_duty_is_read_as_it_is_written(duty: Duty) -> None:
    assert Duty.parse(str(duty)) == duty


@pytest.mark.parametrize("text", ["", "crm", "sauce:crm", "source:", "target:erp/x"])
def test_what_is_no_duty_is_told(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (its words are not shown to anybody)
        Duty.parse(text)


@pytest.mark.parametrize(
    ("lane", "text"), [(Lane("crm"), "crm"), (Lane("crm", 2), "crm#2"), (Lane("erp", 12), "erp#12")]
)
def test_a_lane_is_read_as_it_is_written(lane: Lane, text: str) -> None:
    assert str(lane) == text
    assert Lane.parse(text) == lane


@pytest.mark.parametrize("text", ["", "#2", "crm#", "crm#x"])
def test_what_is_no_lane_is_told(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (its words are not shown to anybody)
        Lane.parse(text)
