"""The partitions that are ours at present: from where each is gone on with, and how far it has been handed over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog
from aiokafka import TopicPartition

from connectors.debezium.gaps import check_extent, check_growth
from connectors.debezium.parts import NOWHERE, Mark, Position, partition_name
from connectors.debezium.repeats import is_repeat, newer
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
    heard: Mark = NOWHERE

    @property
    def position(self) -> str:
        return Position(self.generation, self.next, self.partitions, self.heard).encode()

    def hear(self, mark: Mark) -> bool:
        """Whether a change that stands there is news."""
        if is_repeat(mark, self.heard):
            return False
        self.heard = newer(self.heard, mark)
        return True


class Again:
    """What the hub has of partitions, and which of them are read again from their beginning: those that a new baseline,
    if it is `wanted`, has not begun yet.

    A baseline is one generation, above all others. A partition that begins does so in the newest there is, so that
    nothing in it looks older than a baseline that was told before it."""

    def __init__(self, system: str, *, wanted: bool) -> None:
        self._system = system
        self.wanted = wanted
        self._generation = 0

    def positions(self, taken: Mapping[str, Part]) -> tuple[dict[str, Position | None], int]:
        """From where each partition is gone on with (None: from its beginning), and the generation that begins.

        Raises EnvironmentUnfit for what is no position, unless everything is read again."""
        stored = {name: self._stored(name, part.position) for name, part in taken.items()}
        newest = max((position.generation for position in stored.values() if position is not None), default=0)
        if self.wanted and not self._generation and any(part.position is not None for part in taken.values()):
            self._generation = newest + 1
        generation = max(newest, self._generation)
        if self.wanted:
            old = [name for name, position in stored.items() if position and position.generation < generation]
            stored |= dict.fromkeys(old)
        return stored, generation

    def _stored(self, name: str, text: str | None) -> Position | None:
        try:
            return None if text is None else Position.decode(text)
        except ValueError as error:
            if self.wanted:
                return None
            raise EnvironmentUnfit(
                f"{self._system}: of {name} the hub holds what is {error}",
                suggestion=f"read everything again with `fieldwarden run --rebaseline {self._system}`",
            ) from error


class Assignment:
    """Changes with every rebalance."""

    def __init__(self, system: str) -> None:
        self._system = system
        self.parts: dict[TopicPartition, Reading] = {}

    @property
    def generation(self) -> int:
        return max((part.generation for part in self.parts.values()), default=0)

    def begin(
        self,
        partition: TopicPartition,
        taken: Part,
        stored: Position | None,
        *,
        generation: int,
        partitions: int,
        extent: tuple[int, int],
    ) -> Reading:
        """Go on with a partition where it was left; without a position, begin it. Raises SourceGap.

        `partitions` is how many its topic has, `extent` its beginning and end offset."""
        name = partition_name(*partition)
        if stored is None:
            if extent[0] > 0 and taken.position is None:
                log.warning("source.begins_late", system=self._system, position=f"{name}@{extent[0]}")
            stored = Position(generation, extent[0], partitions)
        else:
            check_extent(self._system, name, stored, *extent)
            check_growth(self._system, partition.topic, stored, partitions)
        part = Reading(
            partition,
            name,
            taken.epoch,
            stored.generation,
            stored.offset,
            stored.partitions,
            taken.position,
            heard=stored.heard,
        )
        self.parts[partition] = part
        return part

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
