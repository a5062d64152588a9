"""What deciding a batch may need, loaded in a handful of queries however many changes there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.batch import Decider
from engine.change import Change, RowRef
from engine.known import Known, Mapped
from engine.ports import IngestTransaction


async def load(tx: IngestTransaction, decider: Decider, mapped: Sequence[Mapped]) -> Known:
    """What rows wait for, then their links; for rows that may begin a record, what could be theirs already; then all
    records, locked at once.

    In this order, since other lanes commit between two statements: a row that waits no more when it is asked about is
    linked by then. What was found of new rows is noted (`Known.asked`), to be looked at again before the commit."""
    known = Known()
    if not mapped:
        return known
    rows: dict[RowRef, None] = {}
    for item in mapped:
        rows[item.row] = None
        if item.change is not None and not _plain(item, item.change):
            rows.update(dict.fromkeys(_related(item.change)))
    known.blocked = await tx.blocked([row for item in mapped for row in _itself(item)])
    follows = [item.row for item in mapped if item.raw.follows_rekey]
    known.rekeyed = await tx.rekeyed(follows) if follows else set()
    known.links = await tx.links(list(rows))
    await _load_departed(tx, mapped, known)
    await _follow_rekeys(tx, mapped, known)
    wanted = {id for item in mapped for id in _records(item, known.links)} if known.links else set()
    wanted.update(known.links[row] for row in known.next_keys.values() if row in known.links)
    unknown = decider.unknown(mapped, known)
    if unknown:
        for entity, pairs in unknown.items():
            if pairs:
                asked = list(dict.fromkeys(pairs))
                found = known.matches[entity] = await tx.matches(entity, asked)
                known.asked[entity] = {pair: tuple(found.get(pair, ())) for pair in asked}
                wanted.update(id for ids in found.values() for id in ids)
        for item in mapped:
            if item.change is not None and item.change.external_id and item.row not in known.links:
                wanted.add(item.change.external_id)
    known.records = await tx.records(sorted(wanted))
    return known


async def _load_departed(tx: IngestTransaction, mapped: Sequence[Mapped], known: Known) -> None:
    """Of partitions, which may be told of again from the start: keys that rows have left since."""
    strange = [row for item in mapped if item.raw.place for row in _itself(item) if _may_have_left(item, row, known)]
    if strange:
        known.departed = await tx.departed(strange)


async def _follow_rekeys(tx: IngestTransaction, mapped: Sequence[Mapped], known: Known) -> None:
    """Rows that are named by a key that they gave up: a parent's partition may be ahead of its children's."""
    named = [row for item in mapped if item.raw.place and item.change is not None for row in _named(item.change)]
    asked = {row for row in named if row not in known.links}
    while asked:
        further = await tx.next_keys(list(asked))
        known.next_keys.update(further)
        known.links.update(await tx.links([row for row in further.values() if row not in known.links]))
        asked = {row for row in further.values() if row not in known.links and row not in known.next_keys}


def _named(change: Change) -> list[RowRef]:
    """Rows that a change speaks of beside its own."""
    rows = list(change.references.values())
    return rows if change.parent is None else [*rows, change.parent]


def _may_have_left(item: Mapped, row: RowRef, known: Known) -> bool:
    return row not in known.links or (item.change is not None and item.change.operation == "rekey")


def _itself(item: Mapped) -> list[RowRef]:
    """The row of a change, and the same row under its former key."""
    old = item.change.old_row if item.change is not None else None
    return [item.row] if old is None else [item.row, old]


def _plain(item: Mapped, change: Change) -> bool:
    """Whether a change speaks of no row but its own."""
    return (
        not change.references
        and change.parent is None
        and change.old_row is None
        and (change.row is item.row or change.row == item.row)
    )


def _related(change: Change) -> list[RowRef]:
    rows = [change.row, *_named(change)]
    if change.old_row is not None:
        rows.append(change.old_row)
    return rows


def _records(item: Mapped, links: Mapping[RowRef, str]) -> list[str]:
    """The records that a change may rewrite: its row's, its parent's and its former key's."""
    rows = [item.row]
    if item.change is not None:
        change = item.change
        rows += [row for row in (change.row, change.parent, change.old_row) if row is not None]
    return [links[row] for row in rows if row in links]
