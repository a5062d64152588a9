"""How far a partition is read, as the text that the hub keeps of it, and what its name is.

The hub compares positions as text, so every number in one is written in hex of a fixed width. A position is

    baseline . next offset . partitions        0001.00000000000004d2.0002

The number of the baseline stands first (`engine.ports.parts`), so that what a new one says is newer than whatever was
read before it. The number of partitions that the topic had says whether a key can have moved to another partition
since. Behind that stands where in the database's own log the newest change was that we heard in this partition (see
`repeats`):

    commit before it . its own LSN . commit time, the latest one
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class LogPlace:
    """Where a streamed change stands in its database's log: the LSN of the commit before its transaction, its own LSN,
    and its transaction's commit time (µs since 1970 UTC). All zero: nowhere."""

    commit: int = 0
    lsn: int = 0
    at: int = 0


NOWHERE = LogPlace()


@dataclass(frozen=True, slots=True, order=True)
class PartitionPosition:
    """`offset` is that of the next record to read, `heard` the newest change before it."""

    baseline: int
    offset: int
    partitions: int
    heard: LogPlace = NOWHERE

    def encode(self) -> str:
        text = f"{self.baseline:04x}.{self.offset:016x}.{self.partitions:04x}"
        heard = self.heard
        return text if heard == NOWHERE else f"{text}.{heard.commit:016x}.{heard.lsn:016x}.{heard.at:016x}"

    @classmethod
    def decode(cls, text: str) -> PartitionPosition:
        """Raises ValueError for what is no position."""
        try:
            baseline, offset, partitions, *heard = (int(part, 16) for part in text.split("."))
            if len(heard) not in (0, 3):
                raise ValueError
        except ValueError:
            raise ValueError("no position in a Kafka partition") from None
        return cls(baseline, offset, partitions, LogPlace(*heard))


def row_position(baseline: int, offset: int) -> str:
    """The position of one change: greater is newer, inside a row."""
    return f"{baseline:04x}.{offset:016x}"


def partition_name(topic: str, number: int) -> str:
    return f"{topic}/{number}"


def is_partition(name: str) -> bool:
    """Whether a part of this name is a partition of a topic."""
    return "/" in name


def split_name(name: str) -> tuple[str, int]:
    """(topic, number) of a partition's name; a topic's name holds no slash."""
    topic, _, number = name.rpartition("/")
    return topic, int(number)
