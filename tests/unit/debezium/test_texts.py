"""Numbers and times against independent ways of writing them."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.debezium.decoding import numbers, times


@given(st.integers(-(10**40), 10**40), st.integers(0, 50))
def test_a_decimal_in_twos_complement_is_exact(unscaled: int, scale: int) -> None:
    data = unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
    text = numbers.unscaled(data, scale)
    sign, digits, exponent = Decimal(text).as_tuple()
    assert (exponent, int("".join(map(str, digits))), bool(sign)) == (-scale, abs(unscaled), unscaled < 0)


def test_a_decimal_of_many_thousand_digits() -> None:
    data = (10**20_000).to_bytes(8_305, "big", signed=True)
    assert numbers.unscaled(data, 0) == "1" + "0" * 20_000


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_reads_back_as_the_same_number(number: float) -> None:
    assert float(numbers.float_text(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_single_precision_number_reads_back_as_the_same_number(number: float) -> None:
    assert struct.pack(">f", float(numbers.float32_text(number))) == struct.pack(">f", number)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (100.0, "100"),
        (123456789012345.0, "123456789012345"),
        (1e15, "1e+15"),
        (1.5e300, "1.5e+300"),
        (0.0001, "0.0001"),
        (0.00012, "0.00012"),
        (1e-5, "1e-05"),
        (5e-324, "5e-324"),
    ],
)
def test_a_float_is_written_as_postgresql_does(number: float, text: str) -> None:
    """As `select 1e15::float8` and so on answer in psql."""
    assert numbers.float_text(number) == text


@pytest.mark.parametrize(("number", "text"), [(1e6, "1e+06"), (999999.0, "999999"), (16777216.0, "1.6777216e+07")])
def test_a_single_precision_number_turns_to_exponents_earlier(number: float, text: str) -> None:
    assert numbers.float32_text(number) == text


@given(st.dates())
def test_days_are_dates(day: date) -> None:
    assert times.date_of_days((day - date(1970, 1, 1)).days) == day.isoformat()


@given(st.datetimes())
def test_micros_are_timestamps(moment: datetime) -> None:
    text = times.timestamp_of_micros((moment - datetime(1970, 1, 1)) // timedelta(microseconds=1))
    assert datetime.fromisoformat(text) == moment
    assert "." not in text or not text.endswith("0")


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)), st.integers(-900, 900))
def test_a_zoned_timestamp_is_the_same_moment_in_utc(moment: datetime, minutes: int) -> None:
    sign = "-" if minutes < 0 else "+"
    written = f"{moment.isoformat()}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    text = times.zoned_of_iso(written)
    assert text.endswith("+00")
    assert datetime.fromisoformat(text + ":00") == datetime.fromisoformat(written).astimezone(UTC)


@pytest.mark.parametrize(
    ("days", "text"),
    [(-719162, "0001-01-01"), (-719163, "0001-12-31 BC"), (2932896, "9999-12-31"), (2932897, "10000-01-01")],
)
def test_dates_beyond_pythons(days: int, text: str) -> None:
    assert times.date_of_days(days) == text


@pytest.mark.parametrize(
    ("iso", "text"),
    [
        ("P0Y0M0DT0H0M0S", "PT0S"),
        ("P1Y14M-3DT0H0M0.000S", "P2Y2M-3D"),
        ("P-1Y2M0DT0H0M0S", "P-10M"),
        ("P0Y0M0DT-4H0M-6.70S", "PT-4H-6.7S"),
    ],
)
def test_an_interval_is_written_without_what_is_zero(iso: str, text: str) -> None:
    assert times.interval_of_iso(iso) == text


@pytest.mark.parametrize("text", ["", "P", "1 day", "P1YT", "PXS"])
def test_what_is_no_interval(text: str) -> None:
    with pytest.raises(ValueError, match="interval"):
        times.interval_of_iso(text)
