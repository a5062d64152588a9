"""Records that were fetched and not yet handed over: bounded by bytes, taken out roughly in the order of time.

Inside a partition nothing is ever reordered. Among partitions the oldest record comes first, and of one millisecond
those that others refer to: so parents tend to come before their children, and a child that came first is set aside by
the engine, so this is a matter of speed, not of being right.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from fieldwarden.connectors.debezium.kafka.record import Record
from fieldwarden.rules.rulebook import Stream

P = TypeVar("P", bound=Hashable)


class Buffers(Generic[P]):
    """Records by partition. `depths`: of two records of one moment, those of the lesser depth come first."""

    def __init__(self, depths: Mapping[str, int]) -> None:
        self._depths = depths
        self._waiting: dict[P, deque[Record]] = {}
        self._heads: list[tuple[int, int, int, P]] = []
        self._times: dict[P, int] = {}
        self._numbers: dict[P, int] = {}
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, partition: P) -> bool:
        return partition in self._waiting

    def add(self, partition: P, records: Sequence[Record]) -> None:
        if not records:
            return
        self.bytes += sum(map(size, records))
        waiting = self._waiting.get(partition)
        if waiting is not None:
            waiting.extend(records)
            return
        self._waiting[partition] = deque(records)
        self._push(partition, records[0])

    def _push(self, partition: P, head: Record) -> None:
        number = self._numbers.setdefault(partition, len(self._numbers))
        heapq.heappush(self._heads, (self._time(partition, head), self._depths.get(head.topic, 0), number, partition))

    def _time(self, partition: P, head: Record) -> int:
        """A producer's clock may step back; what comes later in a partition never counts as older."""
        time = self._times[partition] = max(head.timestamp, self._times.get(partition, -1))
        return time

    def peek(self) -> tuple[P, Record]:
        """The record whose turn it is. IndexError if there is none."""
        partition = self._heads[0][3]
        return partition, self._waiting[partition][0]

    def pop(self) -> int:
        """Take out what `peek` showed; its size."""
        _, depth, number, partition = self._heads[0]
        waiting = self._waiting[partition]
        bytes_ = size(waiting.popleft())
        self.bytes -= bytes_
        if waiting:
            heapq.heapreplace(self._heads, (self._time(partition, waiting[0]), depth, number, partition))
        else:
            heapq.heappop(self._heads)
            del self._waiting[partition]
        return bytes_

    def drop(self, partition: P) -> None:
        """Forget what was fetched of a partition; it is fetched again if it is gone on with."""
        waiting = self._waiting.pop(partition, None)
        if waiting is not None:
            self.bytes -= sum(map(size, waiting))
            self._heads = [head for head in self._heads if head[3] != partition]
            heapq.heapify(self._heads)

    def clear(self) -> None:
        self._waiting.clear()
        self._heads.clear()
        self._times.clear()
        self.bytes = 0


def size(record: Record) -> int:
    """Bytes of memory, roughly."""
    return len(record.key or b"") + len(record.value or b"") + 200


def depths(streams: Mapping[str, Sequence[Stream]]) -> dict[str, int]:
    """Topic -> how many streams stand above it (the one with the fewest), as parents or by reference.

    `streams` are those that read a topic, by topic, of one system."""
    by_name = {stream.name: stream for some in streams.values() for stream in some}

    def depth(stream: Stream, below: frozenset[str]) -> int:
        above = {mapped.reference for mapped in stream.fields.values()} | {stream.parent}
        found = [by_name[name] for name in above if name in by_name and name not in below]
        return max((1 + depth(each, below | {each.name}) for each in found), default=0)

    return {topic: min(depth(each, frozenset({each.name})) for each in some) for topic, some in streams.items()}
