"""The partitions that are ours at present: from where each is gone on with, and how far it has been handed over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from aiokafka import TopicPartition

from fieldwarden.connectors.debezium.kafka.gaps import check_extent, check_growth
from fieldwarden.connectors.debezium.kafka.parts import NOWHERE, LogPlace, PartitionPosition, partition_name
from fieldwarden.connectors.debezium.kafka.repeats import is_repeat, newer
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.ports.parts import Part

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Reading:
    """`next` is the offset after the last record handed over; `said` the position that the hub will have with it.

    `news` is what people are to be told with the next batch: at first that it goes on, whatever it stood still for."""

    partition: TopicPartition
    name: str
    epoch: int
    baseline: int
    next: int
    partitions: int
    said: str | None = None
    held: bool = False
    heard: LogPlace = NOWHERE
    news: str | None = ""

    @property
    def position(self) -> str:
        return PartitionPosition(self.baseline, self.next, self.partitions, self.heard).encode()

    def hear(self, mark: LogPlace, *, readable: bool = True) -> bool:
        """Whether a change that stands there is news. What cannot be read makes no repeat of others: it may be
        anybody's."""
        if is_repeat(mark, self.heard):
            return False
        if readable:
            self.heard = newer(self.heard, mark)
        return True

    def hold(self, reason: str) -> None:
        """It stands still."""
        self.held, self.news = True, reason


def stored_position(system: str, name: str, text: str | None) -> PartitionPosition | None:
    """Raises EnvironmentUnfit for what is no position."""
    try:
        return None if text is None else PartitionPosition.decode(text)
    except ValueError as error:
        raise EnvironmentUnfit(
            f"{system}: of {name} the hub holds what is {error}",
            suggestion=f"have everything told again with `fieldwarden run --rebaseline {system}`",
        ) from error


class Assignment:
    """Changes with every rebalance."""

    def __init__(self, system: str) -> None:
        self._system = system
        self.parts: dict[TopicPartition, Reading] = {}

    def begin(
        self,
        partition: TopicPartition,
        taken: Part,
        *,
        baseline: int,
        partitions: int,
        extent: tuple[int, int],
    ) -> Reading:
        """Go on with a partition where it was left; without a position of this baseline, begin it.

        `partitions` is how many its topic has, `extent` its beginning and end offset. Raises SourceGap,
        EnvironmentUnfit."""
        name = partition_name(*partition)
        stored = stored_position(self._system, name, taken.position)
        if stored is None or stored.baseline < baseline:
            if extent[0] > 0:
                log.warning("source.begins_late", system=self._system, position=f"{name}@{extent[0]}")
            stored = PartitionPosition(baseline, extent[0], partitions)
        else:
            check_extent(self._system, name, stored, *extent)
            check_growth(self._system, partition.topic, stored, partitions)
        part = Reading(
            partition,
            name,
            taken.epoch,
            stored.baseline,
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
        """Those that are further than the hub will have them, or have just been held; from now on it knows."""
        moved = {}
        for part in self.parts.values():
            position = part.position
            if position != part.said or part.news:
                moved[part.name] = Part(part.epoch, position, part.news)
                part.said, part.news = position, None
        return moved

    @property
    def has_moved(self) -> bool:
        return any(part.position != part.said for part in self.parts.values())

    @property
    def has_just_been_held(self) -> bool:
        """Somewhere."""
        return any(part.news for part in self.parts.values())
