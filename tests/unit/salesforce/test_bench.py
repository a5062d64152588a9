"""The benchmark of change events: it measures what it says, and says when the promise is missed."""

from __future__ import annotations

from bench.figures import Memory, Spread
from bench.salesforce import COLUMNS, PROMISED, Bare, Ours, Outcome, as_json, events, play, text
from fieldwarden.connectors.salesforce.decoding.repeats import MOST

FLAT = Memory(1, 100, 10, 110)


def outcome(rate: float, memory: Memory = FLAT) -> Outcome:
    rates = {"ours": Spread(rate, rate, rate), "fastavro": Spread(2 * rate, 2 * rate, 2 * rate)}
    return Outcome(1_000, rates, 0.5, memory)


def test_both_contenders_read_every_event() -> None:
    batch = [*events(40)]
    assert (Ours().rows(batch), Bare().rows(batch)) == (40, 40)
    assert len(COLUMNS) > 10


def test_events_that_are_repeated_tell_of_no_row() -> None:
    ours, batch = Ours(), [*events(4)]
    assert (ours.rows(batch), ours.rows(batch)) == (4, 0)
    assert len(batch) < MOST


def test_a_run_gives_rates_of_both_and_the_peaks_of_memory() -> None:
    found = play(1_000, 1)
    assert found.rates.keys() == {"ours", "fastavro"}
    assert (found.memory.small, found.memory.large) == (1_000, 10_000)


def test_the_promise_is_missed_by_too_low_a_rate_and_by_memory_that_grows() -> None:
    assert outcome(PROMISED).reached
    assert not outcome(PROMISED - 1).reached
    assert not outcome(PROMISED, Memory(1, 100, 10, 200)).reached
    assert "MISSED" in text(outcome(1.0))
    assert "MISSED" not in text(outcome(PROMISED))
    assert as_json(outcome(PROMISED))["ok"] is True
