"""Records of many partitions in one stream: by time, and never out of order inside a partition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.debezium.kafka.buffers import Buffers, depths, size
from fieldwarden.connectors.debezium.kafka.record import KeptRecord
from fieldwarden.rules.rulebook import FieldMap, Stream
from tests.unit.debezium.records import record


def told(topic: str, offset: int, timestamp: int) -> KeptRecord:
    return record(b"k", b"v", topic=topic, offset=offset, timestamp=timestamp)


def filled(records: dict[str, list[int]], depths: dict[str, int] | None = None) -> Buffers[str]:
    """Partition -> the times of its records."""
    buffers: Buffers[str] = Buffers(depths or {})
    for name, times in records.items():
        buffers.add(name, [told(name, number, time) for number, time in enumerate(times)])
    return buffers


def drained(buffers: Buffers[str]) -> list[tuple[str, int]]:
    told = []
    while buffers:
        partition, record = buffers.peek()
        told.append((partition, record.offset))
        buffers.pop()
    return told


def test_the_oldest_record_comes_first() -> None:
    assert drained(filled({"a": [10, 40], "b": [20, 30]})) == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]


def test_of_one_millisecond_those_come_first_that_others_refer_to() -> None:
    buffers = filled({"line": [10, 10], "order": [10, 10], "account": [10]}, {"line": 2, "order": 1, "account": 0})
    assert drained(buffers) == [("account", 0), ("order", 0), ("order", 1), ("line", 0), ("line", 1)]


def test_a_clock_that_steps_back_reorders_nothing_inside_a_partition() -> None:
    assert drained(filled({"a": [50, 10], "b": [20, 60]})) == [("b", 0), ("a", 0), ("a", 1), ("b", 1)]


@given(st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(-1, 5), max_size=6)))
def test_every_record_comes_out_once_and_each_partition_in_order(records: dict[str, list[int]]) -> None:
    buffers = filled(records)
    told = drained(buffers)
    for name, times in records.items():
        assert [offset for each, offset in told if each == name] == list(range(len(times)))
    assert len(told) == sum(map(len, records.values()))
    assert buffers.bytes == 0


def test_what_is_dropped_is_not_told_and_no_longer_counted() -> None:
    buffers = filled({"a": [1, 2], "b": [3]})
    buffers.drop("a")
    buffers.drop("c")
    assert "a" not in buffers
    assert buffers.bytes == size(told("b", 0, 3))
    assert drained(buffers) == [("b", 0)]


def test_a_partition_goes_on_behind_what_is_still_waiting() -> None:
    buffers = filled({"a": [1]})
    buffers.add("a", [told("a", 1, 2)])
    assert drained(buffers) == [("a", 0), ("a", 1)]


def test_depth_counts_what_stands_above_as_parent_or_by_reference_and_no_circle_is_endless() -> None:
    def stream(name: str, parent: str | None = None, reference: str | None = None) -> Stream:
        fields = {"other": FieldMap("other", "other_id", reference=reference)}
        return Stream("crm", name, "thing", ("id",), fields, parent=parent)

    streams = [stream("a"), stream("b", parent="a"), stream("c", reference="b"), stream("d", parent="d")]
    assert depths({f"t.{each.name}": [each] for each in streams}) == {"t.a": 0, "t.b": 1, "t.c": 2, "t.d": 0}
