"""Whether a partition still holds everything that was not read of it: checked before the first record is read. Pure."""

from __future__ import annotations

from collections.abc import Collection

from fieldwarden.connectors.debezium.kafka.parts import PartitionPosition
from fieldwarden.engine.errors import SourceGap


def check_extent(system: str, name: str, position: PartitionPosition, beginning: int, end: int) -> None:
    """A partition that is gone on with: raises SourceGap where its records no longer join what was read.

    `beginning` is the offset of its oldest record, `end` that of the next one to be written."""
    if position.offset < beginning:
        raise gap(
            system,
            f"{name} begins at offset {beginning}, after {position.offset}, where reading stopped: "
            "records that were not read are gone (retention)",
            safe=True,
        )
    if position.offset > end:
        raise gap(
            system,
            f"{name} ends at offset {end}, before what was read of it ({position.offset}): the topic was made anew, "
            "or the broker lost records",
            safe=True,
        )


def check_growth(system: str, topic: str, position: PartitionPosition, partitions: int) -> None:
    """Raises SourceGap if the topic had fewer partitions before: keys have moved among them, and order is lost."""
    if position.partitions != partitions:
        raise gap(
            system,
            f"the topic {topic} has {partitions} partitions and had {position.partitions}: "
            "rows may have moved to another one, so the order of their changes is lost",
            safe=True,
        )


def check_streams(system: str, read: Collection[str], mapped: Collection[str]) -> None:
    """Debezium reads no rows of a table that is added later: raises SourceGap if one is mapped that was not when the
    others were `read`."""
    unread = sorted(set(mapped) - set(read))
    if unread:
        raise gap(system, f"{', '.join(unread)} came into the mapping after the baseline, unread until now")


def gap(system: str, what: str, *, safe: bool = False) -> SourceGap:
    """`safe`: see SourceGap. A table that was mapped later is first a matter of the connector's registration."""
    return SourceGap(
        f"{system}: {what}; changes may have been missed",
        suggestion=f"read everything again with `fieldwarden run --rebaseline {system}`",
        path=system,
        safe=safe,
    )
