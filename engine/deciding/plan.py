"""What a target's copy of a record lacks: derived from the record each time, never queued.

For record R and target T it is the set of fields in which T's rows differ from the golden values and which T may
receive. A burst of a thousand changes to one record therefore costs one write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from fieldwarden.engine.change import Value
from fieldwarden.engine.deciding.mapping import deliverable
from fieldwarden.engine.deciding.meant import is_another_records, wanted
from fieldwarden.engine.deciding.plural import first, rows_of
from fieldwarden.engine.deciding.resolve import choose, is_spoken_for
from fieldwarden.engine.deciding.translating import NoKey, key_or_value
from fieldwarden.engine.deciding.unreadable import stands as left_unread
from fieldwarden.engine.errors import ValueRefused
from fieldwarden.engine.ports.target import Write
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Entity, Rulebook, Stream


class Difference(NamedTuple):
    """One row of the target that is not as it should be. `row` is None for one that has yet to be created."""

    stream: Stream
    operation: Literal["create", "update", "delete"]
    row: Contribution | None
    fields: tuple[str, ...]


@dataclass(slots=True)
class Plan:
    """The writes that can be made now, a record to wait for (it has no key in the target yet), and what no write
    can mend (`problem`, in words)."""

    writes: list[Write] = field(default_factory=list)
    awaits: str | None = None
    problem: str = ""


class TargetPlan:
    """Everything the rulebook says of writing to one system."""

    def __init__(self, rulebook: Rulebook, system: str) -> None:
        self.system = system
        self._entities = rulebook.entities
        self._root: dict[str, Stream] = {}
        self._children: dict[str, list[Stream]] = {}
        written = set()
        for stream in rulebook.systems[system].streams.values():
            writable = bool(stream.update_fields or stream.create_fields)
            if writable:
                written.add(stream.entity)
            if stream.parent is None:
                self._root[stream.entity] = stream
            elif writable:
                self._children.setdefault(stream.entity, []).append(stream)
        self.entities = frozenset(written)
        streams = list(rulebook.systems[system].streams.values())
        self._above = rulebook.systems[system].above_merged()
        self._referring = frozenset(
            stream.entity for stream in streams if any(mapping.reference for mapping in stream.fields.values())
        )
        self._plain = {
            stream.name: frozenset(name for name, mapping in stream.fields.items() if mapping.plain)
            for stream in streams
        }
        self._as_they_are = {
            stream.name for stream in streams if self._plain[stream.name].issuperset(stream.create_fields)
        }
        self._followed = {
            stream.name
            for stream in streams
            if stream.entity in self._children or not set(stream.update_fields) <= set(stream.create_fields)
        }
        self._groups = {
            entity.name: tuple(unit.fields for unit in entity.units if len(unit.fields) > 1)
            for entity in rulebook.entities.values()
        }
        self._plain_creation = {entity: self._plain_fields(stream) for entity, stream in self._root.items()}

    def _plain_fields(self, stream: Stream) -> tuple[str, ...]:
        """The fields of a row created here, if all of them are written as they are and nothing follows; else none."""
        if not stream.creates or self.follows(stream) or stream.name not in self._as_they_are:
            return ()
        return stream.create_fields

    def pending(self, record: Record) -> bool:
        """True if anything is to be done here for the record: `differences` would name a row. A record of an entity
        that nothing is written of here has nothing to be done."""
        if record.entity not in self.entities:
            return False
        for name in self._created_plainly(record):
            if record.golden.get(name) is not None:
                return True
        return next(self._differences(record, once=True), None) is not None

    def creation(self, record: Record) -> dict[str, Value] | None:
        """The values of the one row that is to be created for the record, in the plainest case: no row of it is here,
        nothing follows its creation, and values are written as they are. None: ask `plan` what is to be done, if
        anything."""
        golden = record.golden
        names = self._created_plainly(record)
        return {name: value for name in names if (value := golden.get(name)) is not None} or None if names else None

    def _created_plainly(self, record: Record) -> tuple[str, ...]:
        names = self._plain_creation.get(record.entity, ())
        if not names or record.retired:
            return ()
        for row in record.rows:
            if row.system == self.system:
                return ()
        return names

    def root(self, entity: str) -> Stream:
        """The stream whose rows stand for the entity's records here. KeyError if there is none."""
        return self._root[entity]

    def references(self, record: Record) -> set[str]:
        """The ids of the records whose keys in this target `plan` needs: those that fields to be written refer to, now
        and as the rows hold them."""
        if record.entity not in self._referring:
            return set()
        entity = self._entities[record.entity]
        needed = set()
        for difference in self._differences(record):
            for name in difference.fields:
                value = wanted(record, difference.row, name)
                if value is not None and entity.fields[name].type.kind == "ref":
                    needed.add(value)
                if difference.row is not None and entity.fields[name].type.kind == "ref":
                    holds = difference.row.holds(name)
                    if isinstance(holds, str):
                        needed.add(holds)
        return needed

    def blocks(self, entity: str, values: Mapping[str, Value]) -> tuple[tuple[str, ...], ...]:
        """Of these fields, the groups of which several are there: they win or lose together, so they are written
        together."""
        groups = self._groups[entity]
        if not groups:
            return ()
        found = (tuple(name for name in group if name in values) for group in groups)
        return tuple(block for block in found if len(block) > 1)

    def writes_golden(self, stream: Stream) -> bool:
        """True if what is written into a created row are the golden values as they are."""
        return stream.name in self._as_they_are

    def follows(self, stream: Stream) -> bool:
        """True if more may be written for a record once its row in this stream has been created: child rows, or fields
        that a create may not carry."""
        return stream.name in self._followed

    def plan(self, record: Record, keys: Mapping[str, Mapping[str, str]], token: int = 0) -> Plan:
        """The writes that bring the target's rows to the golden values; and what stands in the way of others (`Plan`).
        Nothing is changed.

        `keys`: record id -> stream -> key, for `references(record)`. All writes carry `token`.

        >>> row = Contribution("crm", "public.account", "C-1", "1", Stamp("1", 1), {"phone": "555"})
        >>> record = Record("0190-7", "customer", 1, {"phone": "556", "credit_limit": "9.00"}, [row])
        >>> [write] = TargetPlan(RULES, "crm").plan(record, {}).writes
        >>> write.operation, write.key, write.values, write.expected
        ('update', 'C-1', {'phone': '556', 'credit_limit': '9.00'}, {'phone': '555'})
        """
        plan = Plan()
        for difference in self._differences(record):
            self._write(plan, record, difference, keys, token)
        return plan

    def differences(self, record: Record) -> list[Difference]:
        """The rows that are not as they should be here, as far as the hub knows."""
        return list(self._differences(record)) if record.entity in self.entities else []

    def _differences(self, record: Record, *, once: bool = False) -> Iterator[Difference]:
        """With `once` an update may name fewer fields: who asks whether there is any need not know all."""
        entity = self._entities.get(record.entity)
        if entity is None:  # it has left the rules since the record was marked
            return
        root = self._root.get(record.entity)
        anchor = self._row(record, root)
        if record.retired:
            yield from self._retirement(record, root, anchor)
            return
        if root is not None:
            if difference := self._root_difference(entity, record, root, anchor, once):
                yield difference
            if anchor is None or anchor.deleted is not None:
                return
        for stream in self._children.get(record.entity, ()):
            if difference := self._child_difference(entity, record, stream, once):
                yield difference

    def _row(self, record: Record, stream: Stream | None) -> Contribution | None:
        """The row of a stream that stands for the record: the live one, else the latest deleted."""
        if stream is None:
            return None
        latest = None
        for row in record.rows:
            if row.system == self.system and row.stream == stream.name:
                if row.deleted is None:
                    return row
                latest = row
        return latest

    def _retirement(self, record: Record, root: Stream | None, anchor: Contribution | None) -> Iterator[Difference]:
        if (
            root is None
            or not (root.update_fields or root.create_fields)
            or root.on_retire != "delete"
            or anchor is None
            or anchor.deleted is not None
        ):
            return
        for stream in self._children.get(record.entity, ()):
            if stream.on_retire != "delete":
                continue
            for row in record.rows:
                if row.system == self.system and row.stream == stream.name and row.deleted is None:
                    yield Difference(stream, "delete", row, ())
        yield Difference(root, "delete", anchor, ())

    def _root_difference(
        self, entity: Entity, record: Record, stream: Stream, row: Contribution | None, once: bool
    ) -> Difference | None:
        if row is None or row.removed:
            # A row that its own system deleted is not brought back: only one never seen there, or that we removed.
            return self._creation(record, stream, stream.create_fields) if stream.creates else None
        fields = self._differing(entity, record, stream, row, once) if row.deleted is None else ()
        return Difference(stream, "update", row, fields) if fields else None

    def _child_difference(self, entity: Entity, record: Record, stream: Stream, once: bool) -> Difference | None:
        rows = rows_of(record.rows, (self.system, stream.name), self._above)
        live = [row for row in rows if row.deleted is None]
        if not live:
            if not stream.creates:
                return None
            names = stream.create_fields
            if rows:
                # The owner deleted its own row here: what it owns is not brought back.
                names = tuple(n for n in names if entity.unit_of[n].policy.owner != self.system)
            return self._creation(record, stream, names)
        # Two phones of one customer, and nothing says which is meant: neither is overwritten.
        if len(live) > 1 and not stream.first_by:
            return None
        row = first(live, (self.system, stream.name)) or live[0]
        fields = self._differing(entity, record, stream, row, once)
        if fields and stream.on_retire == "delete" and is_another_records(record, stream, row):
            return Difference(stream, "delete", row, ())
        return Difference(stream, "update", row, fields) if fields else None

    def _creation(self, record: Record, stream: Stream, names: tuple[str, ...]) -> Difference | None:
        golden = record.golden
        fields = tuple([name for name in names if golden.get(name) is not None])
        return Difference(stream, "create", None, fields) if fields else None

    def _differing(
        self, entity: Entity, record: Record, stream: Stream, row: Contribution, once: bool
    ) -> tuple[str, ...]:
        golden, carried, own, unreadable = record.golden, row.carried, row.fields, row.unreadable
        sent = row.still | row.sent if row.still else row.sent
        names, asked, ours = [], stream.update_fields, row.sent
        if ours:  # most fields of most rows hold what they should: a shorter way to what follows
            asked = tuple([n for n in asked if n not in ours or n not in golden or golden[n] != ours[n]])
        for name in asked:
            if unreadable and name in unreadable and name not in row.sent:
                if self._is_corrected(entity, record, row, name):
                    names.append(name)
                continue
            if name in golden:
                value = golden[name]
            elif name in row.restore:
                value = row.restore[name]
            else:
                continue
            if sent and name in sent:
                holds: Value | msgspec.UnsetType = sent[name]
            elif name in own:
                holds = own[name]
            elif name in carried:
                holds = carried[name]
            else:
                holds = row.void.get(name, msgspec.UNSET)
            if holds == value or (holds is msgspec.UNSET and value is None):
                continue
            if name not in entity.unit_of or (name not in row.still and self._stands(entity, record, row, name)):
                continue
            names.append(name)
            if once:
                break
        return tuple(names)

    def _is_corrected(self, entity: Entity, record: Record, row: Contribution, name: str) -> bool:
        """Whether an unreadable value is written over: its system has no say, and we know what to write."""
        if name not in entity.unit_of or left_unread(entity.unit_of[name], row, record.rows):
            return False
        return name in record.golden or name in row.restore or row.told(name) is not msgspec.UNSET

    def _stands(self, entity: Entity, record: Record, row: Contribution, name: str) -> bool:
        """Whether a row keeps a value other than golden: what it holds is about to be golden (its own write came back
        after golden was chosen), or the rule leaves a refused word in place until its owner says another."""
        unit = entity.unit_of[name]
        policy = unit.policy
        if name in row.sent or name in row.carried:
            if row.system != policy.owner and is_spoken_for(unit, record.rows):
                return False  # a word comes before what a row carries
            return choose(unit, record.rows) is row
        if policy.on_reject != "leave" or not policy.protected or policy.owner == self.system:
            return False
        winner = choose(unit, record.rows)
        if winner is None or winner.system != policy.owner or not any(map(winner.own, unit.fields)):
            return True  # it holds what we wrote
        said, stands = row.changed_at(unit.fields), winner.changed_at(unit.fields)
        return stands is None or (said is not None and said >= stands)

    def _write(
        self,
        plan: Plan,
        record: Record,
        difference: Difference,
        keys: Mapping[str, Mapping[str, str]],
        token: int,
    ) -> None:
        stream, row = difference.stream, difference.row
        write = Write(token, record.id, stream.name, difference.operation, row.key if row else None, {})
        write.row_version = row.row_version if row else ""
        waited, refused = False, list[str]()
        plain, golden = self._plain[stream.name], record.golden
        for name in difference.fields:
            value = golden[name] if name in golden else wanted(record, row, name)
            holds = row.holds(name) if row is not None else msgspec.UNSET
            if row is not None and name in row.unreadable and name not in row.sent:
                # What stands there cannot be read, so it cannot be compared either: it is written over whatever it is
                # by now.
                write.unguarded |= {name}
                holds = msgspec.UNSET
            if name in plain:
                write.values[name] = value
                if holds is not msgspec.UNSET:
                    write.expected[name] = holds
                continue
            try:
                value = key_or_value(stream, name, value, keys, deliverable)
                if holds is not msgspec.UNSET:
                    write.expected[name] = key_or_value(stream, name, holds, keys)
            except ValueRefused as error:
                plan.problem = f"{plan.problem}; {error.message}" if plan.problem else error.message
                refused.append(name)
                continue
            except NoKey as missing:
                plan.awaits, waited = missing.record, True
                continue
            write.values[name] = value
        if row is not None and self._groups[record.entity]:
            self._complete(write, record, stream, row)
        if refused:
            self._hold_back(record.entity, write, refused)
        if difference.operation == "create" and (waited or not write.values):
            return
        if difference.operation == "update" and not write.values:
            return
        if stream.parent is not None and difference.operation == "create":
            anchor = self._row(record, self._root.get(record.entity))
            write.parent_key = anchor.key if anchor else None
        write.blocks = self.blocks(record.entity, write.values)
        plan.writes.append(write)

    def _complete(self, write: Write, record: Record, stream: Stream, row: Contribution) -> None:
        """Beside what is to be written of a block the rest of it, which is as it should be: if somebody edits that
        meanwhile, the block is left to him. Not what stands there otherwise than we would write it (a second code for
        the same, a value that cannot be read): nobody has to have changed that."""
        golden = record.golden
        for group in self._groups[record.entity]:
            for name in group if any(each in write.values for each in group) else ():
                if name in write.values or name not in stream.update_fields or name not in golden:
                    continue
                if stream.fields[name].literal and name not in row.unreadable and row.holds(name) == golden[name]:
                    write.values[name] = write.expected[name] = golden[name]

    def _hold_back(self, entity: str, write: Write, refused: Sequence[str]) -> None:
        """The fields of a group are written together or not at all: half a block is what nobody ever said."""
        for group in self._groups[entity]:
            if any(name in group for name in refused):
                for name in group:
                    write.values.pop(name, None)
                    write.expected.pop(name, None)
