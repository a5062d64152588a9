"""One pass over a system's rows and the hub's rows of it, both by key: what `check` is made of.

Live traffic goes on meanwhile, and the two sides are not seen at the same moment. So what differs without a reason is
looked at once more, a page at a time: only what still stands there as it did, while the system has no change that was
not read, is called unknown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from fieldwarden.engine.change import RawChange, RowRef, Value
from fieldwarden.engine.checking.agreement import Disagreement, Judge, Noted
from fieldwarden.engine.checking.seen import Seeing, Seen
from fieldwarden.engine.deciding.joining import follow, named, referring
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.hub.views.linked import PAGE, Linked
from fieldwarden.engine.record import Record
from fieldwarden.rules.rulebook import Rulebook, Stream

if TYPE_CHECKING:
    from fieldwarden.engine.ports.looks import Looking

Told = Callable[[Disagreement, Record | None], None]
"""Takes every finding that is final, with its record."""
MOVED = "it changed while it was looked at"
_NOTHING = "", ""
"""Nothing of a row is set aside."""


@dataclass
class FieldTally:
    compared: int = 0
    differ: int = 0


@dataclass
class Tally:
    """What was looked at in one stream. `rows` are those compared; `whole` says that the pass came to its end."""

    system: str
    stream: str
    entity: str
    rows: int = 0
    retired: int = 0
    whole: bool = False
    fields: dict[str, FieldTally] = field(default_factory=dict)

    @property
    def values(self) -> int:
        return sum(each.compared for each in self.fields.values())


class _Pair(NamedTuple):
    """A row of the system, of the hub, or of both."""

    key: str
    seen: Seen | None
    record: str | None


class _Judged(NamedTuple):
    pair: _Pair
    record: Record | None
    findings: list[Disagreement]


class Comparing:
    """One stream's pass: `looking` reads its rows, `again` those that are looked at once more. `unheard` is asked, if
    anything differs without a reason, why changes of the system may not have been read."""

    def __init__(
        self,
        rulebook: Rulebook,
        stream: Stream,
        looking: Looking,
        again: Looking,
        linked: Linked,
        unheard: Callable[[], Awaitable[str]],
        told: Told,
    ) -> None:
        self.tally = Tally(stream.system, stream.name, stream.entity, fields={n: FieldTally() for n in stream.fields})
        self._stream = stream
        self._entity = rulebook.entities[stream.entity]
        self._referring = referring({stream.entity: self._entity}).get(stream.entity, ())
        self._judge = Judge(rulebook, stream, TargetPlan(rulebook, stream.system))
        self._looking = looking
        self._again = again
        self._linked = linked
        self._unheard = unheard
        self._told = told
        self._unread: str | None = None

    async def run(self) -> None:
        """Raises FieldwardenError; what was counted until then stays counted."""
        relation = self._looking.relation(self._stream)
        self._relation, self._seeing = relation, Seeing(self._stream, self._entity, relation)
        suspects: list[_Judged] = []
        page: list[_Pair] = []
        async with aclosing(self._pairs()) as pairs:
            async for pair in pairs:
                page.append(pair)
                if len(page) == PAGE:
                    suspects += await self._first_look(page)
                    page = []
                if len(suspects) >= PAGE:
                    await self._second_look(suspects)
                    suspects = []
        suspects += await self._first_look(page)
        if suspects:
            await self._second_look(suspects)
        self.tally.whole = True

    async def _pairs(self) -> AsyncGenerator[_Pair, None]:
        """Both sides merged: a row that is in both comes once."""
        async with (
            aclosing(self._looking.rows(self._stream, self._relation)) as pages,
            aclosing(self._linked.rows(self._stream.system, self._stream.name)) as links,
        ):
            rows = self._seen(pages)
            row, link = await anext(rows, None), await anext(links, None)
            while row is not None or link is not None:
                if link is None or (row is not None and (row.nameless or row.key < link[0])):
                    assert row is not None
                    yield _Pair(row.key, row, None)
                    row = await anext(rows, None)
                elif row is None or link[0] < row.key:
                    yield _Pair(link[0], None, link[1])
                    link = await anext(links, None)
                else:
                    yield _Pair(row.key, row, link[1])
                    row, link = await anext(rows, None), await anext(links, None)

    async def _seen(self, pages: AsyncIterator[list[RawChange]]) -> AsyncGenerator[Seen, None]:
        async for page in pages:
            for raw in page:
                seen = self._seeing(raw)
                if seen is not None:
                    yield seen

    # --- looks -----------------------------------------------------------------------------------------------

    async def _first_look(self, page: Collection[_Pair]) -> list[_Judged]:
        """Count what is compared and final; what is not."""
        suspects = []
        for judged in await self._judged(page):
            if judged.pair.seen is not None and judged.record is not None:
                self._count(judged.record)
            if any(finding.why == "unknown" for finding in judged.findings):
                suspects.append(judged)
            else:
                self._tell(judged)
        return suspects

    async def _second_look(self, suspects: list[_Judged]) -> None:
        """The rows and records as they are now: what is still the same, and was heard of, is unknown."""
        if self._unread is None:
            # Asked once: what did not change between the looks was there when the pass began, and so before this.
            self._unread = await self._unheard()
        keys = [judged.pair.key for judged in suspects]
        there = {}
        for raw in await self._again.again(self._stream, self._relation, keys):
            seen = self._seeing(raw)
            if seen is not None:
                there[seen.key] = seen
        await self._linked.anew()
        refs = [RowRef(self._stream.system, self._stream.name, key) for key in keys]
        links = await self._linked.links(refs)
        pairs = [_Pair(ref.key, there.get(ref.key), links.get(ref)) for ref in refs]
        for before, judged in zip(suspects, await self._judged(pairs), strict=True):
            stood = {_same(finding) for finding in before.findings}
            findings = [_final(finding, stood, self._unread) for finding in judged.findings]
            self._tell(judged._replace(findings=findings))

    async def _judged(self, page: Collection[_Pair]) -> list[_Judged]:
        system, stream = self._stream.system, self._stream.name
        records = await self._linked.records({pair.record for pair in page if pair.record is not None})
        await self._follow(list(records.values()))
        await self._translate([pair.seen for pair in page if pair.seen is not None])
        found = [self._verdict(pair, records, None, _NOTHING) for pair in page]
        odd = [judged.pair for judged in found if judged.findings]
        if not odd:
            return found
        marks = await self._linked.marks(system, {pair.record for pair in odd if pair.record is not None})
        aside = await self._linked.aside(system, stream, [pair.key for pair in odd])
        if not marks and not aside:
            return found
        return [
            self._verdict(each.pair, records, marks.get(each.pair.record or ""), aside.get(each.pair.key, _NOTHING))
            if each.findings
            else each
            for each in found
        ]

    async def _follow(self, records: Collection[Record]) -> None:
        """What refers to a record that was joined to another means that one, though nothing has been decided since."""
        referred = {id for record in records for id in named(record, self._referring)} if self._referring else set()
        joined = await self._linked.joined(referred) if referred else {}
        for record in records if joined else ():
            follow(record, self._referring, joined)

    async def _translate(self, rows: Collection[Seen]) -> None:
        """References become the records that they mean."""
        wanted = {row for seen in rows for row in seen.references.values()}
        if wanted:
            records = await self._linked.links(wanted)
            for seen in rows:
                seen.resolve(records)

    def _verdict(self, pair: _Pair, records: dict[str, Record], mark: Noted | None, kept: tuple[str, str]) -> _Judged:
        """`kept`: why a change of the row is set aside, and as what kind."""
        record, (aside, kind) = records.get(pair.record or ""), kept
        if pair.seen is None:
            gone = self._judge.gone(pair.key, record, mark, aside) if record is not None else None
            return _Judged(pair, record, [gone] if gone is not None else [])
        if record is None:
            return _Judged(pair, None, [self._judge.stranger(pair.seen, aside, excluded=kind == "excluded")])
        return _Judged(pair, record, self._judge.there(pair.seen, record, mark, aside))

    # --- counting --------------------------------------------------------------------------------------------

    def _count(self, record: Record) -> None:
        if record.retired:
            self.tally.retired += 1
            return
        self.tally.rows += 1
        for name in self.tally.fields:
            self.tally.fields[name].compared += 1

    def _tell(self, judged: _Judged) -> None:
        for finding in judged.findings:
            if finding.field in self.tally.fields:
                self.tally.fields[finding.field].differ += 1
            self._told(finding, judged.record)


def _same(finding: Disagreement) -> tuple[str, Value, Value]:
    return finding.field, finding.holds, finding.golden


def _final(finding: Disagreement, stood: set[tuple[str, Value, Value]], unread: str) -> Disagreement:
    if finding.why != "unknown":
        return finding
    if _same(finding) not in stood:
        return replace(finding, why="in flight", words=MOVED)
    if finding.unheard and unread:
        return replace(finding, why="in flight", words=unread)
    return finding
