"""Records found to be one in the midst of deciding: joined by themselves, and followed by what refers to them."""

from __future__ import annotations

from collections.abc import Collection

from engine.change import Change
from engine.harvest import Harvest
from engine.joining import contradiction, follow, join, named
from engine.known import Known
from engine.ports import MANY_ALIKE
from engine.record import Record
from engine.scope import Scope
from rules.rulebook import Entity


class Alike:
    """Works on what one batch knows, and gathers what it does in the batch's harvest."""

    def __init__(self, scope: Scope, known: Known, harvest: Harvest) -> None:
        self._scope = scope
        self._known = known
        self._harvest = harvest

    def follow(self) -> None:
        """Whatever is at hand and refers to a record that was joined to another refers to that one from now on."""
        joined = self._known.joined
        for record in list(self._known.records.values()) if joined else ():
            fields = self._scope.referring.get(record.entity, ())
            moved, decisions = follow(record, fields, joined) if fields else (False, [])
            if moved:
                self._harvest.followed(record, decisions)
                self.found_anew(self._scope.entities[record.entity], record, None)

    def found_anew(self, entity: Entity, record: Record, cause: Change | None) -> None:
        """A record may be found by other match pairs now: note them, and join it with those that carry one of them, if
        nothing contradicts it."""
        self._harvest.rematch(entity, record)
        if not entity.match:
            return
        matches, at = self._known.matches.get(entity.name, {}), record.id
        for pair in self._harvest.pairs(record):
            ids = matches.get(pair, ())
            if len(ids) <= MANY_ALIKE:
                at = self.join({at, *ids}, cause) or at

    def join(self, ids: Collection[str], cause: Change | None) -> str | None:
        """Make one of these records, which carry one match pair, if there is more than one and they may be joined
        without a steward: the oldest goes on. Which that is; None if none was joined."""
        known = (self._known.records[id] for id in sorted(ids) if id in self._known.records)
        records = [record for record in known if record.rows]  # one without rows was joined by somebody else meanwhile
        if len(records) < 2 or records[0].entity not in self._scope.entities:
            return None
        entity, roots = self._scope.entities[records[0].entity], self._scope.roots[records[0].entity]
        if contradiction(entity, records, roots, self._known.apart):
            return None
        survivor, *others = records
        for other in others:
            former = [row.ref for row in other.rows], self._harvest.pairs(other)
            self._harvest.joined(survivor, other, former, join(entity, roots, survivor, other), cause)
        return survivor.id


def referred(known: Known, scope: Scope) -> set[str]:
    """The records that those at hand refer to."""
    return {id for record in known.records.values() for id in named(record, scope.referring.get(record.entity, ()))}
