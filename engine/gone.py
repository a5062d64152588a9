"""Rows that are gone without a word of their own: truncated, or not found when everything was told again.

Each function gives their deletes page by page, in bounded memory; the next page is asked for once this one is
committed. Interrupted and begun again, it finds what is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from engine.change import Operation, RawChange, Relation, RowRef, key_parts
from engine.known import Mapped
from engine.mapping import deletion
from engine.ports import Hub, IngestTransaction, Lease
from rules.rulebook import Stream

_PAGE = 2000


async def truncated(hub: Hub, lease: Lease, stream: Stream, raw: RawChange) -> AsyncIterator[list[Mapped]]:
    """Every row known of the stream."""
    after = ""
    while True:
        async with hub.ingest(lease) as tx:
            rows = await tx.rows_of(stream.system, stream.name, after, _PAGE)
        if not rows:
            return
        yield [_gone(stream, row, raw.position, raw.at, observation=False) for row in rows]
        after = rows[-1].key


async def unseen(hub: Hub, lease: Lease, streams: Mapping[str, Stream]) -> AsyncIterator[list[Mapped]]:
    """Rows that a re-read under this lease did not find (`IngestTransaction.unseen`)."""
    while True:
        async with hub.ingest(lease) as tx:
            rows = await tx.unseen(list(streams), _PAGE)
        if not rows:
            return
        yield [_gone(streams[row.stream], row, "", None, observation=True) for row in rows]


async def unheard(hub: Hub, lease: Lease, streams: Mapping[str, Stream], floor: str) -> AsyncIterator[list[Mapped]]:
    """Rows of which nothing was said at or after the position `floor`, though all rows have been told of since.

    Not those that we created and that have never spoken, nor those of which something is set aside."""
    for stream in streams.values():
        after = ""
        while True:
            async with hub.ingest(lease) as tx:
                rows = await tx.rows_of(stream.system, stream.name, after, _PAGE)
                silent = await _silent(tx, rows, floor)
            if silent:
                yield [_gone(stream, row, "", None, observation=True) for row in silent]
            if not rows:
                break
            after = rows[-1].key


async def _silent(tx: IngestTransaction, rows: Sequence[RowRef], floor: str) -> list[RowRef]:
    links = await tx.links(rows)
    blocked = await tx.blocked(rows)
    records = await tx.records(sorted(set(links.values())))
    said = {row.ref: row.said for record in records.values() for row in record.rows if row.live}
    return [row for row in rows if row not in blocked and "" < said.get(row, "") < floor]


def _gone(stream: Stream, row: RowRef, position: str, at: int | None, *, observation: bool) -> Mapped:
    relation = Relation(stream.name, stream.key, ("text",) * len(stream.key))
    operation: Operation = "vanish" if observation else "delete"
    try:
        parts = key_parts(row.key, len(stream.key))
    except ValueError:  # a row known only by the name of its unusable key
        parts = (row.key, *[""] * (len(stream.key) - 1))
    raw = RawChange(relation, operation, parts, position, at)
    return Mapped(raw, row, stream.entity, deletion(stream, raw))
