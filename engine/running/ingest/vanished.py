"""Rows of which nobody told: all of a table that was truncated, and what is missing when everything was told again.

Each function gives what becomes of them page by page, in bounded memory; the next page is asked for once this one is
committed. Interrupted and begun again, it finds what is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.deciding.known import Mapped
from fieldwarden.engine.ports.hub import Hub, Lease
from fieldwarden.engine.running.ingest.looking import AT_ONCE, Looker, gone
from fieldwarden.rules.rulebook import Stream

log = structlog.get_logger(__name__)

_PAGE = 2000


async def truncated(hub: Hub, lease: Lease, stream: Stream, raw: RawChange) -> AsyncIterator[list[Mapped]]:
    """Every row known of the stream."""
    async with hub.ingest(lease) as tx:
        live = await tx.live(stream.system, stream.name) if stream.parent is None else 0
    async for rows in _known(hub, lease, stream):
        yield [gone(stream, row, "delete", raw.position, raw.at, among=live) for row in rows]


async def unseen(hub: Hub, lease: Lease, streams: Mapping[str, Stream], looker: Looker) -> AsyncIterator[list[Mapped]]:
    """Rows that were not told of when everything was told again (`IngestTransaction.unseen`). They are looked at: those
    that are there all the same are taken in as they are now, the others are gone."""
    for stream in streams.values():
        among = 0
        async for rows in _known(hub, lease, stream):
            async with hub.ingest(lease) as tx:
                missing = sorted(await tx.unseen(rows))
            if missing and not among and stream.parent is None:
                among = len(missing) + await _missing(hub, lease, stream, rows[-1].key)
            for start in range(0, len(missing), AT_ONCE):
                yield await _looked_for(stream, missing[start : start + AT_ONCE], looker, among)


async def _looked_for(stream: Stream, missing: Sequence[RowRef], looker: Looker, among: int) -> list[Mapped]:
    found = await looker.look(missing)
    there = {row: item for row, item in found.items() if item.raw.operation != "vanish"}
    if there:
        log.warning(
            "source.rows_not_told",
            system=stream.system,
            stream=stream.name,
            count=len(there),
            message="they are there, though nobody told of them when all rows were told; they are taken in as they are",
        )
    looked = [found.get(row) or gone(stream, row, "vanish", "", None) for row in missing]
    for row, item in zip(missing, looked, strict=True):
        item.unseen = True
        item.among = 0 if row in there else among
    return looked


async def _missing(hub: Hub, lease: Lease, stream: Stream, after: str) -> int:
    """How many of its rows behind this key were not told of: whether they are too many is asked of all at once."""
    number = 0
    async for rows in _known(hub, lease, stream, after):
        async with hub.ingest(lease) as tx:
            number += len(await tx.unseen(rows))
    return number


async def _known(hub: Hub, lease: Lease, stream: Stream, after: str | None = None) -> AsyncIterator[list[RowRef]]:
    """Its known rows, page by page, from behind a key on; those that become known meanwhile may be among them."""
    while True:
        async with hub.ingest(lease) as tx:
            rows = await tx.rows_of(stream.system, stream.name, after, _PAGE)
        if not rows:
            return
        yield rows
        after = rows[-1].key
