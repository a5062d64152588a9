"""The partitions that are ours at present: from where each is gone on with, and how far it has been handed over."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

import structlog
from aiokafka import TopicPartition

from connectors.debezium.gaps import check_extent, check_growth
from connectors.debezium.parts import Position, partition_name
from engine.errors import EnvironmentUnfit
from engine.ports import Part

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Reading:
    """`next` is the offset after the last record handed over; `said` the position that the hub will have with it."""

    partition: TopicPartition
    name: str
    epoch: int
    generation: int
    next: int
    partitions: int
    said: str | None = None
    held: bool = False

    @property
    def position(self) -> str:
        return Position(self.generation, self.next, self.partitions).encode()


class Assignment:
    """Changes with every rebalance. `again`: partitions to be read from their beginning, whatever the hub has."""

    def __init__(self, system: str) -> None:
        self._system = system
        self.parts: dict[TopicPartition, Reading] = {}

    @property
    def generation(self) -> int:
        return max((part.generation for part in self.parts.values()), default=0)

    def begin(self, partition: TopicPartition, taken: Part, partitions: int, extent: tuple[int, int]) -> Reading:
        """Go on with a partition where it was left, or begin it. Raises SourceGap, EnvironmentUnfit.

        `partitions` is how many its topic has, `extent` its beginning and end offset."""
        name = partition_name(*partition)
        position = self._stored(name, taken.position)
        if position is None:
            if extent[0] > 0:
                log.warning("source.begins_late", system=self._system, partition=name, offset=extent[0])
            position = Position(0, extent[0], partitions)
        else:
            check_extent(self._system, name, position, *extent)
            check_growth(self._system, partition.topic, position, partitions)
        return self._add(partition, taken, position)

    def begin_again(self, partition: TopicPartition, taken: Part, partitions: int, extent: tuple[int, int]) -> Reading:
        """A new baseline: everything that the partition holds is newer than what was read of it before."""
        try:
            before = self._stored(partition_name(*partition), taken.position)
        except EnvironmentUnfit:
            before = None
        generation = 0 if taken.position is None else (before.generation if before else 0) + 1
        return self._add(partition, taken, Position(generation, extent[0], partitions))

    def _stored(self, name: str, text: str | None) -> Position | None:
        try:
            return None if text is None else Position.decode(text)
        except ValueError as error:
            raise EnvironmentUnfit(
                f"{self._system}: of {name} the hub holds what is {error}",
                suggestion=f"read everything again with `fieldwarden run --rebaseline {self._system}`",
            ) from error

    def _add(self, partition: TopicPartition, taken: Part, position: Position) -> Reading:
        part = Reading(
            partition,
            partition_name(*partition),
            taken.epoch,
            position.generation,
            position.offset,
            position.partitions,
            taken.position,
        )
        self.parts[partition] = part
        return part

    def hungry(self, full: Container[TopicPartition]) -> list[TopicPartition]:
        return [each for each, part in self.parts.items() if not part.held and each not in full]

    def of_topic(self, topic: str) -> Iterable[Reading]:
        return [part for each, part in self.parts.items() if each.topic == topic]

    def moved(self) -> dict[str, Part]:
        """Those that are further than the hub will have them; from now on it will."""
        moved = {}
        for part in self.parts.values():
            position = part.position
            if position != part.said:
                part.said = position
                moved[part.name] = Part(part.epoch, position)
        return moved

    @property
    def has_moved(self) -> bool:
        return any(part.position != part.said for part in self.parts.values())
