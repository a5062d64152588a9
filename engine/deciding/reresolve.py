"""One record under new rules: what left the rules is dropped from it, and every field finds its winner anew.

A pure function of the record and the rules, so doing it twice changes nothing the second time. What a record holds of
a field, and who stands for it, `engine.deciding.resolve` says, as for every change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.resolve import awaits_correction, choose, retired, roots, word_of
from fieldwarden.engine.ledger.entries import Decision, Outcome
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Rulebook, Unit


class Applied(NamedTuple):
    """What bringing one record under the rules came to. `decisions` are the fields whose golden value changed;
    `retired` is set where that changed; `dropped` are rows that stand for it no more; `stored`: whether the record has
    to be stored, though nothing of it may be news; `chosen`: whose word stands now in the units that were looked at."""

    decisions: list[Decision]
    retired: bool | None
    stored: bool
    dropped: list[RowRef]
    chosen: list[tuple[Unit, Contribution | None]]

    @property
    def news(self) -> bool:
        """True if anything is to be said of it in the ledger."""
        return bool(self.decisions) or self.retired is not None


class Reresolver:
    """Brings records that were resolved under other rules under one rulebook."""

    def __init__(self, rulebook: Rulebook, former: Rulebook | None = None) -> None:
        """`former`: the rulebook that all records were resolved under last. Where it is given, only what the two say
        differently is looked at. None: records may have been resolved under several, and all is looked at."""
        self._entities = rulebook.entities
        self._fields = {name: frozenset(entity.fields) for name, entity in rulebook.entities.items()}
        self._whole = {
            name for name in rulebook.entities if former is None or _told(rulebook, name) != _told(former, name)
        }
        """Entities of which rows or the record may hold what has left the rules."""
        self._units = {
            name: entity.units
            if former is None or name in self._whole
            else [unit for unit in entity.units if unit not in former.entities[name].units]
            for name, entity in rulebook.entities.items()
        }
        self._streams = {
            (system.name, stream.name): (stream.entity, frozenset(stream.fields))
            for system in rulebook.systems.values()
            for stream in system.streams.values()
        }
        self._roots = roots(rulebook)

    def __call__(self, record: Record) -> Applied:
        """Bring the record under the rules. It is changed in place (golden values, rows, retired), but for its version.
        Doing it twice changes nothing the second time."""
        entity = self._entities.get(record.entity)
        before = dict(record.golden)
        dropped, stored, decisions = self._without_what_left(record)
        chosen: list[tuple[Unit, Contribution | None]] = []
        if entity is None:
            flipped = None if record.retired else True
        elif record.retired and not record.rows:
            flipped = None  # it was joined to another, and nothing of it can come alive again
        else:
            chosen = [(unit, choose(unit, record.rows)) for unit in self._units[record.entity]]
            decisions += redecided(chosen, record, "applied")
            now = retired(entity, self._roots[record.entity], record.rows)
            flipped = now if now != record.retired else None
        record.retired = record.retired if flipped is None else flipped
        stored = stored or bool(decisions) or flipped is not None or before != record.golden
        return Applied(decisions, flipped, stored, dropped, chosen)

    def _without_what_left(self, record: Record) -> tuple[list[RowRef], bool, list[Decision]]:
        """Drop rows and fields that left the rules: the rows, whether there was anything, and the golden values."""
        if record.entity in self._entities and record.entity not in self._whole:
            return [], False, []
        dropped = [row.ref for row in record.rows if not self._is_mapped(record.entity, row)]
        if dropped:
            record.rows = [row for row in record.rows if row.ref not in dropped]
        pruned = [_prune(row, self._streams[row.system, row.stream][1]) for row in record.rows]
        return dropped, bool(dropped) or any(pruned), _gone(record, self._fields.get(record.entity, frozenset()))

    def _is_mapped(self, entity: str, row: Contribution) -> bool:
        return self._streams.get((row.system, row.stream), ("",))[0] == entity


def _prune(row: Contribution, fields: frozenset[str]) -> bool:
    """Drop what the row is known for in fields that are not mapped there any more; True if there was any."""
    pruned = False
    for name in row.__struct_fields__:
        known = getattr(row, name)
        if isinstance(known, dict) and not fields.issuperset(known):
            setattr(row, name, {field: value for field, value in known.items() if field in fields})
            pruned = True
    return pruned


def _gone(record: Record, fields: frozenset[str]) -> list[Decision]:
    """Golden values of fields that the entity does not have any more."""
    decisions = []
    for name in sorted(record.golden.keys() - fields):
        before = record.golden.pop(name)
        if before is not None:
            decisions.append(Decision(name, "applied", None, before, None, ""))
    return decisions


def _told(rulebook: Rulebook, entity: str) -> tuple[frozenset[str], dict[tuple[str, str], frozenset[str]]] | None:
    """An entity's fields and, by stream, those that its rows tell; None where there is no such entity."""
    if entity not in rulebook.entities:
        return None
    streams = {
        (system.name, stream.name): frozenset(stream.fields)
        for system in rulebook.systems.values()
        for stream in system.streams.values()
        if stream.entity == entity
    }
    return frozenset(rulebook.entities[entity].fields), streams


def redecided(chosen: Sequence[tuple[Unit, Contribution | None]], record: Record, outcome: Outcome) -> list[Decision]:
    """Make what the chosen rows stand for the record's golden values. `chosen` are units with their winner (None:
    nobody). `record.golden` is changed in place, and where nobody stands for a value any more also what refused values
    are put back to (`restore`). Gives the decisions for the values that changed, with this `outcome`.

    >>> unit = Unit("name", ("name",), Policy("source_priority", ("crm",)))
    >>> row = Contribution("crm", "account", "1", "7", Stamp("7", 1000), {"name": "Ann"})
    >>> record = Record("0190", "customer", 1, {"name": "Bob"}, [row])
    >>> [(each.before, each.after, each.winner) for each in redecided([(unit, row)], record, "applied")]
    [('Bob', 'Ann', 'crm')]
    >>> record.golden
    {'name': 'Ann'}
    """
    decisions = []
    golden = record.golden
    for unit, winner in chosen:
        if winner is None and awaits_correction(unit, record.rows):
            continue  # the new owner's row is yet to be corrected to what stands
        system = "" if winner is None else winner.system
        for name in unit.fields:
            before, after = golden.get(name), None if winner is None else word_of(winner, name)
            if winner is None:
                if name in golden:  # a null that stood is a value, too
                    _still_corrected(record.rows, name, golden.pop(name))
            else:
                golden[name] = after
            if before != after:
                decisions.append(Decision(name, outcome, None, before, after, system))
    return decisions


def _still_corrected(rows: Sequence[Contribution], name: str, golden: Value) -> None:
    """Nobody stands for the golden value any more. Rows that hold what was refused against it are to be put back to it
    all the same, or the refused value would stay there."""
    for row in rows:
        if name in row.void and row.deleted is None:
            row.restore.setdefault(name, golden)
