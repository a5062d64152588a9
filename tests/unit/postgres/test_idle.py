"""How often an idle source moves on, and whether the server keeps enough of its log."""

from __future__ import annotations

import pytest

from fieldwarden.connectors.postgres.looking.slot_findings import log_kept
from fieldwarden.connectors.postgres.reading.pace import until_worth, worth_confirming

MB = 1 << 20


def test_a_quiet_server_costs_the_hub_one_commit_in_ten_seconds() -> None:
    assert not worth_confirming(1000, 9.9, 10.0)
    assert worth_confirming(1000, 10.0, 10.0)


def test_much_log_of_others_is_confirmed_every_second() -> None:
    assert worth_confirming(8 * MB, 1.0, 10.0)
    assert not worth_confirming(8 * MB, 0.5, 10.0)


def test_what_is_to_be_confirmed_soon_is_not_slept_over() -> None:
    assert until_worth(0.125, 0.25, unsaid=True) == 0.125
    assert worth_confirming(1000, 0.125 + until_worth(0.125, 0.25, unsaid=True), 0.25)


@pytest.mark.parametrize("unsaid", [True, False])
def test_much_log_is_never_slept_over_for_longer_than_a_second(unsaid: bool) -> None:
    assert until_worth(2.0, 10.0, unsaid=unsaid) == 1.0


def test_a_limit_that_ten_minutes_of_log_exceed_is_warned_of() -> None:
    (found,) = log_kept(64 * MB, 8_000 * MB, 1000.0)
    assert found.level == "warning"
    assert "8.4 MB of log a second" in found.message
    assert "for 8 seconds" in found.message
    assert "'4800MB'" in found.suggestion


def test_no_limit_and_a_generous_one_and_a_server_that_never_wrote_are_fine() -> None:
    assert log_kept(-MB, 8_000 * MB, 1000.0) == []
    assert log_kept(10_000 * MB, 8_000 * MB, 1000.0) == []
    assert log_kept(64 * MB, 0, 1000.0) == []
    assert log_kept(64 * MB, 10, None) == []
