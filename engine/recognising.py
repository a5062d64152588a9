"""Our own writes among changes whose source cannot tell: the hub was told of them before they were committed."""

from __future__ import annotations

from collections.abc import Sequence

from engine.known import Mapped
from engine.ports import IngestTransaction

_CLOCK_STEP, _LONGEST_COMMIT = 1_000_000, 3_600_000_000
"""How far (µs) the commit of our own write may lie before and after its announcement, by the same server's clock."""


async def recognise(tx: IngestTransaction, system: str, mapped: Sequence[Mapped]) -> None:
    """Mark the echoes among a system's changes.

    Names of transactions come again (a restored server counts on from its backup): the time must fit as well."""
    asked = {item.raw.transaction: None for item in mapped if item.raw.echo is None and item.change is not None}
    if not asked:
        return
    announced = await tx.announced(system, list(asked))
    for item in mapped:
        if item.raw.echo is None and item.change is not None:
            told, at = announced.get(item.raw.transaction), item.raw.at
            ours = told is not None and at is not None and told - _CLOCK_STEP <= at <= told + _LONGEST_COMMIT
            item.raw.echo = item.change.echo = ours
