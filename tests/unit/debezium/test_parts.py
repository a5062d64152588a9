"""Positions in partitions: as text they compare as what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.debezium.kafka.gaps import check_extent, check_growth
from fieldwarden.connectors.debezium.kafka.parts import (
    NOWHERE,
    LogPlace,
    PartitionPosition,
    partition_name,
    row_position,
    split_name,
)
from fieldwarden.engine.errors import SourceGap

numbers = st.integers(0, 2**63 - 1)
marks = st.just(NOWHERE) | st.builds(LogPlace, numbers, numbers, numbers)
positions = st.builds(PartitionPosition, st.integers(0, 0xFFFF), numbers, st.integers(1, 0xFFFF), marks)


@given(positions)
def test_a_position_is_read_back_as_it_was_written(position: PartitionPosition) -> None:
    assert PartitionPosition.decode(position.encode()) == position


@given(positions, positions)
def test_positions_compare_as_text(one: PartitionPosition, other: PartitionPosition) -> None:
    assert (one.encode() < other.encode()) == (one < other)


@given(st.integers(0, 5), st.integers(0, 2**62))
def test_what_comes_later_in_a_row_is_newer_and_a_new_baseline_is_newer_than_all(baseline: int, offset: int) -> None:
    assert row_position(baseline, offset) < row_position(baseline, offset + 1) < row_position(baseline + 1, 0)


@pytest.mark.parametrize("text", ["", "7", "0000.0000000000000007", "stream:0/0:x", "0000.zz.0001", "0000.01.0001.02"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no position"):
        PartitionPosition.decode(text)


def test_a_partition_is_named_by_its_topic_and_number() -> None:
    assert partition_name("crm.public.account", 12) == "crm.public.account/12"
    assert split_name("crm.public.account/12") == ("crm.public.account", 12)


def test_a_partition_that_still_holds_what_was_not_read_is_gone_on_with() -> None:
    for offset in (5, 7, 9):
        check_extent("crm", "crm.t/0", PartitionPosition(0, offset, 1), 5, 9)
    check_growth("crm", "crm.t", PartitionPosition(0, 5, 2), 2)


@pytest.mark.parametrize(("offset", "why"), [(4, "begins at offset 5, after 4"), (10, "ends at offset 9")])
def test_a_partition_that_lost_records_or_was_made_anew_is_a_gap(offset: int, why: str) -> None:
    with pytest.raises(SourceGap, match=why) as caught:
        check_extent("crm", "crm.t/0", PartitionPosition(0, offset, 1), 5, 9)
    assert "crm.t/0" in caught.value.message
    assert "--rebaseline crm" in caught.value.suggestion


def test_a_topic_that_has_got_more_partitions_is_a_gap() -> None:
    with pytest.raises(SourceGap, match=r"crm\.t has 3 partitions and had 2"):
        check_growth("crm", "crm.t", PartitionPosition(0, 5, 2), 3)
