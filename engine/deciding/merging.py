"""Rows that their own system merges into others (`merged_into`): the record of one is joined to that of the other.

The merged row stays behind in its system as a husk: it is linked to the record that goes on, so that what refers to it
is found, and says nothing and receives nothing any more. Nobody asks the match keys, since the system itself says that
both are one; but a join that would give a record two rows of another system is a steward's, and one of records that
differ in a key which only another system may give is suspicious.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from fieldwarden.engine.change import Change, RowRef
from fieldwarden.engine.deciding.alike import Alike
from fieldwarden.engine.deciding.contribution import become, begin
from fieldwarden.engine.deciding.identity import Ambiguous, Claim, Found, identify, keeper, match_pairs
from fieldwarden.engine.deciding.joining import join, obstacle, parting, split
from fieldwarden.engine.deciding.known import Known, Mapped
from fieldwarden.engine.deciding.letters import Letters
from fieldwarden.engine.deciding.outcome import OutcomeBuilder
from fieldwarden.engine.deciding.plural import parent_of
from fieldwarden.engine.deciding.reresolve import redecided
from fieldwarden.engine.deciding.resolve import choose, retired
from fieldwarden.engine.deciding.scope import Scope
from fieldwarden.engine.ports.aside import FOR_A_STEWARD
from fieldwarden.engine.record import Contribution, Record


class Merging:
    """Follows merged rows while one batch is decided. Works on what the batch knows, and gathers what it does in the
    batch's builder."""

    def __init__(
        self,
        scope: Scope,
        known: Known,
        builder: OutcomeBuilder,
        letters: Letters,
        alike: Alike,
        new_id: Callable[[], str],
    ) -> None:
        self._scope = scope
        self._known = known
        self._builder = builder
        self._letters = letters
        self._alike = alike
        self._new_id = new_id
        self._now_itself: RowRef | None = None

    def merge(self, mapped: Mapped, change: Change, named: RowRef) -> bool:
        """The row is `named` by now: its record joins that of `named`, and what is left of it says nothing any more.
        False if the change had to be set aside: that row is not known yet, a steward has to decide, or the rows name
        each other in a circle."""
        known, linked = self._known, self._known.links.get(change.row)
        row = known.records[linked].row(change.row) if linked is not None else None
        if row is not None and change.position <= row.said:
            return True
        if around := self._circle(change.row, named):
            self._break(mapped, change, named, around)
            return False
        self.is_itself(change)
        target = known.record_of(named)
        if target is None:
            kind, reason = self._unknown(change)
            self._letters.add(mapped, kind, reason, awaits=named)
            if row is not None and row.deleted is None and linked is not None:
                row.merged = named.key  # so that it does not stand in that one's way, which may be its very record
                self._builder.store(known.records[linked])
                self._letters.retry(named, FOR_A_STEWARD)
            return False
        record, home = known.records[target], self._home(mapped, change, row, target)
        if isinstance(home, Ambiguous):
            self._letters.doubt(mapped, change, home)
            return False
        if home is not record and (doubt := self._doubt(change, home, record)):
            self._letters.doubt(mapped, change, doubt)
            return False
        change.fields = known.translated(change)
        self._absorb(change, named, row, home, record)
        return True

    def _absorb(self, change: Change, named: RowRef, row: Contribution | None, home: Record, record: Record) -> None:
        """The row of `home` (None: it is new) is a husk of `record` from now on, and all of `home` is in that."""
        entity, roots, how = self._scope.entities[record.entity], self._roots(record), ""
        news = row is None or row.merged != named.key or row.deleted is None
        if row is None:
            row, how = begin(change), "merged_into"
            home.rows.append(row)
            self._builder.link(change.row, home.id)
        become(row, change, named.key, self._scope.owned[record.entity], record.golden)
        if news:
            self._builder.vacated(home, record)
        if home is not record:
            former = [each.ref for each in home.rows], self._builder.pairs(home)
            self._builder.joined(record, home, former, join(entity, roots, record, home), change)
        decisions = redecided([(unit, choose(unit, record.rows)) for unit in entity.units], record, "joined")
        now = retired(entity, roots, record.rows)
        flipped = now if now != record.retired else None
        record.retired = now
        if news or decisions or flipped is not None:
            self._builder.entry(record, change, "replaced", decisions, how, was=named.key, retired_=flipped)
        self._builder.after(record)
        self._alike.found_anew(entity, record, change)

    def is_itself(self, change: Change) -> None:
        """The row is no more what it was said to be. What stood in a circle with it is merged now, or tried again."""
        row = self._contribution(change.row)
        each = self._letters.awaited(change.row)
        if row is not None and row.merged:
            each = each or row.ref._replace(key=row.merged)
            if row.deleted is None:
                row.merged = ""
                self._builder.store(self._known.records[self._known.links[change.row]])
        path: list[RowRef] = []
        while each is not None and each != change.row and each not in path:
            path.append(each)
            self._letters.retry(each)
            each = self.next(each)
        self._now_itself = change.row  # its letters are yet to go
        for other in reversed(path):
            self._resume(other)
        self._now_itself = None

    def _resume(self, row: RowRef) -> None:
        """Merge a row that was left alone because of a circle, if there is none any more."""
        said = self._contribution(row)
        if said is None or not said.merged or said.deleted is not None:
            return
        named, known = row._replace(key=said.merged), self._known
        target = known.record_of(named)
        if target is None or self._circle(row, named):
            return
        home, record = known.records[known.links[row]], known.records[target]
        if home is not record and not obstacle([record, home], self._roots(record), known.apart, but=row):
            self._absorb(Change(row, record.entity, "upsert", said.said, None), named, said, home, record)

    def part(self, row: Contribution, record: Record) -> Record:
        """A husk stands for itself again. Gives the record that it has of its own from now on, with its child rows and
        with the rows that were merged into it."""
        entity = self._scope.entities[record.entity]
        other = Record(self._new_id(), record.entity, 0, {}, [])
        self._known.records[other.id] = other
        row.deleted = None
        done = split(entity, self._roots(record), record, other, self._below(record, row))
        self._builder.split(record, other, done)
        return other

    def next(self, row: RowRef) -> RowRef | None:
        """The row that this one is by now, or is to be once that is known, as its system says. None if it is itself.

        >>> from fieldwarden.engine.deciding.known import Tally
        >>> from fieldwarden.engine.record import Stamp
        >>> husk = Contribution(*ACCOUNT, "1", Stamp("1", 1), {}, merged="C-2")
        >>> known = Known({ACCOUNT: "0190-7"}, records={"0190-7": Record("0190-7", "customer", 1, {}, [husk])})
        >>> builder = OutcomeBuilder(SCOPE, known, Tally())
        >>> letters, alike = Letters(SCOPE, known, builder), Alike(SCOPE, known, builder)
        >>> merging = Merging(SCOPE, known, builder, letters, alike, lambda: "0190-8")
        >>> merging.next(ACCOUNT).key, merging.next(SUBSCRIBER)
        ('C-2', None)
        """
        if row != self._now_itself and (awaited := self._letters.awaited(row)) is not None:
            return awaited
        said = self._contribution(row)
        return row._replace(key=said.merged) if said is not None and said.merged else None

    # --- parts -----------------------------------------------------------------------------------------------

    def _roots(self, record: Record) -> frozenset[tuple[str, str]]:
        return self._scope.roots[record.entity]

    def _contribution(self, row: RowRef) -> Contribution | None:
        record = self._known.records.get(self._known.links.get(row, ""))
        return None if record is None else record.row(row)

    def _unknown(self, change: Change) -> tuple[Literal["merge", "excluded"], str]:
        stream = self._scope.streams[change.row.stream]
        if stream.where is not None:
            return "excluded", f"it is merged into a row of {stream.name} that `where` excludes, or is not known yet"
        return "merge", f"it is merged into a row of {stream.name} that is not known yet"

    def _doubt(self, change: Change, home: Record, record: Record) -> Ambiguous | None:
        """Why a steward has to say whether the row's record is to be joined to that of the row named."""
        system, stream, _ = change.row
        claim: Claim | Literal[""] = ""
        why = obstacle([record, home], self._roots(record), self._known.apart, but=change.row)
        entity = self._scope.entities[record.entity]
        if not why and (key := parting(entity, *(dict(match_pairs(entity, each.golden)) for each in (home, record)))):
            owner = keeper(entity, key, system)
            why, claim = f"they differ in {key}, which only {owner} may give" if owner else "", "merge"
        if not why:
            return None
        reason = f"{system} merges this row of {stream} into another, but {why}: mend that, then retry"
        return Ambiguous((home.id, record.id), reason, claim)

    def _home(self, mapped: Mapped, change: Change, row: Contribution | None, target: str) -> Record | Ambiguous:
        """The record that is to be joined to that of the row named: the row's own; of one never read the record of
        other systems' rows that state its match keys, as if it had been read before it was merged. What it claims and
        is not believed is for a steward."""
        known, linked = self._known, self._known.links.get(change.row)
        if row is not None and linked is not None:
            record = known.records[linked]
            return self.part(row, record) if row.husk and linked != target else record
        entity = self._scope.entities[change.entity]
        pairs, matches = known.stated(entity, mapped, change), known.matches.get(entity.name, {})
        roots = self._scope.roots[entity.name]
        found = identify(entity, change.row, change.external_id, pairs, matches, known.records, (), roots, change.echo)
        if isinstance(found, Ambiguous) and found.suspicious:
            return found
        return known.records[found.record if isinstance(found, Found) else target]

    def _circle(self, row: RowRef, named: RowRef) -> list[RowRef]:
        """The rows from the one named on to `row` itself; none if they do not lead there."""
        path: list[RowRef] = []
        each: RowRef | None = named
        while each is not None and each not in path:
            path.append(each)
            if each == row:
                return path
            each = self.next(each)
        return []

    def _break(self, mapped: Mapped, change: Change, named: RowRef, around: list[RowRef]) -> None:
        """None of them is merged: those that were stand for themselves again."""
        stream = self._scope.streams[change.row.stream]
        columns = ", ".join(stream.merged_into)
        reason = (
            f"{len(around)} rows of {stream.name} are merged into one another in a circle, this one among them: "
            f"none of them is merged; clear {columns} in one of them in {stream.system}"
        )
        self._letters.add(mapped, "data", reason, awaits=named)
        for each in around:
            row = self._contribution(each)
            if row is not None and row.husk:
                self.part(row, self._known.records[self._known.links[each]])

    def _below(self, record: Record, row: Contribution) -> set[RowRef]:
        found: set[RowRef] = set()
        more = {row.ref}
        while more:
            found |= more
            more = {each.ref for each in record.rows if each.ref not in found and self._hangs(each, found)}
        return found

    def _hangs(self, row: Contribution, rows: set[RowRef]) -> bool:
        if row.husk:
            return row.ref._replace(key=row.merged) in rows
        return bool(row.under) and parent_of(row, self._scope.above) in rows
