"""Our own writes among the changes of a source: what nobody could mark, the hub was told of before it was committed.

What we never do is not ours, whatever mark it carries: a trigger of the system did it in our transaction."""

from __future__ import annotations

from collections.abc import Sequence

from fieldwarden.engine.change import Change
from fieldwarden.engine.deciding.known import Mapped
from fieldwarden.engine.ports.hub import IngestTransaction
from fieldwarden.rules.rulebook import System

_CLOCK_STEP, _LONGEST_COMMIT = 1_000_000, 3_600_000_000
"""How far (µs) the commit of our own write may lie before and after its announcement, by the same server's clock."""


async def recognise(tx: IngestTransaction, system: System, mapped: Sequence[Mapped]) -> None:
    """Mark the echoes among a system's changes.

    Names of transactions come again (a restored server counts on from its backup): the time must fit as well."""
    asked = {item.raw.transaction: None for item in mapped if item.raw.echo is None and item.change is not None}
    announced = await tx.announced(system.name, list(asked)) if asked else {}
    for item in mapped:
        if item.raw.echo is None and item.change is not None:
            told, at = announced.get(item.raw.transaction), item.raw.at
            ours = told is not None and at is not None and told - _CLOCK_STEP <= at <= told + _LONGEST_COMMIT
            item.raw.echo = item.change.echo = ours
        if item.raw.echo and item.change is not None and not _may_be_ours(system, item.change):
            item.change.echo = False


def _may_be_ours(system: System, change: Change) -> bool:
    stream = system.streams[change.row.stream]
    if change.operation == "delete":
        return stream.on_retire == "delete"
    return stream.creates or bool(stream.update_fields)
