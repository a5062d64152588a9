"""How far a partition is read, as the text that the hub keeps of it, and what its name is.

The hub compares positions as text, so every number in one is written in hex of a fixed width. A position is

    generation . next offset . partitions        0000.00000000000004d2.0002

A new baseline raises the generation, so that everything is newer than whatever was read before it. The number of
partitions that the topic had says whether a key can have moved to another partition since.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """`offset` is that of the next record to read."""

    generation: int
    offset: int
    partitions: int

    def encode(self) -> str:
        return f"{self.generation:04x}.{self.offset:016x}.{self.partitions:04x}"

    @classmethod
    def decode(cls, text: str) -> Position:
        """Raises ValueError for what is no position."""
        try:
            generation, offset, partitions = (int(part, 16) for part in text.split("."))
        except ValueError:
            raise ValueError("no position in a Kafka partition") from None
        return cls(generation, offset, partitions)


def row_position(generation: int, offset: int) -> str:
    """The position of one change: greater is newer, inside a row."""
    return f"{generation:04x}.{offset:016x}"


def partition_name(topic: str, number: int) -> str:
    return f"{topic}/{number}"


def split_name(name: str) -> tuple[str, int]:
    """(topic, number) of a partition's name; a topic's name holds no slash."""
    topic, _, number = name.rpartition("/")
    return topic, int(number)
