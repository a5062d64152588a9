"""A connector that starts again tells part of what it told before, under new offsets: none of it is news, and nothing
that is news is taken for it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.debezium.kafka.assignment import Assignment, Reading
from fieldwarden.connectors.debezium.kafka.parts import NOWHERE, LogPlace, PartitionPosition
from fieldwarden.connectors.debezium.kafka.repeats import is_ahead, is_repeat, mark_of
from fieldwarden.engine.ports.parts import Part


@dataclass(frozen=True)
class Event:
    row: int
    value: int
    mark: LogPlace


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Changes as a connector tells them: transactions by their commits, though their changes' LSNs interleave, and
    their commit times may be a little out of order. A row is never in two transactions at once."""
    events: list[Event] = []
    lsn, committed, at = 100, 50, 1_000
    for number in range(draw(st.integers(1, 12))):
        rows = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True))
        early = draw(st.booleans()) and not any(event.row in rows for event in events[-3:])
        first = lsn - draw(st.integers(1, 40)) if early else lsn
        shared = draw(st.booleans())  # one COPY
        at += draw(st.integers(-3, 20))
        for place, row in enumerate(rows):
            lsn_here = first + (0 if shared else place)
            events.append(Event(row, number * 10 + place, LogPlace(committed, lsn_here, at)))
        lsn = max(lsn, first + len(rows)) + 1
        committed = lsn
        lsn += draw(st.integers(1, 60))
    return events


def reading(position: PartitionPosition) -> Reading:
    partition = TopicPartition("crm.public.account", 0)
    extent = 0, 1_000_000
    return Assignment("crm").begin(partition, Part(1, position.encode()), baseline=0, partitions=1, extent=extent)


def news(told: list[Event], handovers: set[int]) -> list[Event]:
    """What is news of what is told; before some of it another worker takes over, who knows the position only."""
    part = reading(PartitionPosition(0, 0, 1))
    found = []
    for offset, event in enumerate(told):
        if offset in handovers:
            part = reading(PartitionPosition.decode(part.position))
        if part.hear(event.mark):
            found.append(event)
        part.next = offset + 1
    return found


def decisions(events: list[Event]) -> list[Event]:
    """Those that change something of their row."""
    held: dict[int, int] = {}
    found = []
    for event in events:
        if held.get(event.row) != event.value:
            held[event.row] = event.value
            found.append(event)
    return found


@given(st.data(), logs())
def test_whatever_is_told_again_the_decisions_are_those_of_one_telling(data: st.DataObject, log: list[Event]) -> None:
    told: list[Event] = []
    at = 0
    for _ in range(data.draw(st.integers(0, 4))):
        end = data.draw(st.integers(at, len(log)))
        told += log[at:end]
        at = data.draw(st.integers(0, end))
    told += log[at:]
    handovers = data.draw(st.sets(st.integers(0, len(told))))
    assert decisions(news(told, handovers)) == decisions(log)


@given(logs())
def test_nothing_that_is_told_once_is_a_repeat(log: list[Event]) -> None:
    assert news(log, set()) == log


@given(logs(), logs())
def test_a_server_that_was_restored_counts_from_lower_lsns_and_is_heard(
    before: list[Event], after: list[Event]
) -> None:
    latest = max(event.mark.at for event in before)
    later = [Event(e.row, e.value, LogPlace(e.mark.commit, e.mark.lsn, e.mark.at + latest)) for e in after]
    first = [later[0]]
    assert [event for event in news(before + first, set()) if event is first[0]] == first


def test_a_change_before_any_commit_that_the_connector_saw_is_heard() -> None:
    assert not is_repeat(mark_of('[null,"40"]', 5), LogPlace(34, 40, 7))


def test_what_says_nowhere_where_it_stands_is_heard() -> None:
    assert not is_repeat(NOWHERE, LogPlace(5, 5, 5))


@pytest.mark.parametrize(
    ("sequence", "mark"),
    [
        ('["34","40"]', LogPlace(34, 40, 7)),
        ('["0","40"]', LogPlace(0, 40, 7)),
        ('[null,"40"]', NOWHERE),
        (None, NOWHERE),
        ("", NOWHERE),
        ("[]", NOWHERE),
        ('["a","b"]', NOWHERE),
        ('{"a": 1}', NOWHERE),
        ("7", NOWHERE),
    ],
)
def test_where_an_event_stands_is_read_from_its_sequence(sequence: str | None, mark: LogPlace) -> None:
    assert mark_of(sequence, 7) == mark


def test_without_a_commit_time_it_stands_nowhere() -> None:
    assert mark_of('["34","40"]', None) == NOWHERE


def test_beyond_all_logs_it_stands_nowhere() -> None:
    assert mark_of('["34","99999999999999999999999"]', 5) == NOWHERE


NOW = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("at", "written", "ahead"),
    [
        (NOW, NOW // 1000, False),
        (NOW + 30_000_000, NOW // 1000, False),
        (NOW + 61_000_000, NOW // 1000, True),
        (NOW + 61_000_000, -1, True),
        (1 << 61, (1 << 61) // 1000, True),
        (NOW - 1_000_000_000, NOW // 1000 - 2_000_000, True),
    ],
    ids=["now", "a clock that is fast", "too fast", "unwritten", "by both clocks its own", "read late"],
)
def test_what_says_to_be_of_the_future_is_told_by_our_clock_and_by_kafkas(at: int, written: int, ahead: bool) -> None:
    """Whoever writes a record may state both of its times: ours is his no more."""
    assert is_ahead(LogPlace(1, 2, at), NOW, written) is ahead


def test_what_cannot_be_read_makes_no_repeat_of_others() -> None:
    part = Reading(TopicPartition("t", 0), "t/0", 1, 0, 0, 1)
    assert part.hear(LogPlace(9, 9, 9), readable=False)
    assert part.hear(LogPlace(5, 5, 5))
