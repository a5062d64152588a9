"""What is said of a system that holds up all deliveries: the reason, and what a person can do about it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fieldwarden.engine.hub.views.overview import PartitionState, SourceState, UnreadSource
from fieldwarden.operations.unread import why

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def state(word: str, message: str = "") -> SourceState:
    return SourceState("crm", word, message, 0, 0, NOW)


def partition(name: str, message: str = "") -> PartitionState:
    return PartitionState("crm", name, None, message, NOW, 1, ours=True)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "nobody has begun to read it"),
        (state("new"), "nobody has begun to read it"),
        (state("snapshot"), "its rows are being read"),
        (state("streaming"), "it is to be read again"),
        (state("retrying", "no such host"), "reading it is retrying: no such host"),
        (state("halted", "the slot is gone"), "reading it is halted: the slot is gone"),
    ],
)
def test_of_a_system_that_is_read_as_one_stream(state: SourceState | None, reason: str) -> None:
    assert why(UnreadSource("crm", False, False, ()), state, [], partitioned=False) == reason


def why_partitioned(source: UnreadSource, *parts: PartitionState) -> str:
    return why(source, state("streaming"), parts, partitioned=True)


def test_of_partitions_whose_first_rows_are_not_known_to_have_ended() -> None:
    said = why_partitioned(UnreadSource("crm", told=False, again=False, partitions=()))
    assert "not known yet where its first rows end" in said
    assert "`fieldwarden connector status`" in said


def test_of_partitions_of_which_a_new_baseline_was_begun_and_left() -> None:
    said = why_partitioned(UnreadSource("crm", told=False, again=True, partitions=()))
    assert "have not all been told again" in said
    assert "`fieldwarden run --rebaseline crm`" in said


def test_of_a_table_that_was_mapped_later() -> None:
    said = why_partitioned(UnreadSource("crm", told=True, again=False, partitions=(), later=True))
    assert "`fieldwarden connector register`, then `fieldwarden run --rebaseline crm`" in said


def test_of_partitions_that_are_not_there_yet() -> None:
    behind = UnreadSource("crm", told=True, again=False, partitions=("t/0", "t/1", "t/2"))
    assert why_partitioned(behind, partition("t/0")) == "t/0 and 2 more must be read on to where the first rows end"
    still = why_partitioned(behind, partition("t/0"), partition("t/1", "the column email is gone"))
    assert still == "the partition t/1 stands still: the column email is gone"


def test_of_partitions_before_rows_that_are_gone_were_looked_for() -> None:
    said = why_partitioned(UnreadSource("crm", told=True, again=True, partitions=()))
    assert said == "rows that nobody has told of again are being looked for"
