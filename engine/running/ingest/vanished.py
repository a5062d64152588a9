"""Rows that are gone without a word of their own: truncated, or not found when everything was told again.

Each function gives their deletes page by page, in bounded memory; the next page is asked for once this one is
committed. Interrupted and begun again, it finds what is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from fieldwarden.engine.change import Operation, RawChange, Relation, RowRef, key_parts
from fieldwarden.engine.deciding.known import Mapped
from fieldwarden.engine.deciding.mapping import deletion
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.hub import Hub, Lease
from fieldwarden.engine.ports.source import Source
from fieldwarden.rules.rulebook import Stream

_PAGE = 2000


async def truncated(hub: Hub, lease: Lease, stream: Stream, raw: RawChange) -> AsyncIterator[list[Mapped]]:
    """Every row known of the stream."""
    async with hub.ingest(lease) as tx:
        live = await tx.live(stream.system, stream.name) if stream.parent is None else 0
    async for rows in _known(hub, lease, stream):
        yield [_gone(stream, row, raw.position, raw.at, observation=False, among=live) for row in rows]


async def unseen(hub: Hub, lease: Lease, streams: Mapping[str, Stream], source: Source) -> AsyncIterator[list[Mapped]]:
    """Rows that were not told of when everything was told again (`IngestTransaction.unseen`), and do not stand there
    all the same."""
    for stream in streams.values():
        among = 0
        async for rows in _known(hub, lease, stream):
            async with hub.ingest(lease) as tx:
                missing = sorted(await tx.unseen(rows))
            if missing and not among and stream.parent is None:
                among = len(missing) + await _missing(hub, lease, stream, rows[-1].key)
            untold = await source.standing(missing) if missing else set()
            if untold:
                async with hub.ingest(lease) as tx:
                    await tx.saw(sorted(untold))
                    await tx.commit(IngestOutcome(), position="", rulebook="")
            if gone := [
                _gone(stream, row, "", None, observation=True, among=among) for row in missing if row not in untold
            ]:
                yield gone


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


def _gone(stream: Stream, row: RowRef, position: str, at: int | None, *, observation: bool, among: int) -> Mapped:
    relation = Relation(stream.name, stream.key, ("text",) * len(stream.key))
    operation: Operation = "vanish" if observation else "delete"
    try:
        parts = key_parts(row.key, len(stream.key))
    except ValueError:  # a row known only by the name of its unusable key
        parts = (row.key, *[""] * (len(stream.key) - 1))
    raw = RawChange(relation, operation, parts, position, at)
    return Mapped(raw, row, stream.entity, deletion(stream, raw), among=among)
