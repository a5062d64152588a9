"""Retry-After as vendors write it: seconds or a date, and whatever else may stand there."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fieldwarden.connectors.rest.moments import SECOND
from fieldwarden.connectors.rest.verdicts import LONGEST_PAUSE, pause_asked

NOW = 784_111_777 * SECOND  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.25", 1.25),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 09:50:37 +0100", 60.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
    ],
)
def test_seconds_and_dates_in_all_forms_of_http_are_read(header: str, seconds: float) -> None:
    assert pause_asked(header, NOW) == seconds


@pytest.mark.parametrize("header", ["999999999", "9" * 4000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_nobody_is_waited_for_longer_than_a_day_at_a_time(header: str) -> None:
    assert pause_asked(header, NOW) == LONGEST_PAUSE == 86_400


@pytest.mark.parametrize(
    "header",
    ["", "soon", "-5", "1e9", "nan", "inf", "0x10", "1_000", "٣", "12:00", "1,5", "Sun, 06 Nov 1994", "\0", "1\n2"],
)
def test_what_is_neither_says_nothing(header: str) -> None:
    assert pause_asked(header, NOW) is None


@given(st.one_of(st.text(), st.from_regex(r"[A-Z][a-z]{2}, \d{1,30} [A-Z][a-z]{2} \d{1,30} \d*:\d*:\d* [-+]?\d{0,30}")))
@example("Sun, 06 Nov 99999999999999999999 08:49:37 GMT")
@example("Sun, 06 Nov 1994 08:49:37 +99999999999999999999")
@example("Sun, 06 Nov 1994 08:49:37 " + "(" * 3000)
def test_whatever_stands_there_it_is_a_pause_within_bounds_or_none(header: str) -> None:
    pause = pause_asked(header, NOW)
    assert pause is None or 0.0 <= pause <= LONGEST_PAUSE
