"""Claims and settlements of one target in PostgreSQL.

A claim locks nothing: it hands out records as they stand and remembers them. What this process has just committed
itself is not read again, if nobody has touched it since. Settling first takes it that the records still stand so; those
that moved on meanwhile are then locked, in id order, and merged by `engine.delivering.settling`. What was telling of a
row that was created goes with its link, as a note, and the record is not rewritten for it. Each part is a transaction
of its own, since settlements do not depend on each other; one that is repeated finds its marks gone and changes
nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from fieldwarden.engine import failpoints
from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.delivering.settling import only_created, settle
from fieldwarden.engine.hub.large import Reading
from fieldwarden.engine.hub.pieces import Line, Texts, copied_rows
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.rows import (
    copied_contributions,
    copied_text,
    json_array,
    note,
    noted_link_row,
    plain_array,
    text_array,
    values_of,
)
from fieldwarden.engine.hub.session import Connection, Session, copied, copied_links
from fieldwarden.engine.ports.duties import shard_of
from fieldwarden.engine.ports.hub import Pending, Settlement
from fieldwarden.engine.ports.target import Intent
from fieldwarden.engine.record import Contribution, Record

_REMEMBERED = 20_000
_FRESH = 6_000
"""Records kept that were committed here and not yet claimed: beyond that, claims read them again."""
_READ_AT_ONCE = 32 << 20
"""Bytes of large records, with what was written into their rows, after which a claim reads no further one."""
_LINKED_MEANWHILE = 0.2  # seconds: not at once, lest a row that does not help is tried in a tight loop


class Deliveries:
    def __init__(self, target: str, session: Session) -> None:
        self._target = target
        self._session = session
        self._claimed: dict[str, Pending] = {}
        self._marks: dict[int, list[str]] = {}
        """The records of each commit's mark that was claimed."""
        self._fresh: dict[str, tuple[Record, int]] = {}
        self._shards: frozenset[int] = frozenset()
        """Those claimed last: the others' records are somebody else's to claim."""

    def tell(self, records: Mapping[str, tuple[Record, int]], marked: Collection[str]) -> None:
        """These records were committed by this process (id -> record and revision), and those of them `marked`."""
        fresh = self._fresh
        for id, stored in records.items():
            if id in marked and len(fresh) < _FRESH and shard_of(id) in self._shards and not stored[0].large:
                fresh[id] = stored
            elif id in fresh:
                del fresh[id]

    async def claim(
        self, limit: int, shards: Collection[int], rulebook: str, but: Collection[str] = ()
    ) -> list[Pending]:
        if self._shards != (shards := frozenset(shards)):
            self._shards = shards
            self._fresh.clear()
        of = _numbers(sorted(shards))
        async with self._session.transaction() as connection:
            marked = await _rows(connection, "claim_marked", self._target, of, len(but), limit + len(but))
            loose = await _rows(connection, "claim_dirty", self._target, of, limit + len(but))
            due = self._due(marked, loose, limit, frozenset(but))
            # Asked after what is due was read: marks that other rules make from here on are newer than these.
            if rulebook and due and await _rows(connection, "other_rules", rulebook):
                return []
            known = await self._known(connection, due)
            await connection.commit()
        if not due and not but:
            self._fresh.clear()  # whatever is remembered yet was dealt with elsewhere
        claims = [
            Pending(*known[id], mark, attempts, result) for id, (mark, attempts, result) in due.items() if id in known
        ]
        if len(self._claimed) > _REMEMBERED:
            self._claimed.clear()  # claims that nobody settled; settling without them works, it only reads again
        self._claimed.update((claim.record.id, claim) for claim in claims)
        return claims

    def _due(
        self, marked: Sequence[tuple[Any, ...]], loose: Sequence[tuple[Any, ...]], limit: int, but: frozenset[str]
    ) -> dict[str, tuple[int, int, str]]:
        """Record id -> (mark, attempts, last result), at most `limit`. What is tried again comes first, but never fills
        more than half of a claim while anything else waits. Of a mark all records or none are taken if possible."""
        claimed = {mark: ids for mark, ids in self._marks.items() if not but.isdisjoint(ids)} if but else {}
        open_marks = {mark: records[1:-1].split(",") for mark, records in marked}
        self._marks = claimed | open_marks
        if but:
            loose = [row for row in loose if row[0] not in but]
            open_marks = {mark: left for mark, ids in open_marks.items() if (left := [i for i in ids if i not in but])}
        waiting = sum(map(len, open_marks.values()))
        due = {row[0]: (row[1], row[2], row[3]) for row in loose[: max(limit - waiting, limit // 2)]}
        room = limit - len(due)
        for number, (mark, records) in enumerate(open_marks.items()):
            if len(records) > room and number:
                break
            for id in records[:room]:
                if id not in due or due[id][0] < mark:
                    due[id] = (mark, 0, "")
            room -= len(records)
        return due

    async def _known(self, connection: Connection, ids: Collection[str]) -> dict[str, tuple[Record, int]]:
        """Records and their revisions."""
        # In this order: a record that takes notes over meanwhile has another revision then.
        reading = Reading(connection, Texts(), _READ_AT_ONCE)
        notes = await reading.notes(ids)
        fresh = {id: self._fresh.pop(id) for id in ids if id in self._fresh}
        known = await self._unmoved(connection, fresh, notes.keys() | reading.noted)
        missing = [id for id in ids if id not in known]
        if missing:
            rows = await _rows(connection, "read_plain_records", plain_array(missing))
            known.update(await reading.records(rows, notes))
        return known

    async def _unmoved(
        self, connection: Connection, fresh: Mapping[str, tuple[Record, int]], notes: Collection[str]
    ) -> dict[str, tuple[Record, int]]:
        """Those that still stand as this process committed them: others commit too, and may have created rows since."""
        plain = {id: stored for id, stored in fresh.items() if id not in notes}
        if not plain:
            return plain
        asked = {"ids": plain_array(plain), "revisions": _numbers(revision for _, revision in plain.values())}
        cursor = await connection.execute(QUERIES["changed"], asked, prepare=True)
        for (id,) in await cursor.fetchall():
            del plain[id]
        return plain

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        ordered = sorted(settlements, key=lambda each: each.record)
        plain: list[Settlement] = []
        rest: list[Settlement] = []
        for each in ordered:
            (rest if each.awaits is not None or self._claim_of(each) is None else plain).append(each)
        if plain:
            rest += await self._settle_unmoved(plain)
        if rest:
            for each in await self._settle_locked(sorted(rest, key=lambda each: each.record)):
                await self._settle_locked([each])
        for each in settlements:
            claim = self._claim_of(each)
            if claim is not None and claim.mark == each.mark:  # that of a newer claim is wanted yet
                del self._claimed[each.record]

    async def intend(self, intents: Sequence[Intent]) -> None:
        rows = [self._columns(each) for each in intents]
        async with self._session.transaction() as connection:
            await connection.cursor().executemany(QUERIES["intend"], rows)
            await connection.commit()

    def _columns(self, intent: Intent) -> tuple[object, ...]:
        row = (intent.key, self._target, intent.record, intent.stream, intent.operation, intent.row, intent.parent)
        return *row, intent.version, note(intent.values).decode()

    async def intents(self, records: Sequence[str]) -> dict[str, list[Intent]]:
        found: dict[str, list[Intent]] = {}
        async with self._session.transaction() as connection:
            asked = {"target": self._target, "ids": plain_array(records)}
            cursor = await connection.execute(QUERIES["intents"], asked, prepare=True)
            for now, key, record, stream, operation, row, parent, version, sent in await cursor.fetchall():
                intent = Intent(key, record, stream, operation, row, parent, version, values_of(sent))
                found.setdefault(now, []).append(intent)
        return found

    def _claim_of(self, settlement: Settlement) -> Pending | None:
        claim = self._claimed.get(settlement.record)
        return claim if claim is not None and claim.revision == settlement.revision else None

    async def _settle_unmoved(self, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
        """Settle those whose record still is as it was claimed; the others are given back."""
        created, merging = self._learnt(settlements)
        async with self._session.transaction() as connection:
            # All of them at once and in id order, as an ingest locks them: else the two wait for each other.
            moved = await self._moved(connection, settlements, "moved_locked" if merging else "moved")
            merging = [each for each in merging if each.record not in moved]
            await copied(connection, "copy_settled", [self._merged(each) for each in merging])
            if merging:
                await _rows(connection, "settle_records", _ids(merging))
            moved |= await self._link_noted(connection, [each for each in created if each.record not in moved])
            if await self._link(connection, [each for each in merging if each.record not in moved]):
                return settlements  # a created row belongs to another record by now; nothing of this is committed
            here = [each for each in settlements if each.record not in moved]
            whole = self._whole_marks(here)
            parted = {id for mark, records in self._marks.items() if mark not in whole for id in records}
            loose = [each for each in here if each.status != "done" or each.mark not in whole or each.record in parted]
            told = {each.record for each in merging}
            await copied(connection, "copy_settled", [
                _line(each, each.status, each.delay, each.revision, None) for each in loose if each.record not in told
            ])  # fmt: skip
            if whole:
                await _rows(connection, "drop_marks", self._target, _numbers(whole))
            await self._clear(connection, here, [each for each in here if each.status == "done"], loose, whole)
        return [each for each in settlements if each.record in moved]

    def _learnt(self, settlements: Sequence[Settlement]) -> tuple[list[Settlement], list[Settlement]]:
        """Those that telling of rows they created only, and of other rows too."""
        telling = [each for each in settlements if each.links or each.learnt or each.row_versions]
        created = [
            e for e in telling if not e.row_versions and only_created(self._claimed[e.record].record, e.learnt, e.links)
        ]
        alone = {each.record for each in created}
        return created, [each for each in telling if each.record not in alone]

    def _merged(self, each: Settlement) -> Line:
        claim = self._claimed[each.record]
        settled = settle(claim.record, claim.record, self._target, each.learnt, each.links, each.row_versions)
        large = claim.record.large
        return _line(each, each.status, each.delay, each.revision, settled.rows, large=large)

    async def _moved(self, connection: Connection, settlements: Sequence[Settlement], query: str) -> set[str]:
        asked = {"ids": _ids(settlements), "revisions": _numbers(each.revision for each in settlements)}
        cursor = await connection.execute(QUERIES[query], asked, prepare=True)
        return {id for (id,) in await cursor.fetchall()}

    async def _link_noted(self, connection: Connection, settlements: Sequence[Settlement]) -> set[str]:
        """Link created rows, with what they were given; gives the records of those that are linked already."""
        rows: list[tuple[RowRef, str, Mapping[str, Value], bool]] = []
        for each in settlements:
            for link in each.links:
                large = self._claimed[each.record].record.large
                rows.append((link, each.record, each.learnt.get(link, {}), large))
        rows.sort(key=itemgetter(0))
        if await copied_links(connection, [noted_link_row(*row) for row in rows]):
            return set()
        strange: set[str] = set()
        for (system, stream), some in groupby(rows, lambda row: row[0][:2]):
            refs, records, notes, _ = zip(*some, strict=True)
            keys = [ref.key for ref in refs]
            columns = (text_array(keys), plain_array(records), json_array([note(each) for each in notes]))
            made = await _rows(connection, "link_noted", system, stream, *columns)
            if len(made) < len(keys):
                new = {key for (key,) in made}
                strange |= {record for key, record in zip(keys, records, strict=True) if key not in new}
        return strange

    def _whole_marks(self, settlements: Sequence[Settlement]) -> set[int]:
        """The claimed marks all of whose records are done with."""
        done = {each.record: each.mark for each in settlements if each.status == "done"}
        return {mark for mark, records in self._marks.items() if all(done.get(id, -1) >= mark for id in records)}

    async def _settle_locked(self, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
        """Settle what moved on, or waits for another record: with all of them locked, nothing moves any more.

        Gives back what was telling of records that were joined to others meanwhile, as said of those."""
        ids = {each.record for each in settlements} | {each.awaits for each in settlements if each.awaits}
        async with self._session.transaction() as connection:
            rows = await _rows(connection, "lock_records", plain_array(sorted(ids)))
            joined = dict(await _rows(connection, "joined", _ids(settlements)))
            gone = [replace(each, record=joined[each.record]) for each in settlements if each.record in joined]
            settlements = [each for each in settlements if each.record not in joined]
            reading = Reading(connection, Texts())
            notes = await reading.notes(sorted(ids))
            current = await reading.records(rows, notes)
            here = [each for each in settlements if each.record in current]
            strange = await self._link(connection, here)
            lines, done = [], []
            for each in here:
                record, revision = current[each.record]
                claim = self._claim_of(each)
                learnt = {row: values for row, values in each.learnt.items() if row not in strange}
                links = [link for link in each.links if link not in strange]
                known = claim.record if claim else record
                settled = settle(record, known, self._target, learnt, links, each.row_versions)
                again = self._again(each, settled.clean and claim is not None, current)
                status, delay = ("again", again) if again is not None else (each.status, each.delay)
                if status == "done":
                    done.append(each)
                lines.append(_line(each, status, delay, revision, settled.rows, large=record.large))
            await copied(connection, "copy_settled", lines)
            await _rows(connection, "settle_records", _ids(here))
            await self._clear(connection, here, done, here, ())
        return gone

    def _again(self, each: Settlement, clean: bool, current: Mapping[str, tuple[Record, int]]) -> float | None:
        """Seconds after which to look at a record again instead of what the delivery concluded; None: it holds."""
        if each.status in ("done", "park") and not clean:
            return 0.0  # a verdict on a record that was another by then
        awaited = current.get(each.awaits or "")
        if awaited is None or each.status not in ("wait", "park"):
            return None
        if each.status == "park":  # what stands in its way has moved since it was tried
            return None if awaited[1] == each.awaits_at else 0.0
        linked = any(row.system == self._target and row.deleted is None for row in awaited[0].rows)
        return _LINKED_MEANWHILE if linked else None

    async def _link(self, connection: Connection, settlements: Sequence[Settlement]) -> set[RowRef]:
        """Link created rows to their records; gives back those that belong to another record already."""
        wanted = {link: each.record for each in settlements for link in each.links}
        if not wanted:
            return set()
        ordered = sorted(wanted)
        systems, streams, keys = zip(*ordered, strict=True)
        columns = (text_array(systems), text_array(streams), text_array(keys))
        rows = await _rows(connection, "link_created", *columns, plain_array(wanted[row] for row in ordered))
        return {RowRef(*row[:3]) for row in rows if row[3] != wanted[RowRef(*row[:3])]}

    async def _clear(
        self,
        connection: Connection,
        settlements: Sequence[Settlement],
        done: Sequence[Settlement],
        loose: Sequence[Settlement],
        whole: Collection[int],
    ) -> None:
        """Clear or move the marks of those that are `loose` (not dealt with by `whole` marks), as far as they are still
        those of the claim; with those of whom it holds that they are `done` goes whatever an older claim, of whoever
        delivered before, has left; rouse who waited; and commit."""
        if done:
            cleared = {"target": self._target, "ids": _ids(done), "marks": _numbers(each.mark for each in done)}
            await connection.execute(QUERIES["settle_done"], cleared, prepare=True)
        if loose:
            ids = _ids(loose)
            await _rows(connection, "settle_open", self._target, ids)
            marks = _numbers({each.mark for each in loose} | self._marks.keys() - set(whole))
            await _rows(connection, "settle_marked_open", self._target, marks)
            await _rows(connection, "shrink_marked", self._target, marks)
            await _rows(connection, "drop_empty_marks", self._target, marks)
        if answered := [key for each in settlements for key in each.answered]:
            await connection.execute(QUERIES["forget_intents"], [answered], prepare=True)
        linked = sorted({each.record for each in settlements if each.links or each.frees})
        if linked:
            await _rows(connection, "wake", self._target, plain_array(linked))
        failpoints.hit("delivery.before_settle_commit")
        await connection.commit()
        failpoints.hit("delivery.after_settle")


def _ids(settlements: Sequence[Settlement]) -> str:
    return plain_array(each.record for each in settlements)


def _numbers(numbers: Iterable[int]) -> str:
    return plain_array(map(str, numbers))


def _line(
    each: Settlement,
    status: str,
    delay: float,
    revision: int,
    rows: Sequence[Contribution] | None,
    *,
    large: bool = False,
) -> Line:
    """A row for `copy_settled`. Only what still waits for a record, or is parked behind one, names it."""
    awaits = each.awaits if status in ("wait", "park") and each.awaits else "\\N"
    head = f"{each.record}\t{revision}\t{each.mark}\t{status}\t{delay}\t{awaits}\t"
    text = f"{copied_text(each.reason)}\t{copied_text(each.result)}\t"
    if large and rows is not None:
        return chain([head.encode(), text.encode()], copied_rows(rows), [b"\n"])
    return b"%b%b%b\n" % (head.encode(), text.encode(), b"\\N" if rows is None else copied_contributions(rows))


async def _rows(connection: Connection, name: str, *values: object) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(QUERIES[name], values, prepare=True)
    return await cursor.fetchall() if cursor.description else []
