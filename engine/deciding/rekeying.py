"""Rows that go on under another key: their links and what is known of them go with them."""

from __future__ import annotations

from fieldwarden.engine.change import Change, RowRef
from fieldwarden.engine.deciding.known import Known
from fieldwarden.engine.deciding.outcome import OutcomeBuilder


class Rekeying:
    """Works on what one batch knows, and gathers what it does in the batch's builder."""

    def __init__(self, known: Known, builder: OutcomeBuilder) -> None:
        self._known = known
        self._builder = builder
        self._displaced: dict[RowRef, str] = {}

    def rekey(self, change: Change, old: RowRef) -> None:
        """The row `old` goes on under the key of `change.row`, with its link and all that is known of it. A key that a
        deleted row had is taken over; one that a live row still has will be given up by that row's own change (a swap
        within one transaction).

        >>> from fieldwarden.engine.deciding.known import Tally
        >>> from fieldwarden.engine.record import Contribution, Record, Stamp
        >>> row = Contribution(*ACCOUNT, "1", Stamp("1", 1), {"phone": "555"})
        >>> known = Known({ACCOUNT: "0190-7"}, records={"0190-7": Record("0190-7", "customer", 1, {}, [row])})
        >>> builder = OutcomeBuilder(SCOPE, known, Tally())
        >>> Rekeying(known, builder).rekey(said(ACCOUNT._replace(key="C-2"), 2), ACCOUNT)
        >>> row.key, {row.key: record for row, record in known.links.items()}
        ('C-2', {'C-2': '0190-7'})
        """
        linked = self._displaced.pop(old, None) or self._known.links.get(old)
        if linked is None:
            return
        record = self._known.records[linked]
        row = record.row(old)
        taken = self._known.links.get(change.row)
        if taken is not None and change.row != old:
            there = self._known.records[taken].row(change.row)
            if there is not None and there.live and taken != linked:
                self._displaced[change.row] = taken
            elif there is not None and taken == linked:
                record.rows.remove(there)
        if self._known.links.get(old) == linked:
            self._builder.link(old, None)
        self._builder.link(change.row, linked)
        if row is not None:
            row.key = change.row.key
            self._builder.entry(record, change, "rekeyed", [], "", was=old.key)

    def take_key(self, change: Change) -> None:
        """As `rekey`, of a change that says nothing else. The row's next news may come from another partition, whose
        positions say nothing of this one's: whatever comes is newer then."""
        assert change.old_row is not None, "a rekey names the old key"
        self.rekey(change, change.old_row)
        self._builder.rekeyed(change.old_row, change)
        self._known.departed[change.old_row] = change.position
        self._known.next_keys[change.old_row] = change.row
        if not change.follows_rekey:
            return
        self._known.rekeyed.add(change.row)
        record = self._known.records.get(self._known.links.get(change.row, ""))
        if record is not None and (row := record.row(change.row)) is not None:
            row.said, row.lag = "", {}
