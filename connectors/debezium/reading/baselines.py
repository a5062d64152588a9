"""What a new baseline of a system's partitions begins with, and which one is the present. Pure.

A new baseline has every row told again, by Debezium, and takes them as they are then: each partition goes on from its
present end, under a greater number, so that whatever comes is newer than all that was said before. How rows came to be
what they are, between what was read last and that end, is passed over; it may be gone, or its order lost.
"""

from __future__ import annotations

from collections.abc import Mapping

from fieldwarden.connectors.debezium.kafka.parts import PartitionPosition, is_partition, split_name
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.ports.parts import Baseline


def number_of(system: str, baseline: Baseline) -> int:
    """The present one's. Raises EnvironmentUnfit where the hub's positions are those of another kind of source."""
    if not all(is_partition(name) for name in baseline.parts):
        raise EnvironmentUnfit(
            f"{system} was read directly before, and positions there do not compare with Kafka's",
            suggestion=f"have all its rows told again with `fieldwarden run --rebaseline {system}`",
            path=system,
        )
    return baseline.number


def positions_at(ends: Mapping[str, int], baseline: int) -> dict[str, str]:
    """Positions at these offsets, by partition: all partitions there are."""
    numbers: dict[str, int] = {}
    for name in ends:
        topic, _ = split_name(name)
        numbers[topic] = numbers.get(topic, 0) + 1
    return {name: PartitionPosition(baseline, end, numbers[split_name(name)[0]]).encode() for name, end in ends.items()}
