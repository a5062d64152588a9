"""Verify the ledger against itself and against the golden records, in bounded memory, while replication runs.

Two passes over one snapshot. Lane by lane in order of height: every entry's leaf, every block's Merkle root, count and
hash, every block's place in its chain (`engine.ledger.chain`). Then record by record in order of version: the fold
of its entries against the record as the hub holds it (`engine.ledger.replay`), which is also what shows that a lane's
tail was cut.
Acts of people are about no record: their lane is checked as a chain, their running numbers included.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, LiteralString

import msgspec
from psycopg import sql

from fieldwarden.engine.hub.reading import Connection
from fieldwarden.engine.ledger.chain import Block, Break, BreakKind, Chain, StoredEntry
from fieldwarden.engine.ledger.entries import NO_RECORD, PEOPLE, decode, decode_act
from fieldwarden.engine.ledger.replay import Fold, Mismatch

NAMED = 100
"""How many breaks are named unless the caller asks for more; all are counted."""
_PAGE = 2000
_numbers = itertools.count()
_golden = msgspec.json.Decoder(dict[str, str | None])

_BLOCKS: LiteralString = """
select height, previous, root, hash, rulebook, entries,
       case when isfinite(at) then (extract(epoch from at) * 1000000)::numeric(30, 0)::text end, leaves
from ledger_block where lane = %s order by height
"""
_ENTRIES: LiteralString = """
select height, ordinal, record::text, version, body
from ledger_entry where lane = %s order by height, ordinal
"""
_LANES: LiteralString = "select lane from ledger_block union select lane from ledger_entry order by 1"
_RECORDS: LiteralString = "select id::text, entity, version, retired, golden::text from record order by id"
_HISTORY: LiteralString = """
select record::text, version, lane, height, ordinal, body
from ledger_entry where lane <> %s order by record, version, lane, height, ordinal
"""


@dataclass(slots=True)
class LaneHead:
    """How far a lane goes. Noted elsewhere, height and hash show later that the lane was not cut below them."""

    lane: str
    blocks: int
    height: int
    hash: str


@dataclass(slots=True)
class VerifyReport:
    """What was read, and what of it is broken: `breaks` names the first ones, `broken` counts all."""

    ok: bool = True
    blocks: int = 0
    entries: int = 0
    decisions: int = 0
    acts: int = 0
    records: int = 0
    lanes: list[LaneHead] = field(default_factory=list)
    broken: int = 0
    breaks: list[Break] = field(default_factory=list)


async def verify(connection: Connection, *, named: int = NAMED) -> VerifyReport:
    """Check everything; name the first `named` breaks. `connection` is one of `reading.snapshot`."""
    report = VerifyReport()
    audit = _Audit(connection, report, named)
    await audit.chains()
    await audit.records()
    report.ok = report.broken == 0
    return report


class _Audit:
    """One run: the connection it reads and the report it fills."""

    def __init__(self, connection: Connection, report: VerifyReport, named: int) -> None:
        self._connection = connection
        self._report = report
        self._named = named

    def _note(self, breaks: Iterable[Break]) -> None:
        for each in breaks:
            self._report.broken += 1
            if len(self._report.breaks) < self._named:
                self._report.breaks.append(each)

    async def chains(self) -> None:
        lanes = await (await self._connection.execute(_LANES)).fetchall()
        for (lane,) in lanes:
            await self._lane(lane)

    async def _lane(self, lane: str) -> None:
        chain, report = Chain(lane), self._report
        async with (
            aclosing(stream(self._connection, sql.SQL(_BLOCKS), [lane])) as blocks,
            aclosing(_by_height(stream(self._connection, sql.SQL(_ENTRIES), [lane]))) as groups,
        ):
            group = await anext(groups, None)
            async for height, previous, root, hashed, rulebook, count, at, leaves in blocks:
                while group is not None and group[0] < height:
                    self._stray(chain, *group)
                    group = await anext(groups, None)
                found: list[StoredEntry] = []
                if group is not None and group[0] == height:
                    found = group[1]
                    group = await anext(groups, None)
                moment = None if at is None else int(at)
                block = Block(lane, height, previous, root, hashed, rulebook, count, moment, leaves)
                self._note(chain.take(block, found))
                if lane == PEOPLE:
                    self._acts(height, found)
                report.entries += len(found)
            while group is not None:
                self._stray(chain, *group)
                group = await anext(groups, None)
        report.blocks += chain.blocks
        if chain.blocks:
            report.lanes.append(LaneHead(lane, chain.blocks, chain.height, chain.head.hex()))

    def _stray(self, chain: Chain, height: int, entries: list[StoredEntry]) -> None:
        self._report.entries += len(entries)
        self._note(chain.stray(height, entries))

    def _acts(self, height: int, entries: list[StoredEntry]) -> None:
        for entry in entries:
            self._report.acts += 1
            place = Break("replay", "", PEOPLE, height, entry.ordinal)
            if entry.version != self._report.acts or entry.record != NO_RECORD:
                words = f"it should be act {self._report.acts}, and about no record"
                self._note([_break("replay", place, Mismatch("gap", "", words), "")])
            try:
                decode_act(entry.body)
            except msgspec.MsgspecError:
                finding = Mismatch("gap", "", f"act {entry.version} cannot be read")
                self._note([_break("entry_altered", place, finding, "")])

    async def records(self) -> None:
        """Walk histories and records side by side, both in order of the record's id."""
        async with (
            aclosing(stream(self._connection, sql.SQL(_RECORDS), [])) as records,
            aclosing(stream(self._connection, sql.SQL(_HISTORY), [PEOPLE])) as history,
        ):
            record = await anext(records, None)
            told: str | None = None
            fold = Fold()
            async for id, version, lane, height, ordinal, body in history:
                if id != told:
                    record = await self._finish(told, fold, record, records)
                    told, fold = id, Fold()
                self._apply(fold, Break("replay", "", lane, height, ordinal, id), version, body)
            record = await self._finish(told, fold, record, records)
            while record is not None:
                self._compare(Fold(), record)
                record = await anext(records, None)

    async def _finish(
        self, told: str | None, fold: Fold, record: tuple[Any, ...] | None, records: AsyncIterator[tuple[Any, ...]]
    ) -> tuple[Any, ...] | None:
        """The history of `told` has ended: compare it, and the records before it, which have none."""
        if told is None:
            return record
        while record is not None and record[0] < told:
            self._compare(Fold(), record)
            record = await anext(records, None)
        if record is None or record[0] != told:
            words = f"the ledger holds {fold.version} entries about it, but there is no such record"
            self._note([Break("record_missing", words, record=told, entity=fold.entity)])
            return record
        self._compare(fold, record)
        return await anext(records, None)

    def _apply(self, fold: Fold, place: Break, version: int, text: str) -> None:
        try:
            body = decode(text)
        except msgspec.MsgspecError:
            words = f"entry {version} of the record cannot be read"
            self._note([_break("entry_altered", place, Mismatch("gap", "", words), "")])
            self._note(_break("replay", place, finding, "") for finding in fold.skip(version))
            return
        self._report.decisions += len(body.decisions)
        findings = fold.apply(version, body)
        if findings:
            self._note(_break("replay", place, finding, body.entity) for finding in findings)

    def _compare(self, fold: Fold, record: tuple[Any, ...]) -> None:
        id, entity, version, retired, text = record
        self._report.records += 1
        place = Break("record_differs", "", record=id)
        try:
            golden = _golden.decode(text)
        except msgspec.MsgspecError:
            finding = Mismatch("golden", "", "its golden values cannot be read")
            self._note([_break("record_differs", place, finding, entity)])
            return
        findings = fold.compare(entity, version, golden, retired)
        if findings:
            self._note(_break("record_differs", place, finding, entity) for finding in findings)


def _break(kind: BreakKind, place: Break, finding: Mismatch, entity: str) -> Break:
    return Break(kind, finding.words, place.lane, place.height, place.ordinal, place.record, entity, finding.field)


async def stream(
    connection: Connection, query: sql.SQL | sql.Composed, parameters: list[Any]
) -> AsyncGenerator[tuple[Any, ...], None]:
    """The rows of a query through a server-side cursor: never more than a page of them in memory."""
    async with connection.cursor(f"reading_{next(_numbers)}") as cursor:
        cursor.itersize = _PAGE
        await cursor.execute(query, parameters)
        async for row in cursor:
            yield row


async def _by_height(rows: AsyncIterator[tuple[Any, ...]]) -> AsyncGenerator[tuple[int, list[StoredEntry]], None]:
    height: int | None = None
    group: list[StoredEntry] = []
    async for at, ordinal, record, version, body in rows:
        if at != height:
            if height is not None:
                yield height, group
            height, group = at, []
        group.append(StoredEntry(ordinal, record, version, body.encode()))
    if height is not None:
        yield height, group
