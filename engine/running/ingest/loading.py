"""What deciding a batch may need, loaded in a handful of queries however many changes there are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from fieldwarden.engine.change import Change, RowRef
from fieldwarden.engine.deciding.alike import referred
from fieldwarden.engine.deciding.decider import Decider
from fieldwarden.engine.deciding.identity import MatchPair
from fieldwarden.engine.deciding.known import Known, Mapped
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.hub import MANY_ALIKE, IngestTransaction
from fieldwarden.engine.record import LARGE


async def load(tx: IngestTransaction, decider: Decider, mapped: Sequence[Mapped], also: Collection[str] = ()) -> Known:
    """What rows wait for, then their links; for rows that may begin a record, what could be theirs already; then all
    records, locked at once, and with them `also`: records that may be one with those of the batch.

    In this order, since other lanes commit between two statements: a row that waits no more when it is asked about is
    linked by then. What was found of new rows is noted (`Known.asked`), to be looked at again before the commit."""
    known = Known()
    if not mapped and not also:
        return known
    if tx.joins:
        await _renamed(tx, mapped)
    rows: dict[RowRef, None] = {}
    for item in mapped:
        rows[item.row] = None
        if item.change is not None and not _plain(item, item.change):
            rows.update(dict.fromkeys(_related(item.change)))
    known.letters = await tx.letters([row for item in mapped for row in _itself(item)])
    follows = [item.row for item in mapped if item.raw.follows_rekey]
    known.rekeyed = await tx.rekeyed(follows) if follows else set()
    known.links = await tx.links(list(rows))
    await _load_departed(tx, mapped, known)
    await _follow_rekeys(tx, mapped, known)
    wanted = {id for item in mapped for id in _records(item, known.links)} if known.links else set()
    wanted.update(known.links[row] for row in known.next_keys.values() if row in known.links)
    wanted.update(also)
    known.children = decider.assembled(mapped)
    unknown = decider.unknown(mapped, known)
    if unknown:
        stated, hanging = decider.stated(unknown, known)
        for entity, pairs in stated.items():
            await _ask(tx, known, entity, pairs)
        if hanging:
            await _ask_hanging(tx, decider, mapped, hanging, known)
        wanted.update(id for found in known.asked.values() for ids in found.values() for id in ids)
        for item in mapped:
            if item.change is not None and item.change.external_id and item.row not in known.links:
                wanted.add(item.change.external_id)
    known.records = await tx.records(sorted(wanted), _texts(mapped))
    known.large = any(item.raw.large for item in mapped)
    if decider.scope.merging:
        merging = [item for item in mapped if item.row.stream in decider.scope.merging]
        await _follow_merges(tx, merging, known)
        for item in merging:
            item.leaves = decider.scope.ordered and _leaves(item, merging, known)
    if also:
        for entity, pairs in decider.pairs_of(known, also).items():
            await _ask(tx, known, entity, pairs)  # who else carries them may be whom they are
    if tx.joins and (named := referred(known, decider.scope)):
        known.joined = await tx.joined(sorted(named))
    if tx.parted:
        known.apart = await tx.apart(sorted(known.records))
    return known


async def further(tx: IngestTransaction, known: Known, outcome: IngestOutcome) -> set[str]:
    """Records that were not at hand and carry a match pair that one of this outcome carries now: they may be one with
    it, and the batch is to be decided again with them."""
    found: set[str] = set()
    pairs: dict[str, list[MatchPair]] = {}
    for entity, stated in outcome.match_keys.values():
        pairs.setdefault(entity, []).extend(stated)
    for entity, stated in pairs.items():
        await _ask(tx, known, entity, stated)
        asked = known.asked.get(entity, {})
        for pair in stated:
            if (ids := asked[pair]) and len(ids) <= MANY_ALIKE:
                found.update(ids)
    return found - known.records.keys()


async def _renamed(tx: IngestTransaction, mapped: Sequence[Mapped]) -> None:
    """Rows that carry the id of a record that was joined to another carry that one's."""
    carried = {item.change.external_id for item in mapped if item.change is not None and item.change.external_id}
    joined = await tx.joined(sorted(carried)) if carried else {}
    for item in mapped:
        if item.change is not None and item.change.external_id in joined:
            item.change.external_id = joined[item.change.external_id]


async def _ask(tx: IngestTransaction, known: Known, entity: str, pairs: Sequence[MatchPair]) -> bool:
    """Which records carry these pairs, if that has not been asked before; False if all have."""
    before = known.asked.get(entity, {})
    asked = [pair for pair in dict.fromkeys(pairs) if pair not in before]
    if not asked:
        return False
    found = await tx.matches(entity, asked)
    known.matches.setdefault(entity, {}).update(found)
    answers: dict[MatchPair, tuple[str, ...]] = dict.fromkeys(asked, ())
    answers.update((pair, tuple(ids)) for pair, ids in found.items())
    known.asked.setdefault(entity, {}).update(answers)
    return True


async def _ask_hanging(
    tx: IngestTransaction, decider: Decider, mapped: Sequence[Mapped], hanging: Sequence[Mapped], known: Known
) -> None:
    """The same of pairs with a record's id in them, where the row referred to may be identified in this very batch:
    one more round for each reference in the chain (a line of an invoice of a customer)."""
    may_be: dict[RowRef, set[str]] = {}

    def possible(row: RowRef) -> set[str]:
        linked = known.record_of(row)
        return may_be.get(row, set()) | (set() if linked is None else {linked})

    more = True
    while more:
        pairs: dict[str, list[MatchPair]] = {}
        for item in mapped:
            if item.change is not None:
                may_be.setdefault(item.change.row, set()).update(_candidates(item, item.change, known, possible))
        for item in hanging:
            item.possible = decider.hanging_pairs(item, possible)
            pairs.setdefault(item.entity, []).extend(item.possible)
        more = False
        for entity, stated in pairs.items():
            more |= await _ask(tx, known, entity, stated)


def _candidates(item: Mapped, change: Change, known: Known, possible: Callable[[RowRef], set[str]]) -> set[str]:
    """The records that a change's row may stand for once this batch is decided, as far as is known so far."""
    found = {change.external_id} if change.external_id else set()
    if change.old_row is not None:
        found |= possible(change.old_row)
    asked = known.asked.get(item.entity, {})
    return found.union(*(asked.get(pair, ()) for pair in (item.possible if item.pairs is None else item.pairs)))


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


def _texts(mapped: Sequence[Mapped]) -> Iterator[str]:
    for item in mapped:
        if item.change is not None:
            yield from (value for value in item.change.fields.values() if value is not None and len(value) > LARGE)


async def _follow_merges(tx: IngestTransaction, mapped: Sequence[Mapped], known: Known) -> None:
    """Which rows these are by now: a chain of merged rows to its end, or around to where it began."""
    met = {item.row for item in mapped}
    for item in mapped:
        if item.change is not None and item.change.merged is not None:
            known.becoming.setdefault(item.change.merged, []).append(item.row)
    asked = set(known.becoming)
    asked = {*asked, *(row for each in met for row in known.merged(each))} - met
    while asked:
        met |= asked
        known.letters.update(await tx.letters(sorted(asked)))
        known.links.update(await tx.links(sorted(asked)))
        wanted = {known.links[row] for row in asked if row in known.links} - known.records.keys()
        known.records.update(await tx.records(sorted(wanted)))
        asked = {row for each in asked for row in known.merged(each)} - met


def _leaves(item: Mapped, others: Sequence[Mapped], known: Known) -> bool:
    """Whether the row is left out, and the row that it was merged into is neither known, nor told of beside it, nor set
    aside: then that one is left out as well."""
    change = item.change
    if change is None or not change.outside or change.merged is None or item.row not in known.links:
        return False
    if known.record_of(change.merged) is not None or known.letters.get(change.merged):
        return False
    return all(other.row != change.merged for other in others)


def _named(change: Change) -> list[RowRef]:
    """Rows that a change speaks of beside its own."""
    rows = list(change.references.values())
    if change.merged is not None:
        rows.append(change.merged)
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
        and change.merged is None
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
        rows += [row for row in (change.row, change.parent, change.old_row, change.merged) if row is not None]
    return [links[row] for row in rows if row in links]
