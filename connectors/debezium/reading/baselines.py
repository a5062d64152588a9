"""Generations: what a new baseline of a system's partitions begins with, and which one is the present. Pure.

A new baseline has every row told again, by Debezium, and takes them as they are then: each partition goes on from its
present end, in a new generation, so that whatever comes is newer than all that was said before. How rows came to be
what they are, between what was read last and that end, is passed over; it may be gone, or its order lost.
"""

from __future__ import annotations

from collections.abc import Mapping

from fieldwarden.connectors.debezium.kafka.parts import PartitionPosition, row_position, split_name
from fieldwarden.connectors.postgres.reading.position import next_epoch
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.ports.parts import Baseline


def generation_of(system: str, baseline: Baseline) -> int:
    """The present one. Raises EnvironmentUnfit where the hub's positions are those of another kind of source."""
    if baseline.direct is not None:
        raise EnvironmentUnfit(
            f"{system} was read directly before, and positions there do not compare with Kafka's",
            suggestion=f"have all its rows told again with `fieldwarden run --rebaseline {system}`",
            path=system,
        )
    return int(baseline.floor[:4], 16) if baseline.floor else 0


def positions_at(ends: Mapping[str, int], generation: int) -> dict[str, str]:
    """Positions at these offsets, by partition."""
    numbers: dict[str, int] = {}
    for name in ends:
        topic, _ = split_name(name)
        numbers[topic] = numbers.get(topic, 0) + 1
    return {
        name: PartitionPosition(generation, end, numbers[split_name(name)[0]]).encode() for name, end in ends.items()
    }


def new_baseline(before: Baseline, ends: Mapping[str, int]) -> tuple[str, dict[str, str]]:
    """The floor of a baseline that begins now, and from where each partition goes on; `ends` are all there are."""
    generation = int(before.floor[:4], 16) + 1 if before.floor else 1
    if before.direct is not None:
        generation = max(generation, next_epoch(before.direct))
    return row_position(generation, 0), positions_at(ends, generation)
