"""What is set aside of the rows that a batch speaks of, and what a newer word of such a row does to it.

A change that cannot be decided blocks its row: what comes later waits behind it. That ends when the change goes
through, when a person discards it, or when a newer image tells of the whole row, so that the older one has nothing left
to say: then it is dropped, and the ledger says so. A change of which only single values cannot be read blocks nothing;
it is kept ("unreadable") until a newer word on those fields can be read.
"""

from __future__ import annotations

from collections.abc import Iterable

from fieldwarden.engine.change import Change, RowRef, behind
from fieldwarden.engine.deciding.identity import Ambiguous
from fieldwarden.engine.deciding.known import Known, Mapped
from fieldwarden.engine.deciding.outcome import OutcomeBuilder
from fieldwarden.engine.deciding.scope import Scope
from fieldwarden.engine.deciding.unreadable import has_say
from fieldwarden.engine.ports.aside import FOR_ANOTHER, Letter, SetAsideKind
from fieldwarden.engine.record import Contribution, Record

_BEHIND = "an earlier change of this row is set aside"


class Letters:
    """The letters of one batch's rows, those that the hub has and those that the batch itself adds."""

    def __init__(self, scope: Scope, known: Known, builder: OutcomeBuilder) -> None:
        self._scope = scope
        self._known = known
        self._builder = builder
        self._new: dict[RowRef, list[Letter]] = {}
        self._gone: set[int] = set()
        self._freed: set[RowRef] = set()

    def place(self, mapped: Mapped) -> None:
        """Give what was seen of a row, at no position of its own (`Observation`), one behind all that is known of it.
        What is set aside keeps it: by the time it is tried again there may be news."""
        change, row = mapped.change, mapped.row
        if change is None or not change.observation or change.position or change.operation == "delete":
            return
        record = self._known.records.get(self._known.links.get(row, ""))
        said = record.row(row) if record is not None else None
        known = [letter.position for letter in (*self._stored(row), *self._new.get(row, ()))]
        known += [self._known.departed.get(row, ""), *((said.said, said.deleted or "") if said is not None else ())]
        change.position = mapped.raw.position = behind(max(known))

    def block(self, mapped: Mapped) -> bool:
        """True if an earlier change of the row, also under its former key, is still set aside, so that this one has to
        wait behind it."""
        row = mapped.row
        if not self._known.letters and not self._new:
            return False
        if _any_blocks(self._new.get(row, ())) or (not mapped.release and _any_blocks(self._stored(row))):
            return True
        old = mapped.change.old_row if mapped.change is not None else None
        if old is None or old == row:  # a rekey that is tried again must not stand in its own way
            return False
        return _any_blocks(self._new.get(old, ())) or (old not in self._freed and _any_blocks(self._stored(old)))

    def are_pointless(self, mapped: Mapped, latest: int) -> bool:
        """True if this change leaves the row's earlier letters nothing to say: it is newer (or the same, told again),
        its time is no later than `latest` (µs since 1970 UTC), and it tells of every field, or that the row is gone. A
        row's change of key is never skipped."""
        change = mapped.change
        if change is None or change.operation == "rekey" or change.old_row is not None or change.follows_rekey:
            return False
        if not self._scope.ordered or is_ahead(change, latest):
            return False
        if change.operation == "upsert" and self._only_held(mapped, change):
            return True
        if change.echo:  # it is no newer word of the row: what its people said before is only in the letters
            return False
        if change.operation == "upsert" and not self._is_whole(change):
            return False
        vanished = change.operation == "delete" and change.observation
        before = self._before(mapped)
        return all((vanished or letter.position <= change.position) and not letter.moves for letter in before)

    def _only_held(self, mapped: Mapped, change: Change) -> bool:
        """Whether only an older deletion that is held blocks the row: whoever wrote it, it is there again."""
        before = self._before(mapped)
        return bool(before) and all(letter.kind == "brake" and letter.position < change.position for letter in before)

    def hold(self, mapped: Mapped) -> bool:
        """True if this deletion waits for a person's answer. It is set aside now, unless one of its row is so
        already."""
        if mapped.release or (not mapped.held and not self._known.letters and not self._new):
            return False
        letters = (*self._stored(mapped.row), *self._new.get(mapped.row, ()))
        if any(letter.kind == "brake" for letter in letters):
            return True
        if mapped.held:
            self.add(mapped, "brake", mapped.held)
        return bool(mapped.held)

    def _is_whole(self, change: Change) -> bool:
        stream = self._scope.streams[change.row.stream]
        return change.states(stream.fields) and (stream.parent is None or change.parent is not None)

    def add(
        self,
        mapped: Mapped,
        kind: SetAsideKind,
        reason: str,
        *,
        awaits: RowRef | None = None,
        candidates: tuple[str, ...] = (),
    ) -> None:
        """Set a change aside, with the reason for people and the row that it `awaits`.

        A change that waits for another row lets go of earlier bad data of its row, which it makes pointless. A change
        of an excluded row lets go of all that was before it, so that only the newest image waits; so does one that is
        told again of its own earlier letter. Where anything else stands before it, it waits behind that."""
        if kind in FOR_ANOTHER and (before := self._before(mapped)):
            again = all(letter.position == mapped.raw.position for letter in before)
            # It is newer (or the same) and whole, or it would wait behind.
            replaces = (kind == "excluded" or again) and not mapped.release
            if not replaces and any(letter.kind != "data" for letter in before):
                kind, reason, awaits, candidates = "behind", _BEHIND, None, ()
            else:
                self._drop(mapped, before, None)
        raw = mapped.raw
        moves = raw.operation == "rekey" or raw.old_values is not None or raw.follows_rekey
        self._new.setdefault(mapped.row, []).append(Letter(mapped.release, kind, raw.position, moves, awaits))
        self._builder.set_aside(mapped, kind, reason, awaits=awaits, candidates=candidates, moves=moves)

    def doubt(self, mapped: Mapped, change: Change, found: Ambiguous) -> None:
        """Set a change aside until a steward says which record its row stands for. What is suspicious is told once in
        the ledger of each record that it claims, and counted."""
        kind: SetAsideKind = "suspicious" if found.suspicious else "ambiguous"
        told = (*self._stored(mapped.row), *self._new.get(mapped.row, ()))
        news = not mapped.release and all(letter.kind != kind for letter in told)
        self.add(mapped, kind, found.reason, candidates=found.candidates)
        if found.suspicious and news:
            for id in found.candidates:
                self._builder.claimed(self._known.records[id], change, found.suspicious)

    def awaited(self, row: RowRef) -> RowRef | None:
        """The row of the same stream that this row is to be, as its newest letter that names one says. None if none
        does."""
        letters = (*self._stored(row), *self._new.get(row, ()))
        named = [letter.merges for letter in letters if letter.merges is not None and letter.merges[:2] == row[:2]]
        return named[-1] if named else None

    def retry(self, row: RowRef, kinds: tuple[SetAsideKind, ...] = ("data",)) -> None:
        """Let the row's letters of these kinds be tried again: it stands in a circle of merged rows of which another is
        merged no more ("data"), or it could not be told from a row that is to be this very one (`FOR_A_STEWARD`)."""
        for letter in self._stored(row):
            if letter.kind in kinds and (letter.kind != "data" or letter.awaits is not None):
                self._builder.retry(letter.id)

    def wait_behind(self, mapped: Mapped) -> None:
        """Set a change aside because an earlier one of its row is."""
        self.add(mapped, "behind", _BEHIND)

    def concern(self, mapped: Mapped, change: Change) -> bool:
        """True if `decided` has anything to do, which is nearly never."""
        return bool(mapped.release or change.unreadable or self._known.letters or self._new)

    def decided(
        self, mapped: Mapped, change: Change, record: Record | None, row: Contribution | None, *, known: bool
    ) -> None:
        """The change went through. Letters that it makes pointless go, and one is kept of what could not be read in it.

        `record` and `row` are what it was decided for (None: nobody knows the row). `known`: its row was linked before,
        so that a delivery to it may have been parked because of the letter."""
        if self.block(mapped):
            self._drop(mapped, self._before(mapped), record)
            if record is None and change.operation == "delete":
                # Nobody has ever known the row. What it said before it was deleted may be told again from the start,
                # when the parent that it waited for has come: it is past then, and must not bring the row to life.
                self._builder.gone(change)
        kept = self._keep_unreadable(mapped, change, record, row)
        if not kept:
            self.outdated(mapped)
            if mapped.release and record is not None and known:
                self._builder.make_dirty_in(record, mapped.row.system)

    def outdated(self, mapped: Mapped) -> None:
        """The change has nothing to say, or has been decided. If it was set aside, it is so no longer."""
        if mapped.release:
            self._freed.add(mapped.row)
            self._gone.add(mapped.release)
            self._builder.released(mapped.release)

    def _keep_unreadable(self, mapped: Mapped, change: Change, record: Record | None, row: Contribution | None) -> bool:
        """True if a letter of this change is to be seen from now on."""
        older = self._unreadable(mapped)
        if not change.unreadable and not older:
            return False
        unread = {} if record is None or row is None else self._unread(record, row)
        stated = [name for name in unread if name in change.unreadable]
        newest = all(letter.position < change.position for letter in older)
        if stated and (newest or mapped.release):
            name = stated[0]
            self.add(mapped, "unreadable", f"{change.row.stream}, field {name}: {change.unreadable[name]}")
            if newest and not mapped.release and len(stated) == len(unread):
                self._drop(mapped, older, None)
            return True
        if not unread:
            self._drop(mapped, older, record)
        return False

    def _unread(self, record: Record, row: Contribution) -> dict[str, str]:
        """The fields of a row that a person has to mend: others are corrected anyway."""
        if row.deleted is not None:
            return {}
        units = self._scope.entities[record.entity].unit_of
        return {
            name: why
            for name, why in row.unreadable.items()
            if name in units and has_say(units[name], row.system, record.rows)
        }

    def _unreadable(self, mapped: Mapped) -> list[Letter]:
        letters = [letter for row in _rows(mapped) for letter in (*self._stored(row), *self._new.get(row, ()))]
        return [letter for letter in letters if not letter.blocks and not 0 < letter.id == mapped.release]

    def _stored(self, row: RowRef) -> list[Letter]:
        letters = self._known.letters.get(row)
        return [letter for letter in letters if letter.id not in self._gone] if letters else []

    def _before(self, mapped: Mapped) -> list[Letter]:
        """The letters that block the row and stand before this change."""
        new = self._new.get(mapped.row, [])
        again = {letter.id for letter in new}
        letters = [letter for letter in self._stored(mapped.row) if letter.id not in again] + new
        release = mapped.release
        return [letter for letter in letters if letter.blocks and (not release or letter.id < release)]

    def _drop(self, mapped: Mapped, letters: Iterable[Letter], record: Record | None) -> None:
        """Let go of letters that a newer word makes pointless, in the same commit; `record` is told of it."""
        rows, dropped, stored = _rows(mapped), list(letters), list[str]()
        for letter in dropped:
            self._builder.withdraw(rows, letter)
            if letter.id:
                self._gone.add(letter.id)
                stored.append(str(letter.id))
        for row in rows:
            if row in self._new:
                self._new[row] = [letter for letter in self._new[row] if letter not in dropped]
        if stored and record is not None and mapped.change is not None:
            self._builder.entry(record, mapped.change, "mended", [], "", was=", ".join(stored))
            self._builder.make_dirty_in(record, mapped.row.system)


def is_ahead(change: Change, latest: int) -> bool:
    """True if the source's clock puts the change after `latest` (µs since 1970 UTC). Our own write has no clock of its
    own, so an echo is never ahead.

    >>> is_ahead(Change(RowRef("crm", "account", "1"), "customer", "upsert", "7", 2000), latest=1000)
    True
    """
    return change.at is not None and change.at > latest and not change.echo


def _rows(mapped: Mapped) -> tuple[RowRef, ...]:
    """The row of a change, and the same row under its former key."""
    old = mapped.change.old_row if mapped.change is not None else None
    return (mapped.row,) if old is None or old == mapped.row else (mapped.row, old)


def _any_blocks(letters: Iterable[Letter]) -> bool:
    return any(letter.blocks for letter in letters)
