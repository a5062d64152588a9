"""What deliveries wait for at their start, and what holds them up no longer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fieldwarden.connectors.debezium.kafka.parts import PartitionPosition
from fieldwarden.connectors.debezium.reading.lag import KafkaLag
from fieldwarden.engine.hub.views.overview import PartitionState, SourceState
from fieldwarden.operations.run.catching_up import _FORMER, _STILL, _Log

THEN = datetime(2026, 1, 1, tzinfo=UTC)
END = {"account/0": 10, "contact/0": 5}


def log(*, parted: bool = True) -> _Log:
    found = _Log("crm", KafkaLag.__new__(KafkaLag), parted, began=100.0)
    found.end = END
    return found


def source(state: str, noted: datetime = THEN) -> SourceState:
    return SourceState("crm", state, "", 0, 0, noted)


def parts(account: int, contact: int) -> dict[str, PartitionState]:
    read = {"account/0": account, "contact/0": contact}
    return {
        name: PartitionState("crm", name, PartitionPosition(1, offset, 1).encode(), "", THEN, 1, True)
        for name, offset in read.items()
    }


def test_partitions_are_awaited_to_where_they_ended() -> None:
    waits = log()
    assert not waits.reached(parts(9, 5), 101.0)
    assert waits.reached(parts(10, 7), 102.0)


def test_a_partition_that_does_not_move_is_awaited_for_a_while_only() -> None:
    waits = log()
    assert not waits.reached(parts(3, 4), 100.0)
    assert not waits.reached(parts(8, 4), 100.0 + _STILL), "the accounts move"
    assert waits.reached(parts(10, 4), 101.0 + _STILL)


class Asked:
    """How far a system is that is asked now and then."""

    def reached(self, positions: Mapping[str, str | None], end: int) -> bool:
        return all(int(position or "0") >= end for position in positions.values())


def asked(number: int, polled: bool) -> tuple[_Log, dict[str, PartitionState]]:
    waits = _Log("crm", Asked(), False, began=100.0, polled=polled, end=9)
    return waits, {"people": PartitionState("crm", "people", str(number), "", THEN, 1, True)}


def test_a_system_that_is_asked_now_and_then_is_not_awaited_until_it_is_asked_again() -> None:
    waits, read = asked(7, polled=True)
    assert not waits.reached(read, 100.0)
    assert not waits.reached(read, 99.0 + _STILL)
    assert waits.reached(read, 100.0 + _STILL)


def test_a_log_that_stands_still_is_awaited_as_long_as_it_takes() -> None:
    waits, read = asked(7, polled=False)
    assert not waits.reached(read, 100.0)
    assert not waits.reached(read, 101.0 + _STILL)
    assert waits.reached(asked(9, polled=False)[1], 102.0 + _STILL)


def test_trouble_of_a_former_process_is_no_trouble_until_it_is_said_again() -> None:
    stale, newer = log(parted=False), source("retrying", THEN + timedelta(seconds=1))
    assert not stale.is_in_trouble(source("retrying"), 100.0)
    assert not stale.is_in_trouble(source("streaming"), 101.0)
    assert stale.is_in_trouble(newer, 102.0)


def test_of_many_lanes_the_newest_word_may_be_another_ones() -> None:
    stale, newer = log(), source("retrying", THEN + timedelta(seconds=1))
    assert not stale.is_in_trouble(source("retrying"), 100.0)
    assert not stale.is_in_trouble(newer, 102.0)
    assert stale.is_in_trouble(newer, 100.1 + _FORMER)


def test_trouble_that_stays_is_believed() -> None:
    waits = log()
    assert not waits.is_in_trouble(source("halted"), 100.0)
    assert waits.is_in_trouble(source("halted"), 100.1 + _FORMER)
