"""One batch of changes decided: identify, resolve and plan's marks, as values in and values out.

`Decider` is told everything it may need to know (`Known`, loaded by the pipeline in one transaction; its records are
taken over and changed) and gives back everything that must become durable together (`IngestOutcome`). Changes are
taken in order; what one of them links or creates, the next ones see. No I/O, no clock, no randomness of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.change import Change, RawChange, RowRef, Value
from engine.contribution import begin, bury, hear
from engine.identity import Ambiguous, Found, MatchPair, identify, match_pairs, record_pairs
from engine.ledger import Decision, EntryBody, encode
from engine.plan import TargetPlan
from engine.ports import Entry, IngestOutcome, SetAside
from engine.record import Contribution, Record
from engine.resolve import decide, retired
from engine.setaside import pack
from rules.rulebook import Entity, Rulebook

_TOMBSTONES = 16
NewId = Callable[[], str]


@dataclass(slots=True)
class Mapped:
    """A raw change beside what it means, or why it cannot be mapped."""

    raw: RawChange
    row: RowRef
    entity: str
    change: Change | None
    refused: str = ""
    release: int = 0
    """The id of the set-aside change that this one is, when it is tried again."""
    identified_by: Mapping[str, Value] | None = None
    """What to identify the row by, where newer changes of it wait behind this one."""


@dataclass(slots=True)
class Known:
    """What the hub knows about a batch; `Decider` keeps it up to date as it goes."""

    links: dict[RowRef, str] = field(default_factory=dict)
    blocked: set[RowRef] = field(default_factory=set)
    records: dict[str, Record] = field(default_factory=dict)
    matches: dict[str, dict[MatchPair, list[str]]] = field(default_factory=dict)
    """By entity: which records carry a match pair."""


@dataclass(slots=True)
class Tally:
    """What a batch did, for metrics: counts by kind."""

    changes: dict[str, int] = field(default_factory=dict)
    decisions: dict[tuple[str, str], int] = field(default_factory=dict)
    refusals: dict[tuple[str, str], int] = field(default_factory=dict)
    echoes: int = 0


class Decider:
    """Decides the changes of one system under one rulebook."""

    def __init__(
        self, rulebook: Rulebook, system: str, plans: Mapping[str, TargetPlan], *, ordered: bool = True
    ) -> None:
        """`ordered`: the source tells each row's changes in order, so an older one is a repetition."""
        self.ordered = ordered
        self._entities = rulebook.entities
        self._system = system
        self._streams = rulebook.systems[system].streams
        self._plans: dict[str, list[tuple[str, TargetPlan]]] = {
            entity: [(name, plan) for name, plan in plans.items() if entity in plan.entities]
            for entity in rulebook.entities
        }
        self._owned: dict[str, frozenset[str]] = {
            entity.name: frozenset(name for name, unit in entity.unit_of.items() if unit.policy.owner == system)
            for entity in rulebook.entities.values()
        }
        self._roots: dict[str, frozenset[tuple[str, str]]] = {
            entity: frozenset(
                (other.name, stream.name)
                for other in rulebook.systems.values()
                for stream in other.streams.values()
                if stream.entity == entity and stream.parent is None
            )
            for entity in rulebook.entities
        }

    def unknown(self, batch: Iterable[Mapped], known: Known) -> dict[str, list[MatchPair]]:
        """Rows that the crosswalk does not know and that may begin a record: their match pairs by entity."""
        pairs: dict[str, list[MatchPair]] = {}
        for mapped in batch:
            change = mapped.change
            if change is None or change.operation == "delete" or change.row in known.links:
                continue
            if self._streams[change.row.stream].parent is None:
                entity = self._entities[change.entity]
                stated = match_pairs(entity, mapped.identified_by or change.fields)
                pairs.setdefault(change.entity, []).extend(stated)
        return pairs

    def decide(
        self, batch: Sequence[Mapped], known: Known, new_id: NewId, tally: Tally, now: int, tolerance: int
    ) -> IngestOutcome:
        """`now` and `tolerance` in µs: a stated time further ahead than that is set aside."""
        run = _Run(self, known, new_id, tally)
        for mapped in batch:
            run.take(mapped, now + tolerance)
        return run.finish()


class _Run:
    """The state of one batch while it is decided."""

    def __init__(self, decider: Decider, known: Known, new_id: NewId, tally: Tally) -> None:
        self._decider = decider
        self._known = known
        self._new_id = new_id
        self._tally = tally
        self._outcome = IngestOutcome()
        self._stored: dict[str, Record] = {}
        self._links: dict[RowRef, str | None] = {}
        self._rematch: set[str] = set()
        self._blocked: set[RowRef] = set()
        self._dirty: dict[tuple[str, str], None] = {}
        self._suspect: dict[tuple[str, str], None] = {}

    def take(self, mapped: Mapped, latest: int) -> None:
        changes = self._tally.changes
        changes[mapped.entity] = changes.get(mapped.entity, 0) + 1
        change = mapped.change
        if mapped.row in self._blocked or (mapped.row in self._known.blocked and not mapped.release):
            self._set_aside(mapped, "behind", "an earlier change of this row is set aside")
        elif change is None:
            self._set_aside(mapped, "data", mapped.refused)
        elif change.at is not None and change.at > latest:
            self._set_aside(mapped, "data", "its source time lies in the future, beyond the tolerance")
        elif self._apply(mapped, change) and mapped.release:
            self._outcome.released.append(mapped.release)

    def finish(self) -> IngestOutcome:
        outcome = self._outcome
        outcome.records = list(self._stored.values())
        for row, record in self._links.items():
            if record is None:
                outcome.unlinks.append(row)
            else:
                outcome.links.append((row, record))
        for id in self._rematch:
            record_ = self._stored[id]
            pairs = record_pairs(self._decider._entities[record_.entity], record_)
            outcome.match_keys[id] = (record_.entity, pairs)
        outcome.dirty = list(self._dirty)
        outcome.suspect = [pair for pair in self._suspect if pair not in self._dirty]
        return outcome

    def _set_aside(self, mapped: Mapped, kind: str, reason: str, **more: object) -> None:
        self._blocked.add(mapped.row)
        kept = SetAside(
            mapped.row,
            mapped.entity,
            kind,  # type: ignore[arg-type]
            reason,
            pack(mapped.raw),
            mapped.raw.position,
            id=mapped.release,
            **more,  # type: ignore[arg-type]
        )
        self._outcome.set_aside.append(kept)

    def _apply(self, mapped: Mapped, change: Change) -> bool:
        """False if the change had to be set aside (again)."""
        if change.old_row is not None:
            self._rekey(change, change.old_row)
        if change.operation == "delete":
            self._delete(change)
            return True
        if not self._translate(mapped, change):
            return False
        linked = self._known.links.get(change.row)
        how = ""
        stream = self._decider._streams[change.row.stream]
        if stream.parent is not None:
            if change.parent is not None:
                parent = self._known.links.get(change.parent)
                if parent is None:
                    reason = f"its parent row in {stream.parent} is not known yet"
                    self._set_aside(mapped, "parent", reason, awaits=change.parent)
                    return False
                if linked is None:
                    how = "parent"
                elif linked != parent and not self._outdated(change, linked):
                    self._move(change, linked, parent)
                linked = parent if how else self._known.links[change.row]
            elif linked is None:
                return True
        elif linked is None:
            entity = self._decider._entities[change.entity]
            found = identify(
                entity.name,
                change.row,
                change.external_id,
                match_pairs(entity, mapped.identified_by or change.fields),
                self._known.matches.get(entity.name, {}),
                self._known.records,
            )
            if isinstance(found, Ambiguous):
                self._set_aside(mapped, "ambiguous", found.reason, candidates=found.candidates)
                return False
            linked, how = (found.record, found.how) if isinstance(found, Found) else (self._begin(change), "new")
        if how:
            self._link(change.row, linked)
        self._say(change, self._known.records[linked], how)
        return True

    def _outdated(self, change: Change, linked: str) -> bool:
        """Whether the row has said something newer: then an old parent does not take it back."""
        row = _row_of(self._known.records[linked], change.row)
        return row is not None and change.position <= row.said

    def _begin(self, change: Change) -> str:
        id = self._new_id()
        self._known.records[id] = Record(id, change.entity, 0, {}, [])
        return id

    def _link(self, row: RowRef, record: str | None) -> None:
        self._links[row] = record
        if record is None:
            self._known.links.pop(row, None)
        else:
            self._known.links[row] = record

    def _translate(self, mapped: Mapped, change: Change) -> bool:
        for name, row in change.references.items():
            record = self._known.links.get(row)
            if record is None:
                reason = f"field {name} refers to a row of {row.stream} that is not known yet"
                self._set_aside(mapped, "reference", reason, awaits=row)
                return False
            change.fields[name] = record
        return True

    def _say(self, change: Change, record: Record, how: str) -> None:
        entity = self._decider._entities[record.entity]
        row = _row_of(record, change.row)
        fresh = row is None
        if row is None:
            row = begin(change)
            record.rows.append(row)
        was_deleted = row.deleted is not None
        heard, changed = hear(row, change, self._decider._owned[record.entity], record.golden)
        if heard == "said" or fresh or was_deleted != (row.deleted is not None):
            event = "observed" if change.observation else "said"
            self._record(entity, record, row, change, event, changed, how)
        elif heard == "held":
            self._store(record)
            self._mark(record, suspect=True)
        elif not self._decider.ordered:
            self._unordered(record, change, heard)
        if heard in ("held", "echo"):
            self._tally.echoes += 1

    def _unordered(self, record: Record, change: Change, heard: str) -> None:
        """Without an order of its own to rely on, a source's late words are recorded, and its newest position kept."""
        self._store(record)
        if heard == "stale":
            self._entry(record, change, "said", _stale(record, change), "")

    def _delete(self, change: Change) -> None:
        linked = self._known.links.get(change.row)
        record = self._known.records.get(linked) if linked else None
        row = _row_of(record, change.row) if record else None
        if record is None or row is None:
            return
        if change.observation:
            # A re-read did not find it: gone after all it said, and before whatever comes next.
            change.position = row.said + "!"
        if not bury(row, change):
            if not self._decider.ordered:
                self._store(record)
            return
        if change.echo and record.retired:
            self._tally.echoes += 1
            self._store(record)
            return
        entity = self._decider._entities[record.entity]
        event = "vanished" if change.observation else "deleted"
        self._record(entity, record, row, change, event, list(row.fields), "", deleted=True)
        if self._decider._streams[change.row.stream].parent is not None:
            _forget_older(record, row)

    def _move(self, change: Change, old: str, new: str) -> None:
        """A child row's parent changed: its contribution leaves one record for the other."""
        left = self._known.records[old]
        row = _row_of(left, change.row)
        if row is not None:
            # Nothing of the row stays, not even an owner's last word: it speaks of another record now.
            left.rows.remove(row)
            entity = self._decider._entities[left.entity]
            gone = decide(entity, left, row, list(row.fields), deleted=True)
            self._entry(left, change, "left", gone, "")
            self._after(left)
            target = self._known.records[new]
            target.rows.append(row)
            moved = decide(entity, target, row, list(row.fields))
            self._entry(target, change, "moved", moved, "", was=old)
            self._after(target)
        self._link(change.row, new)

    def _rekey(self, change: Change, old: RowRef) -> None:
        linked = self._known.links.get(old)
        if linked is None or change.row in self._known.links:
            return
        record = self._known.records[linked]
        row = _row_of(record, old)
        self._link(old, None)
        self._link(change.row, linked)
        if row is not None:
            row.key = change.row.key
            self._entry(record, change, "rekeyed", [], "", was=old.key)

    def _record(
        self,
        entity: Entity,
        record: Record,
        row: Contribution,
        change: Change,
        event: str,
        changed: list[str],
        how: str,
        *,
        deleted: bool = False,
    ) -> None:
        observed = change.observation and not deleted
        decisions = decide(entity, record, row, changed, deleted=deleted, observed=observed)
        now_retired = retired(entity, self._decider._roots[record.entity], record.rows)
        flipped = now_retired if now_retired != record.retired else None
        record.retired = now_retired
        if decisions or how or flipped is not None or deleted:
            self._entry(record, change, event, decisions, how, retired_=flipped)
        self._after(record)
        if how or self._touches_match(entity, changed):
            self._rematch.add(record.id)
            self._index(entity, record)

    def _touches_match(self, entity: Entity, changed: Sequence[str]) -> bool:
        return any(name in changed for key in entity.match for name in key.fields)

    def _index(self, entity: Entity, record: Record) -> None:
        """Let later rows of this batch match the record as it is now."""
        for pair in record_pairs(entity, record):
            ids = self._known.matches.setdefault(entity.name, {}).setdefault(pair, [])
            if record.id not in ids:
                ids.append(record.id)

    def _after(self, record: Record) -> None:
        self._store(record)
        self._mark(record)

    def _store(self, record: Record) -> None:
        self._stored[record.id] = record

    def _mark(self, record: Record, *, suspect: bool = False) -> None:
        marks = self._suspect if suspect else self._dirty
        for name, plan in self._decider._plans[record.entity]:
            if plan.pending(record):
                marks[(name, record.id)] = None

    def _entry(
        self,
        record: Record,
        change: Change,
        event: str,
        decisions: list[Decision],
        how: str,
        *,
        was: str = "",
        retired_: bool | None = None,
    ) -> None:
        record.version += 1
        self._store(record)
        body = EntryBody(
            record.entity,
            change.row,
            event,  # type: ignore[arg-type]
            change.position,
            change.at,
            decisions,
            transaction=change.transaction,
            linked=how,
            was=was,
            retired=retired_,
        )
        self._outcome.entries.append(Entry(record.id, record.version, encode(body)))
        self._count(self._decider._entities[record.entity], decisions)

    def _count(self, entity: Entity, decisions: Sequence[Decision]) -> None:
        tally = self._tally.decisions
        for decision in decisions:
            key = (entity.name, decision.outcome)
            tally[key] = tally.get(key, 0) + 1
            if decision.outcome in ("refused", "held"):
                refused = (entity.name, entity.unit_of[decision.field].policy.owner or "")
                self._tally.refusals[refused] = self._tally.refusals.get(refused, 0) + 1


def _row_of(record: Record, ref: RowRef) -> Contribution | None:
    for row in record.rows:
        if row.key == ref.key and row.stream == ref.stream and row.system == ref.system:
            return row
    return None


def _stale(record: Record, change: Change) -> list[Decision]:
    golden = record.golden
    return [
        Decision(name, "stale", value, golden.get(name), golden.get(name), "", "older than what the row said")
        for name, value in change.fields.items()
        if golden.get(name) != value
    ]


def _forget_older(record: Record, row: Contribution) -> None:
    """Of a child stream's deleted rows the latest few are kept: their last words may still hold a protected field,
    and a late repetition must find them deleted."""
    gone = [
        other
        for other in record.rows
        if other.deleted is not None and other.system == row.system and other.stream == row.stream
    ]
    gone.sort(key=lambda other: other.deleted or "")
    for other in gone[:-_TOMBSTONES]:
        record.rows.remove(other)
