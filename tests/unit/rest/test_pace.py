"""How often a vendor is asked: never more than it allows, less once it says so, and each login by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.rest.pace import Pace
from fieldwarden.connectors.rest.shapes import Rate


def run(pace: Pace, wishes: list[float]) -> list[float]:
    """When requests are made that are wished for after these pauses."""
    now, made = 0.0, []
    for pause in wishes:
        now += pause
        now += pace.wait(now)
        pace.made(now)
        made.append(now)
    return made


@given(st.integers(1, 20), st.integers(1, 60), st.lists(st.floats(0, 5), max_size=80))
def test_no_time_of_its_length_holds_more_than_twice_a_rate_and_the_whole_no_more_than_it(
    requests: int, seconds: int, wishes: list[float]
) -> None:
    made = run(Pace([Rate(requests, seconds)]), wishes)
    for first in made:
        within = [each for each in made if first <= each < first + seconds]
        assert len(within) <= 2 * requests
    assert not made or len(made) <= requests + made[-1] * requests / seconds + 1


def test_the_strictest_of_several_rates_counts() -> None:
    made = run(Pace([Rate(100, 1), Rate(2, 60)]), [0.0] * 4)
    assert made[2] >= 30
    assert made[3] >= 60


def test_nothing_is_sent_for_as_long_as_the_vendor_asks_for() -> None:
    pace = Pace([])
    pace.refused(10.0, 7.0)
    assert pace.wait(12.0) == 5.0
    assert pace.wait(17.0) == 0.0


def test_a_pause_without_bound_is_cut_to_an_hour() -> None:
    pace = Pace([])
    pace.refused(0.0, 1e12)
    assert pace.wait(0.0) == 3600.0


def test_a_vendor_that_complains_is_asked_half_as_often_and_slowly_more_again() -> None:
    pace = Pace([Rate(10, 1)])
    pace.refused(0.0, 1.0)
    assert pace.share == 0.5
    for _ in range(64):
        pace.answered()
    assert pace.share == 1.0


def test_requests_that_were_refused_together_count_once() -> None:
    pace = Pace([Rate(10, 1)])
    for _ in range(5):
        pace.refused(0.0, 1.0)
    assert pace.share == 0.5


def test_it_never_comes_to_a_standstill() -> None:
    pace = Pace([Rate(16, 1)])
    for second in range(50):
        pace.refused(second * 2.0, 1.0)
    assert pace.share == 1 / 16
