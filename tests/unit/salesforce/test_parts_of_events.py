"""The parts of reading an event: bitmaps, headers, amounts, times, positions and repetitions."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.salesforce.decoding import amounts, times
from fieldwarden.connectors.salesforce.decoding.bitmaps import bits
from fieldwarden.connectors.salesforce.decoding.header import EXAMPLE, GAPS, OVERFLOW, header
from fieldwarden.connectors.salesforce.decoding.places import Place
from fieldwarden.connectors.salesforce.decoding.repeats import Repeats
from fieldwarden.connectors.wire.unreadable import Unreadable

# --- bitmaps ------------------------------------------------------------------------------------------------------


def spelled(places: set[int]) -> str:
    """A bitmap as Salesforce's helper reads it: the hexadecimal's bits, the last of them first."""
    line = "".join("1" if place in places else "0" for place in range(max(places, default=0) + 1))
    line += "0" * (-len(line) % 8)
    return "0x" + "".join(f"{int(line[::-1][at : at + 8], 2):02X}" for at in range(0, len(line), 8))


@given(st.sets(st.integers(0, 900)))
def test_a_bitmap_says_exactly_the_fields_whose_bits_are_set(places: set[int]) -> None:
    found = bits([spelled(places)])
    assert {place for place in range(1_000) if found.has(place)} == places


@given(st.dictionaries(st.integers(1, 60), st.sets(st.integers(0, 20), min_size=1), max_size=4))
def test_a_nested_bitmap_says_parts_of_its_field_and_of_no_other(nested: dict[int, set[int]]) -> None:
    found = bits([f"{place}-{spelled(children)}" for place, children in nested.items()])
    for place in range(70):
        assert not found.has(place)
        assert {child for child in range(30) if found.has(place, child)} == nested.get(place, set())


def test_a_field_that_is_meant_whole_means_all_of_its_parts() -> None:
    assert bits(["0x10"]).has(4, 7)


def test_bitmaps_stand_in_any_order() -> None:
    assert bits(["7-0x06", "0x650004E0", "4-0x10"]) == bits(["0x650004E0", "4-0x10", "7-0x06"])


@pytest.mark.parametrize(
    "text", ["", "Name", "0x", "0xG1", "-0x1", "x-0x1", "1-2-0x1", "99999-0x1", "0x" + "f" * 2_000]
)
def test_what_is_no_bitmap_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        bits([text])


# --- headers ------------------------------------------------------------------------------------------------------


def test_a_gap_event_is_never_a_repetition_since_all_of_a_transaction_have_one_number() -> None:
    for kind in (*GAPS, OVERFLOW):
        assert header({**EXAMPLE, "changeType": kind}).identity is None
    assert header(EXAMPLE).identity == (EXAMPLE["transactionKey"], 1)


def test_an_overflow_names_no_record() -> None:
    found = header({**EXAMPLE, "changeType": OVERFLOW, "recordIds": ["000000000000000AAA"]})
    assert (found.everything, found.ids) == (True, ())


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("changeType", "SNAPSHOT"),
        ("changeType", None),
        ("recordIds", []),
        ("recordIds", [""]),
        ("recordIds", ["001\0"]),
        ("recordIds", None),
        ("commitTimestamp", 1 << 62),
        ("commitTimestamp", None),
        ("transactionKey", "\0"),
    ],
)
def test_what_is_no_header_is_refused(part: str, value: object) -> None:
    with pytest.raises(Unreadable):
        header({**EXAMPLE, part: value})


# --- amounts ------------------------------------------------------------------------------------------------------

SCALES = st.integers(0, 8)


@given(SCALES, st.integers(-(10**15) + 1, 10**15 - 1))
def test_every_number_of_fifteen_digits_is_exact(scale: int, digits: int) -> None:
    number = Decimal(digits).scaleb(-scale)
    assert Decimal(amounts.text(float(number), scale)) == number


@given(SCALES, st.integers(-(10**18) + 1, 10**18 - 1))
def test_a_number_that_is_said_to_be_exact_is_the_one_that_was_stored(scale: int, digits: int) -> None:
    """The oracle: no other number of so many digits after the point comes as this double."""
    number = Decimal(digits).scaleb(-scale)
    value = float(number)
    text = amounts.text(value, scale)
    if not text.startswith(amounts.ABOUT):
        assert Decimal(text) == number
        assert all(float(Decimal(digits + step).scaleb(-scale)) != value for step in (-1, 1))


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (0.0, 2, "0"),
        (-0.0, 2, "0"),
        (-0.5, 2, "-0.5"),
        (100.0, 0, "100"),
        (1e15, 0, "1000000000000000"),
        (1e16, 0, "~10000000000000000"),
        (1e-7, 7, "0.0000001"),
        (12.345, 2, "12.345"),
        (0.1 + 0.2, 2, "~0.30000000000000004"),
        (float("nan"), 2, "~nan"),
        (float("inf"), 2, "~inf"),
    ],
)
def test_amounts(value: float, scale: int, text: str) -> None:
    assert amounts.text(value, scale) == text


# --- times --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("millis", "text"),
    [
        (0, "1970-01-01 00:00:00+00"),
        (-1, "1969-12-31 23:59:59.999+00"),
        (1_712_694_387_000, "2024-04-09 20:26:27+00"),
    ],
)
def test_moments(millis: int, text: str) -> None:
    assert times.moment(millis) == text


def test_dates_before_1970() -> None:
    assert times.day(-86_400_000) == "1969-12-31"


@pytest.mark.parametrize("millis", [-1, 86_400_000])
def test_no_time_of_day(millis: int) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        times.clock(millis)


# --- positions ----------------------------------------------------------------------------------------------------


@given(st.integers(1, 1 << 16), st.integers(0, 1 << 40), st.binary(max_size=40), st.integers(0, 1 << 50))
def test_a_position_is_read_as_it_was_written(baseline: int, number: int, replay: bytes, since: int) -> None:
    place = Place(baseline, number, replay, since, since + 1)
    assert Place.parse(place.text) == place


@given(st.lists(st.binary(min_size=1, max_size=12), min_size=2, max_size=20))
def test_positions_compare_in_the_order_of_events_whatever_their_replay_ids_are(replays: list[bytes]) -> None:
    place = Place(1, 0, b"")
    places = [place := place.after(replay) for replay in replays]
    assert [each.text for each in places] == sorted(each.text for each in places)
    assert [each.row for each in places] == sorted({each.row for each in places})


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "0001.00000000002a.01.0", "0001.00000000002a.0.0.0", "0/1A", "0001.2a.01.0.0"]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no position of a Salesforce topic"):
        Place.parse(text)


# --- repetitions --------------------------------------------------------------------------------------------------


def test_repetitions_are_known_for_as_long_as_they_are_remembered() -> None:
    repeats = Repeats(most=2)
    assert [repeats.again(("t", number)) for number in (1, 2, 1, 3)] == [False, False, True, False]
    assert [repeats.again(("t", number)) for number in (3, 2, 1)] == [True, True, False]
