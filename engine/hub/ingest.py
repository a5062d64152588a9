"""One ingest transaction in PostgreSQL: what a batch may need to know comes in, everything it decided goes out at once.

Costs are per batch, not per change: a handful of set-based statements, and COPY for what is wide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from fieldwarden.engine import failpoints
from fieldwarden.engine.change import RowRef
from fieldwarden.engine.errors import IdentityMoved, PartitionLost, RulesChanged
from fieldwarden.engine.hub.blocks import append_block
from fieldwarden.engine.hub.joins import write_joins
from fieldwarden.engine.hub.large import Reading
from fieldwarden.engine.hub.pieces import Line, Texts
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.rows import (
    link_row,
    match_key_row,
    new_record_row,
    new_state_row,
    plain_array,
    text_array,
)
from fieldwarden.engine.hub.session import Connection, copied, copied_links
from fieldwarden.engine.large import Pieces
from fieldwarden.engine.ports.aside import Letter, SetAside
from fieldwarden.engine.ports.durable import Duplicate, IngestOutcome
from fieldwarden.engine.ports.hub import NO_PARTS, Lease
from fieldwarden.engine.ports.parts import Part
from fieldwarden.engine.record import LARGE, Record

_NEXT = "\x01"
"""No text stands between one and the same with this behind it: keys compare by their bytes, and none holds a zero."""
_MARKED = 2000
"""Records to a mark: no more than one claim takes."""

Tell = Callable[[Mapping[str, tuple[Record, int]], Sequence[tuple[str, str]]], None]
"""Is told what a commit stored (record id -> record and revision) and which (target, record) it marked."""


class PostgresIngest:
    """Begins with the source's row locked and the fence checked (`PostgresHub.ingest`)."""

    def __init__(
        self,
        connection: Connection,
        lease: Lease,
        clock: Callable[[], int],
        tell: Tell,
        *,
        applying: bool = False,
        joins: bool = True,
        parted: bool = True,
    ) -> None:
        self.applying, self.joins, self.parted = applying, joins, parted
        self._connection = connection
        self._source = lease.source
        self._lane = str(lease.lane)
        self._baseline = lease.baseline
        self._clock = clock
        self._tell = tell
        self._loaded: dict[str, int] = {}
        self._noted: set[str] = set()
        self._linked: set[RowRef] = set()

    # --- what is known ---------------------------------------------------------------------------------------

    async def links(self, rows: Sequence[RowRef]) -> dict[RowRef, str]:
        found: dict[RowRef, str] = {}
        for (system, stream), keys in _by_stream(rows):
            for key, record in await self._rows("links", system, stream, text_array(keys)):
                found[RowRef(system, stream, key)] = record
        self._linked.update(found)
        return found

    async def letters(self, rows: Sequence[RowRef]) -> dict[RowRef, list[Letter]]:
        systems = sorted({row.system for row in rows})
        if not systems or not (await self._rows("any_set_aside", text_array(systems)))[0][0]:
            return {}
        found: dict[RowRef, list[Letter]] = {}
        for (system, stream), keys in _by_stream(rows):
            for key, id, kind, position, moves, *to in await self._rows("letters", system, stream, text_array(keys)):
                letter = Letter(id, kind, position, moves, RowRef(*to) if to[0] is not None else None)
                found.setdefault(RowRef(system, stream, key), []).append(letter)
        return found

    async def matches(self, entity: str, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        values: dict[str, set[str]] = {}
        for name, value in keys:
            values.setdefault(name, set()).add(value)
        for name in sorted(values):
            for value, record in await self._rows("matches", entity, name, text_array(sorted(values[name]))):
                found.setdefault((name, value), []).append(record)
        return found

    async def records(self, ids: Sequence[str], at_hand: Iterable[str] = ()) -> dict[str, Record]:
        if not ids:
            return {}
        rows = await self._rows("lock_records", plain_array(ids))
        if not rows:
            return {}
        reading = Reading(self._connection, Texts(at_hand))
        notes = await reading.notes([row[0] for row in rows])
        self._noted.update(notes, reading.noted)
        self._loaded.update((row[0], row[6]) for row in rows)
        found = await reading.records(rows, notes)
        return {id: record for id, (record, _) in found.items()}

    async def announced(self, system: str, transactions: Sequence[str]) -> dict[str, int]:
        return dict(await self._rows("announced", system, text_array(transactions)))

    async def still_aside(self, ids: Sequence[int]) -> set[int]:
        return {id for (id,) in await self._rows("still_aside", list(ids))}

    async def rekeyed(self, rows: Sequence[RowRef]) -> set[RowRef]:
        found: set[RowRef] = set()
        for (system, stream), keys in _by_stream(rows):
            found |= {
                RowRef(system, stream, key) for (key,) in await self._rows("rekeyed", system, stream, text_array(keys))
            }
        return found

    async def departed(self, rows: Sequence[RowRef]) -> dict[RowRef, str]:
        found: dict[RowRef, str] = {}
        for (system, stream), keys in _by_stream(rows):
            for key, position in await self._rows("departed", system, stream, text_array(keys)):
                found[RowRef(system, stream, key)] = position
        return found

    async def next_keys(self, rows: Sequence[RowRef]) -> dict[RowRef, RowRef]:
        found: dict[RowRef, RowRef] = {}
        for (system, stream), keys in _by_stream(rows):
            for old, key in await self._rows("next_keys", system, stream, text_array(keys)):
                found[RowRef(system, stream, old)] = RowRef(system, stream, key)
        return found

    async def joined(self, ids: Sequence[str]) -> dict[str, str]:
        return dict(await self._rows("joined", plain_array(ids))) if ids else {}

    async def apart(self, ids: Sequence[str]) -> set[frozenset[str]]:
        both = plain_array(ids)
        return {frozenset(pair) for pair in await self._rows("apart", both, both)} if ids else set()

    async def rows_of(self, system: str, stream: str, after: str | None, limit: int) -> list[RowRef]:
        since = "" if after is None else after + _NEXT
        asked = {"system": system, "stream": stream, "since": since, "limit": limit}
        cursor = await self._connection.execute(QUERIES["rows_of"], asked, prepare=True)
        return [RowRef(system, stream, key) for (key,) in await cursor.fetchall()]

    async def live(self, system: str, stream: str) -> int:
        return int((await self._rows("live_rows", system, stream))[0][0])

    async def saw(self, rows: Sequence[RowRef]) -> set[RowRef]:
        fresh: set[RowRef] = set()
        for (system, stream), keys in _by_stream(rows):
            for (key,) in await self._rows("saw", system, stream, text_array(keys)):
                fresh.add(RowRef(system, stream, key))
        return fresh

    async def unseen(self, rows: Sequence[RowRef]) -> set[RowRef]:
        found: set[RowRef] = set()
        for (system, stream), keys in _by_stream(row for row in rows if row.system == self._source):
            asked = {"system": system, "stream": stream, "keys": text_array(keys)}
            cursor = await self._connection.execute(QUERIES["unseen"], asked, prepare=True)
            found.update(RowRef(system, stream, key) for (key,) in await cursor.fetchall())
        return found

    # --- what was decided ------------------------------------------------------------------------------------

    async def commit(
        self,
        outcome: IngestOutcome,
        *,
        rulebook: str,
        changes: int = 0,
        echoes: int = 0,
        state: str | None = None,
        message: str = "",
        parts: Mapping[str, Part] = NO_PARTS,
    ) -> Sequence[Duplicate]:
        failpoints.hit("ingest.before_write")
        duplicates = await self.write(outcome, rulebook)
        faring = {"changes": changes, "echoes": echoes, "state": state, "message": message, "rulebook": rulebook}
        await self._move(parts, faring)
        failpoints.hit("ingest.before_commit")
        await self._connection.commit()
        failpoints.hit("ingest.after_commit")
        stored = {record.id: (record, self._loaded.get(record.id, 0) + 1) for record in outcome.records}
        self._tell(stored, outcome.dirty)
        return duplicates

    async def write(self, outcome: IngestOutcome, rulebook: str) -> Sequence[Duplicate]:
        """All of it, decided by this rulebook, but for the commit; large entries are given up on the way. Gives the
        records found alike."""
        large = {each.record for each in outcome.entries if isinstance(each.body, Pieces) or len(each.body) > LARGE}
        if outcome.entries:
            await append_block(self._connection, self._lane, outcome.entries, rulebook, self._clock())
        if large:
            outcome.entries.clear()  # what they hold is written now, and the records hold it too
            for record in outcome.records:
                record.large = record.large or record.id in large
        await self._write_records(outcome.records)
        await self._write_crosswalk(outcome)
        await self._write_marks(outcome)
        await self._write_set_aside(outcome)
        await self._write_rekeyed(outcome)
        if outcome.joined:
            await write_joins(self._connection, outcome.joined, parted=self.parted)
        if outcome.followed:
            await self._run("followed_on", plain_array(outcome.followed))
        # Last, since from here to the commit no other lane can create records.
        await self._check_identity(outcome)
        return await self._write_match_keys(outcome)

    async def _move(self, parts: Mapping[str, Part], faring: Mapping[str, object]) -> None:
        """The parts and their lane, in one statement: every batch waits for its answer."""
        names = sorted(parts)
        moved = {
            "source": self._source,
            "lane": self._lane,
            "baseline": self._baseline,
            "names": names,
            "epochs": [parts[name].epoch for name in names],
            "positions": [parts[name].position or "" for name in names],
            "messages": [parts[name].message for name in names],
            **faring,
        }
        cursor = await self._connection.execute(QUERIES["move"], moved, prepare=True)
        row = await cursor.fetchone()
        assert row is not None
        if row[0] != len(names):
            raise PartitionLost(
                f"another worker reads some parts of {self._source} now",
                suggestion="nothing of this batch was stored; the other worker goes on from the last position",
            )
        if not row[1]:
            raise RulesChanged(
                f"other rules than those that this batch of {self._lane} was decided by are live now",
                suggestion="nothing of it was stored; it is decided again by the live rules",
            )

    async def _check_identity(self, outcome: IngestOutcome) -> None:
        """Of one entity, lanes create records and write match keys one after the other from here on: of two that make
        two records alike at once, the second sees it."""
        for entity in sorted({*outcome.asked, *(entity for entity, _ in outcome.match_keys.values())}):
            await self._run("lock_identity", entity)
        for entity, asked in outcome.asked.items():
            found = await self.matches(entity, list(asked))
            if {pair: list(ids) for pair, ids in asked.items() if ids} != found:
                raise IdentityMoved(f"another lane has created a {entity} that this batch looked for")

    async def _write_rekeyed(self, outcome: IngestOutcome) -> None:
        for each in outcome.rekeyed:
            await self._run("rekey", *each.old, each.row.key, each.position, each.open)
        for (system, stream), keys in _by_stream(outcome.arrived):
            await self._run("arrived", system, stream, text_array(keys))

    async def _write_records(self, records: Sequence[Record]) -> None:
        new = [new_record_row(record) for record in records if record.id not in self._loaded]
        old = [record for record in records if record.id in self._loaded]
        if new:
            await self._copy("copy_records", new)
        if old:
            await self._copy("copy_new_state", [new_state_row(record) for record in old])
            await self._run("update_records", plain_array(record.id for record in old))
            told = [record.id for record in old if record.id in self._noted]
            if told:
                await self._run("clear_notes", plain_array(told))

    async def _write_crosswalk(self, outcome: IngestOutcome) -> None:
        for (system, stream), keys in _by_stream(outcome.unlinks):
            await self._run("unlink", system, stream, text_array(keys))
        if not outcome.links:
            return
        linked = sorted(outcome.links)
        new = [link for link in linked if link[0] not in self._linked]
        known = [link for link in linked if link[0] in self._linked]
        if not await copied_links(self._connection, [link_row(*link) for link in new]):
            known = linked
        for (system, stream), pairs in groupby(known, lambda link: link[0][:2]):
            rows, records = zip(*pairs, strict=True)
            await self._run("link", system, stream, text_array([row.key for row in rows]), plain_array(records))
        for system, found in groupby(linked, lambda link: link[0].system):
            await self._run("wake", system, plain_array(sorted({record for _, record in found})))

    async def _write_match_keys(self, outcome: IngestOutcome) -> list[Duplicate]:
        known = [record for record in outcome.match_keys if record in self._loaded]
        if known:
            await self._run("forget_match_keys", plain_array(known))
        new: list[tuple[str, str, str, str]] = []
        old: list[tuple[str, str, str, str]] = []
        for record, (entity, pairs) in outcome.match_keys.items():
            rows = old if record in self._loaded else new
            rows += [(entity, name, value, record) for name, value in pairs]
        if new:
            await self._copy("copy_match_keys", [match_key_row(*row) for row in sorted(new)])
        if old:
            entities, names, values, records = zip(*sorted(old), strict=True)
            columns = (text_array(entities), text_array(names), text_array(values), plain_array(records))
            await self._run("add_match_keys", *columns)
        if known:
            await self._run("drop_duplicates", plain_array(known))
            await self._run("reconsider_alike", plain_array(known))
        found = await self._note_duplicates([*old, *_contestable(new, outcome)])
        if outcome.considered:
            seen = outcome.considered
            places = text_array([each.entity for each in seen]), text_array([each.key for each in seen])
            carried = text_array([each.value for each in seen])
            await self._run("considered", *places, carried, carried)
        return found

    async def _note_duplicates(self, written: Sequence[tuple[str, str, str, str]]) -> list[Duplicate]:
        if not written:
            return []
        entities, names, values, records = zip(*sorted(written), strict=True)
        columns = (text_array(entities), text_array(names), text_array(values), plain_array(records))
        found = {
            Duplicate(entity, name, tuple(sorted(ids)))
            for entity, name, *ids in await self._rows("note_duplicates", *columns)
        }
        return sorted(found)

    async def _write_marks(self, outcome: IngestOutcome) -> None:
        for query, marks in (("mark_dirty", outcome.dirty), ("mark_suspect", outcome.suspect)):
            for target, pairs in groupby(sorted(set(marks)), lambda mark: mark[0]):
                records = [record for _, record in pairs]
                for start in range(0, len(records), _MARKED):
                    some = plain_array(records[start : start + _MARKED])
                    await self._connection.execute(QUERIES[query], {"target": target, "records": some}, prepare=True)
        agreed = [pair for pair in outcome.agreed if pair[1] in self._loaded]
        if agreed:
            targets, ids = zip(*sorted(agreed), strict=True)
            asked = {"targets": text_array(targets), "ids": plain_array(ids)}
            await self._connection.execute(QUERIES["relieve"], asked, prepare=True)

    async def _write_set_aside(self, outcome: IngestOutcome) -> None:
        if outcome.released:
            await self._run("drop_set_aside", plain_array(map(str, outcome.released)))
        fresh = [_set_aside_columns(kept) for kept in outcome.set_aside if not kept.id]
        if fresh:
            await self._connection.cursor().executemany(QUERIES["set_aside"], fresh)
        for kept in outcome.set_aside:
            if kept.id:
                await self._run("keep_aside", kept.kind, kept.reason, *_awaits(kept), kept.id)
        if outcome.retried:
            await self._run("release_changes", sorted(set(outcome.retried)))
        if outcome.vacated:
            ids = plain_array(sorted(set(outcome.vacated)))
            await self._connection.execute(QUERIES["vacated"], {"ids": ids}, prepare=True)

    # --- statements ------------------------------------------------------------------------------------------

    async def _run(self, name: str, *values: object) -> None:
        await self._connection.execute(QUERIES[name], values, prepare=True)

    async def _rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(QUERIES[name], values, prepare=True)
        return await cursor.fetchall()

    async def _copy(self, name: str, rows: Sequence[Line]) -> None:
        await copied(self._connection, name, rows)


def _contestable(new: Sequence[tuple[str, str, str, str]], outcome: IngestOutcome) -> list[tuple[str, str, str, str]]:
    """Pairs of new records, without those that were looked for and that nobody carries but this one of them."""
    times = Counter(row[:3] for row in new)
    return [row for row in new if times[row[:3]] > 1 or outcome.asked.get(row[0], {}).get((row[1], row[2])) != ()]


def _by_stream(rows: Iterable[RowRef]) -> list[tuple[tuple[str, str], list[str]]]:
    """Keys by (system, stream), each once."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    keys: dict[str, None] = {}
    last: tuple[str, str] | None = None
    for system, stream, key in rows:
        if last is None or stream != last[1] or system != last[0]:  # mostly rows of one stream follow each other
            last = (system, stream)
            keys = found.setdefault(last, {})
        keys[key] = None
    return [(stream, list(keys)) for stream, keys in sorted(found.items())]


def _set_aside_columns(kept: SetAside) -> tuple[str | bool | None, ...]:
    payload = kept.payload.decode()
    return (*kept.row, kept.entity, kept.kind, kept.reason, kept.position, payload, kept.moves, *_awaits(kept))


def _awaits(kept: SetAside) -> tuple[str | None, ...]:
    """Candidates and the awaited row."""
    return (plain_array(kept.candidates), *(kept.awaits or (None, None, None)))
