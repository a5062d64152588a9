"""Records found to be one in the midst of deciding: joined by themselves, and followed by what refers to them."""

from __future__ import annotations

from collections.abc import Collection

from fieldwarden.engine.change import Change
from fieldwarden.engine.deciding.joining import contradiction, follow, join, named
from fieldwarden.engine.deciding.known import Known
from fieldwarden.engine.deciding.outcome import OutcomeBuilder
from fieldwarden.engine.deciding.scope import Scope
from fieldwarden.engine.ports.hub import MANY_ALIKE
from fieldwarden.engine.record import Record
from fieldwarden.rules.rulebook import Entity


class Alike:
    """Joins records while one batch is decided. Works on what the batch knows, and gathers what it does in the batch's
    builder."""

    def __init__(self, scope: Scope, known: Known, builder: OutcomeBuilder) -> None:
        self._scope = scope
        self._known = known
        self._builder = builder

    def follow(self) -> None:
        """Let whatever is at hand and refers to a record that was joined to another refer to that one from now on."""
        joined = self._known.joined
        for record in list(self._known.records.values()) if joined else ():
            fields = self._scope.referring.get(record.entity, ())
            moved, decisions = follow(record, fields, joined) if fields else (False, [])
            if moved:
                self._builder.followed(record, decisions)
                self._unite(self._scope.entities[record.entity], record, None)

    def found_anew(self, entity: Entity, record: Record, cause: Change | None) -> None:
        """A record may be found by other match pairs now. Note them, and join the record with those that state one of
        them, if nothing contradicts it. `cause`: the change that told, if any."""
        if self._builder.rematch(entity, record):  # nearly never
            self._unite(entity, record, cause)

    def reunite(self, ids: Collection[str]) -> None:
        """Join those of these records that state one match pair, if nothing contradicts it. Records that are not at
        hand are passed over.

        >>> from fieldwarden.engine.deciding.known import Tally
        >>> def record(id, row):
        ...     said = Contribution(*row, "1", Stamp("1", 1), {"tax_id": "DE 1"})
        ...     return Record(id, "customer", 1, {"tax_id": "DE 1"}, [said])
        >>> older, newer = record("0190-7", ACCOUNT), record("0190-8", SUBSCRIBER)
        >>> known = Known(records={"0190-7": older, "0190-8": newer})
        >>> known.matches = {"customer": {("tax_id", "de1"): ["0190-7", "0190-8"]}}
        >>> Alike(SCOPE, known, OutcomeBuilder(SCOPE, known, Tally())).reunite(["0190-7", "0190-8"])
        >>> [row.key for row in older.rows], newer.rows
        (['C-1', 'B-1'], [])
        """
        for id in sorted(ids):
            record = self._known.records.get(id)
            if record is not None and record.entity in self._scope.entities:
                self._unite(self._scope.entities[record.entity], record, None)

    def _unite(self, entity: Entity, record: Record, cause: Change | None) -> None:
        """Join a record with those that carry one of its match pairs, key by key in their order. A key that names
        somebody with whom it may not be joined ends it, as it does where a row looks for its record: whom a later key
        names is not asked then. Nor is one taken of whom an earlier key of its own says that it is somebody else's."""
        for place, key in enumerate(entity.match):
            ids = self._alike(record, key.name)
            if not ids:
                continue
            others = [self._known.records[id] for id in sorted(ids) if id in self._known.records]
            if len(others) < len(ids):
                return  # they are not at hand: all is decided again with them, or they have been looked into before
            named = {id for other in others for each in entity.match[:place] for id in self._alike(other, each.name)}
            united = None if named - ids - {record.id} else self._join(entity, [record, *others], cause)
            if united is None:
                return
            record = united

    def _alike(self, record: Record, key: str) -> set[str]:
        """The other records that carry a pair of this key. A value that very many carry tells nothing apart; one
        without rows was joined by somebody else meanwhile."""
        matches, known = self._known.matches.get(record.entity, {}), self._known.records
        carried = [matches.get(pair, ()) for pair in self._builder.pairs(record) if pair[0] == key]
        ids = {id for ids in carried if len(ids) <= MANY_ALIKE for id in ids}
        return {id for id in ids if id != record.id and (id not in known or known[id].rows)}

    def _join(self, entity: Entity, alike: Collection[Record], cause: Change | None) -> Record | None:
        """Make one of these records, if they may be joined without a steward: the oldest goes on. None if not."""
        survivor, *others = records = sorted(alike, key=lambda record: record.id)
        roots = self._scope.roots[entity.name]
        if not survivor.rows or contradiction(entity, records, roots, self._known.apart):
            return None
        for other in others:
            former = [row.ref for row in other.rows], self._builder.pairs(other)
            self._builder.joined(survivor, other, former, join(entity, roots, survivor, other), cause)
        return survivor


def referred(known: Known, scope: Scope) -> set[str]:
    """The ids of the records that those at hand refer to."""
    return {id for record in known.records.values() for id in named(record, scope.referring.get(record.entity, ()))}
