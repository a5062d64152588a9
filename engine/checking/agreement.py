"""Whether a system's row agrees with its golden record and, if not, why: the verdict of `check`, as a pure function.

What is compared is what the row holds now, not what the hub believes of it. Where both are the same, the hub knows of
the difference and can say why it stands; where they are not, something happened that the hub has not heard of: on its
way (`in flight`), or lost (`unknown`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.checking.seen import Seen
from fieldwarden.engine.deciding.mapping import deliverable
from fieldwarden.engine.deciding.meant import wanted
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.plural import is_excluded
from fieldwarden.engine.deciding.resolve import choose
from fieldwarden.engine.errors import ValueRefused
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Entity, Rulebook, Stream

Why = Literal["in flight", "parked", "excluded", "refused and left", "unreadable", "not deliverable", "unknown"]
REASONS: tuple[Why, ...] = get_args(Why)
ROW = ""
"""The field of a finding that is about a whole row."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What the hub has noted of a (target, record): `status` is due, waiting or parked."""

    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One field of one row (or, with the field ROW, a row) that is not as its golden record says. `record` is empty
    where none is known, `key` where there is no row. `unheard`: the hub knows nothing of what the row holds."""

    system: str
    stream: str
    entity: str
    key: str
    record: str
    field: str
    why: Why
    words: str
    holds: Value = None
    golden: Value = None
    unheard: bool = False


class Judge:
    """Compares the rows of one stream. `plan` is what the rulebook says of writing to its system."""

    def __init__(self, rulebook: Rulebook, stream: Stream, plan: TargetPlan) -> None:
        self._stream = stream
        self._entity: Entity = rulebook.entities[stream.entity]
        self._plan = plan

    def stranger(self, seen: Seen, aside: str, *, excluded: bool = False) -> Disagreement:
        """The finding for a row that the hub has linked to no record. `aside`: why a change of it is set aside, "" if
        none is; `excluded`: it waits with a parent row that is left out."""
        if ROW in seen.unreadable:
            return self._row(seen.key, "", "unreadable", seen.unreadable[ROW])
        if aside:
            return self._row(seen.key, "", "excluded" if excluded else "parked", f"set aside: {aside}")
        return self._row(seen.key, "", "unknown", "the hub does not know this row", unheard=True)

    def gone(self, key: str, record: Record, due: Noted | None, aside: str) -> Disagreement | None:
        """The finding for a row that the hub has linked and that is not there. None if the hub knows that it was
        deleted. `due`: what the hub has noted of a delivery to it."""
        row = self._contribution(record, key)
        if row is None or row.deleted is not None:
            return None
        if aside:
            return self._row(key, record.id, "parked", f"set aside: {aside}")
        if due is not None:
            return self._row(key, record.id, *_noted(due))
        return self._row(key, record.id, "unknown", "the row is not there, and the hub has not heard so", unheard=True)

    def there(self, seen: Seen, record: Record, due: Noted | None, aside: str) -> list[Disagreement]:
        """The findings for a row that the hub has linked and that is there: where it differs from its record, and why.
        Nothing if it agrees.

        >>> row = Contribution("crm", "public.account", "C-1", "1", Stamp("1", 1), {"phone": "555"})
        >>> record = Record("0190-7", "customer", 1, {"phone": "555"}, [row])
        >>> judge = Judge(RULES, RULES.systems["crm"].streams["public.account"], TargetPlan(RULES, "crm"))
        >>> judge.there(Seen("C-1", {"phone": "555"}), record, None, "")
        []
        >>> [found] = judge.there(Seen("C-1", {"phone": "556"}), record, None, "")
        >>> found.field, found.why, found.holds, found.golden
        ('phone', 'unknown', '556', '555')
        """
        row = self._contribution(record, seen.key)
        if ROW in seen.unreadable:
            return [self._row(seen.key, record.id, "unreadable", seen.unreadable[ROW])]
        if row is not None and row.deleted is not None and seen.merged and (row.merged or seen.outside):
            return []
        if row is None or row.deleted is not None:
            return [self._come_back(seen.key, record, due, aside)]
        if seen.merged and row.merged and not aside:
            return [self._row(seen.key, record.id, "parked", "it stands in a circle of merged rows")]
        if seen.merged:
            why, words = self._unheard(due, aside) if aside else ("unknown", "the hub has not heard that it was merged")
            return [self._row(seen.key, record.id, why, words, unheard=True)]
        if record.retired:
            return self._retired(record, row, due)
        return list(self._fields(seen, record, row, due, aside))

    def compared(self, record: Record) -> tuple[str, ...]:
        """The fields in which a row of this record is compared. There are none once the record is retired."""
        return () if record.retired else tuple(self._stream.fields)

    # --- whole rows ------------------------------------------------------------------------------------------

    def _contribution(self, record: Record, key: str) -> Contribution | None:
        ref = RowRef(self._stream.system, self._stream.name, key)
        return next((row for row in record.rows if row.ref == ref), None)

    def _come_back(self, key: str, record: Record, due: Noted | None, aside: str) -> Disagreement:
        if aside:
            return self._row(key, record.id, "parked", f"set aside: {aside}")
        if due is not None:
            return self._row(key, record.id, *_noted(due))
        return self._row(key, record.id, "unknown", "the hub holds this row to be deleted", unheard=True)

    def _retired(self, record: Record, row: Contribution, due: Noted | None) -> list[Disagreement]:
        """Rows of a retired record stay where the mapping says so."""
        if not any(difference.row is row for difference in self._plan.differences(record)):
            return []
        if due is not None:
            return [self._row(row.key, record.id, *_noted(due))]
        return [self._row(row.key, record.id, "unknown", "its record is retired, and nothing is going to delete it")]

    def _row(self, key: str, record: str, why: Why, words: str, *, unheard: bool = False) -> Disagreement:
        stream = self._stream
        return Disagreement(stream.system, stream.name, stream.entity, key, record, ROW, why, words, unheard=unheard)

    # --- fields ----------------------------------------------------------------------------------------------

    def _fields(
        self, seen: Seen, record: Record, row: Contribution, due: Noted | None, aside: str
    ) -> Iterator[Disagreement]:
        golden = record.golden
        for name, value in seen.fields.items():
            if value != golden.get(name):
                heard = _nothing(row.holds(name)) == value
                why, words = self._why(name, record, row, due) if heard else self._unheard(due, aside)
                # Our own write that has not been told back yet may be a word that is not golden yet.
                yield self._field(seen, record, name, value, why, words, unheard=not heard or name in row.sent)
        for name, ref in seen.references.items():
            why, words = self._unheard(due, aside)
            if why == "unknown":
                words = f"it refers to a row of {ref.stream} that no record is known for"
            yield self._field(seen, record, name, ref.key, why, words, unheard=True)
        for name, reason in seen.unreadable.items():
            yield self._field(seen, record, name, None, "unreadable", reason, unheard=False)

    def _field(
        self, seen: Seen, record: Record, name: str, holds: Value, why: Why, words: str, *, unheard: bool
    ) -> Disagreement:
        stream, golden = self._stream, record.golden.get(name)
        return Disagreement(
            stream.system, stream.name, stream.entity, seen.key, record.id, name, why, words, holds, golden, unheard
        )  # fmt: skip

    def _unheard(self, due: Noted | None, aside: str) -> tuple[Why, str]:
        if aside:
            return "parked", f"a change of this row is set aside: {aside}"
        if due is not None:
            return _noted(due)
        return "unknown", "the hub has not heard of what this row holds"

    def _why(self, name: str, record: Record, row: Contribution, due: Noted | None) -> tuple[Why, str]:
        """Why a difference stands that the hub knows of."""
        stream, unit = self._stream, self._entity.unit_of[name]
        for each in self._plan.differences(record):
            if each.row is row and (name in each.fields or each.operation == "delete"):
                return self._due(name, record, row, due)
        winner = choose(unit, record.rows)
        if name in row.still and name not in stream.update_fields:
            words = f"a split gave {name} back, which is not written there: {stream.system} does not take it any more"
            return "not deliverable", words
        if winner is row:
            return "unknown", "this row's word stands for the field, but the golden value is another"
        policy = unit.policy
        if policy.protected and policy.on_reject == "leave" and policy.owner != stream.system:
            return "refused and left", f"{unit.name}: on_reject is leave"
        if name not in record.golden:
            return "not deliverable", "no system that may say this has said anything"
        if is_excluded(row, record.rows, unit.below):
            return "not deliverable", f"its parent row is excluded or gone, and {stream.name} with it"
        if name not in stream.update_fields:
            if winner is not None and winner.system == stream.system:
                return "not deliverable", f"another row of {stream.system} stands for it"
            return "not deliverable", f"{stream.system} does not take it: its mapping, or the rule, writes no {name}"
        if stream.first_by:
            by = ", ".join(stream.first_by)
            return "not deliverable", f"another row of {stream.name} is the first by {by}, and the one that is written"
        if stream.parent is not None:
            return "not deliverable", f"several rows of {stream.name} stand for it, and none is written"
        return "unknown", "nothing is due for it"

    def _due(self, name: str, record: Record, row: Contribution, due: Noted | None) -> tuple[Why, str]:
        if due is not None:
            return _noted(due)
        try:
            deliverable(self._stream.fields[name], wanted(record, row, name))
        except ValueRefused as error:
            return "not deliverable", error.message
        return "unknown", "it should be written, but no delivery is due (one was discarded, or lost)"


def missing(plan: TargetPlan, record: Record, due: Noted | None) -> Iterator[Disagreement]:
    """The findings for rows that a record should have in a system, and that the hub has not created there."""
    for difference in plan.differences(record):
        if difference.operation == "create":
            why, words = _noted(due) if due is not None else ("unknown", "no delivery is due that would create it")
            stream = difference.stream
            yield Disagreement(
                stream.system, stream.name, stream.entity, "", record.id, ROW, why, f"no row yet: {words}"
            )


def _noted(due: Noted) -> tuple[Why, str]:
    if due.status == "due":
        return "in flight", "a delivery is due"
    return "parked", due.reason or f"its delivery is {due.status}"


def _nothing(value: Value | msgspec.UnsetType) -> Value:
    """What was never heard of a row that we created is what its table filled in: nothing, as far as we know."""
    return None if value is msgspec.UNSET else value
