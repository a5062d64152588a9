"""From a source's columns to a record's fields: the `map` step, compiled once per relation.

A mapper is bound to one shape of a stream's rows, so that every change is a walk over column positions. A row that
the stream's `where` excludes is said to be deleted: it has left what this stream speaks of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from uuid import UUID

from fieldwarden.engine.change import UNKNOWN, Change, RawChange, RawValue, Relation, RowRef, Value, key_text
from fieldwarden.engine.deciding.plural import order_text
from fieldwarden.engine.errors import SchemaDrift, ValueRefused
from fieldwarden.rules.expressions import Expression
from fieldwarden.rules.rulebook import Entity, FieldMap, Stream
from fieldwarden.rules.validating import INVALID, wrong
from fieldwarden.rules.values import moment_micros
from fieldwarden.rules.zones import written

_LONGEST_KEY = 2000
"""Bytes; the hub's indexes hold no longer ones."""
Read = Callable[[Sequence[RawValue]], RawValue]
Canonical = Callable[[str], str]


def deletion(stream: Stream, raw: RawChange) -> Change:
    """The change that a delete or vanish means which carries nothing but its key (`is_bare`): that needs no mapping.
    Raises ValueRefused for a key that is too long."""
    row = _row_of_key(stream, raw, raw.values)
    vanished = raw.operation == "vanish"
    return Change(row, stream.entity, "delete", raw.position, raw.at, observation=vanished, echo=bool(raw.echo))


def rekeying(stream: Stream, raw: RawChange) -> Change:
    """The change that a "rekey" means: the row goes on under another key, and nothing else is said of it. Raises
    ValueRefused for a key that is too long."""
    assert raw.old_values is not None, "a rekey names the old key"
    row, old = _row_of_key(stream, raw, raw.values), _row_of_key(stream, raw, raw.old_values)
    return Change(
        row, stream.entity, "rekey", raw.position, raw.at, old_row=old, follows_rekey=raw.follows_rekey
    )  # fmt: skip


def _row_of_key(stream: Stream, raw: RawChange, values: Sequence[RawValue]) -> RowRef:
    index = {column: position for position, column in enumerate(raw.relation.columns)}
    key = key_text(tuple(str(values[index[column]]) for column in stream.key))
    return RowRef(stream.system, stream.name, _bounded(key))


def is_bare(stream: Stream, raw: RawChange) -> bool:
    """True for a delete or vanish of which the source told the key alone.

    >>> account = Stream("crm", "account", "customer", ("id",), {})
    >>> raw = RawChange(Relation("account", ("id",), ("text",)), "delete", ("1",), "7", None)
    >>> is_bare(account, raw), deletion(account, raw).row
    (True, RowRef(system='crm', stream='account', key='1'))
    """
    return raw.operation in ("delete", "vanish") and raw.relation.columns == stream.key


def undecoded_row(stream: Stream, raw: RawChange) -> RowRef:
    """The source row of a change of which at most the key could be read. Where not even that could, or it is too long,
    a name for the row, by the bytes of its key."""
    index = {column: position for position, column in enumerate(raw.relation.columns)}
    parts = [raw.values[index[column]] for column in stream.key]
    texts = tuple(part for part in parts if isinstance(part, str))
    if len(texts) == len(parts):
        key = key_text(texts)
        if len(key.encode()) <= _LONGEST_KEY:
            return RowRef(stream.system, stream.name, key)
    known = raw.undecoded.key if raw.undecoded is not None and raw.undecoded.key is not None else raw.place.encode()
    return RowRef(stream.system, stream.name, f"key with SHA-256 {hashlib.sha256(known).hexdigest()}")


def _bounded(key: str) -> str:
    if len(key.encode()) > _LONGEST_KEY:
        raise ValueRefused(f"the row's key is longer than {_LONGEST_KEY} bytes")
    return key


class StreamMapper:
    """Maps the raw changes of one stream in one shape (`relation`). Making one raises SchemaDrift when a needed column
    is not there, or an expression does not fit the columns any more."""

    def __init__(self, stream: Stream, entity: Entity, relation: Relation) -> None:
        self.stream = stream
        self.entity = entity
        self._index = {column: position for position, column in enumerate(relation.columns)}
        self._relation = relation
        self._key = self._positions(stream.key)
        self._single_key = self._key[0] if len(self._key) == 1 else None
        self._parent = self._positions(stream.parent_columns)
        self._merged = self._positions(stream.merged_into)
        self._external = self._positions((stream.external_id,))[0] if stream.external_id else None
        self._where = self._bound(stream.where) if stream.where else None
        self._rivals = [(name, self._bound(where)) for name, where in stream.rivals]
        self._changed_at = self._bound(stream.changed_at) if stream.changed_at else None
        self._order = [(place, relation.types[place]) for place in self._positions(stream.first_by)]
        self._plain: list[tuple[str, int, Canonical | None]] = []
        self._computed: list[tuple[str, Read, Canonical | None]] = []
        self._references: list[tuple[str, Read, str]] = []
        for field in stream.fields.values():
            self._add(field)

    def _positions(self, columns: Sequence[str]) -> tuple[int, ...]:
        try:
            return tuple(self._index[column] for column in columns)
        except KeyError as error:
            raise self._missing(error.args[0]) from None

    def _missing(self, column: str) -> SchemaDrift:
        return SchemaDrift(
            f"{self.stream.system}: {self.stream.name} has no column {column!r} any more, but its mapping uses it",
            suggestion=f"mend the mapping in the system file of {self.stream.system}, then start `fieldwarden run`",
        )

    def _bound(self, expression: Expression) -> Read:
        self._positions(sorted(expression.columns))
        try:
            return expression.bind(self._relation.columns, self._relation.types)
        except ValueError as error:
            raise SchemaDrift(
                f"{self.stream.system}: {self.stream.name} no longer fits the expression {expression.text!r}: {error}",
                suggestion=f"mend the mapping in the system file of {self.stream.system}, then start `fieldwarden run`",
            ) from error

    def _add(self, field: FieldMap) -> None:
        if field.reference is not None:
            self._references.append((field.field, self._read(field), field.reference))
            return
        canonical = _accepted(self.entity, field)
        if field.read is not None:
            self._computed.append((field.field, self._bound(field.read), canonical))
            return
        self._plain.append((field.field, self._column(field), canonical))

    def _read(self, field: FieldMap) -> Read:
        return itemgetter(self._column(field)) if field.read is None else self._bound(field.read)

    def _column(self, field: FieldMap) -> int:
        assert field.column is not None, "a field is read from a column or an expression"
        return self._positions((field.column,))[0]

    def __call__(self, raw: RawChange) -> Change:
        """What the change says. A value that cannot be read spoils its field, not its row (`Change.unreadable`).

        Raises ValueRefused for a row whose key cannot be read, or of which nobody can tell whether it belongs here."""
        values = raw.values
        row = self._row(values)
        change = Change(
            row,
            self.stream.entity,
            "delete" if raw.operation == "delete" else "upsert",
            raw.position,
            raw.at,
            observation=raw.operation == "observe",
            echo=bool(raw.echo),
            transaction=raw.transaction,
            follows_rekey=raw.follows_rekey,
        )
        if raw.old_values is not None:
            change.old_row = self._row(raw.old_values)
        if raw.operation == "delete":
            return change
        if self._merged:
            change.merged = self._successor(row, values)
        if self._where is not None and self._where(values) not in ("true", UNKNOWN):
            change.outside = change.merged is not None
            if not change.outside:
                change.operation = "delete"
                return change
        if self._rivals:
            self._check_rivals(values)
        self._fill(change, values)
        if self._order:
            change.order = tuple(order_text(values[place], kind) for place, kind in self._order)
        return change

    def _successor(self, row: RowRef, values: Sequence[RawValue]) -> RowRef | None:
        """The row that this one was merged into, though `where` may leave it out by now. One that names itself, as the
        first of its kind does in some applications, is itself."""
        parts = tuple(part for place in self._merged if isinstance(part := values[place], str))
        if len(parts) < len(self._merged):
            return None
        named = RowRef(self.stream.system, self.stream.name, _bounded(key_text(parts)))
        return None if named == row else named

    def _check_rivals(self, values: Sequence[RawValue]) -> None:
        """A row must not be in two streams that speak of one entity, or write one column: it would be written twice."""
        for name, where in self._rivals:
            if where(values) == "true":
                raise ValueRefused(
                    f"the row is in both {self.stream.name} and {name}, two streams of {self.stream.table}",
                    suggestion="mend `where:` of one of them so that no row is in both, then retry",
                )

    def row(self, raw: RawChange) -> RowRef:
        """The source row of a change that cannot be mapped. Where its key is what is wrong, a name for it."""
        try:
            return self._row(raw.values)
        except ValueRefused:
            digest = hashlib.sha256(repr([raw.values[position] for position in self._key]).encode()).hexdigest()
            return RowRef(self.stream.system, self.stream.name, f"key with SHA-256 {digest}")

    def _row(self, values: Sequence[RawValue]) -> RowRef:
        if self._single_key is not None:
            key = values[self._single_key]
            # The short way: 500 characters are at most 2,000 bytes, which is no longer than a key may be.
            if type(key) is str and len(key) < 500:
                return RowRef(self.stream.system, self.stream.name, key)
        parts = []
        for position in self._key:
            part = values[position]
            if not isinstance(part, str):
                raise ValueRefused(f"a row of {self.stream.name} came without its key {', '.join(self.stream.key)}")
            parts.append(part)
        return RowRef(self.stream.system, self.stream.name, _bounded(key_text(tuple(parts))))

    def _fill(self, change: Change, values: Sequence[RawValue]) -> None:
        if self._changed_at is not None:
            self._date(change, self._changed_at, values)
        fields = change.fields
        try:
            for name, position, canonical in self._plain:
                value = values[position]
                if value is UNKNOWN:
                    continue
                fields[name] = value if canonical is None or value is None else canonical(value)
            for name, read, canonical in self._computed:
                value = read(values)
                if value is not UNKNOWN:
                    fields[name] = value if canonical is None or value is None else canonical(value)
        except ValueRefused:
            # Rare: so each field is tried by itself only now.
            self._fill_each(change, values)
        for name, read, stream in self._references:
            self._refer(change, name, read, stream, values)
        if change.unreadable:
            self._spoil_groups(change)
        self._fill_parent(change, values)

    def _date(self, change: Change, read: Read, values: Sequence[RawValue]) -> None:
        """The source's own time; a change whose time cannot be read has none: it wins by no clock."""
        try:
            moment = read(values)
            if isinstance(moment, str):
                change.at = moment_micros(moment, self.stream.zone)
        except ValueRefused as error:
            change.at, change.undated = None, error.message

    def _fill_each(self, change: Change, values: Sequence[RawValue]) -> None:
        reads: list[tuple[str, Read, Canonical | None]] = [
            (name, itemgetter(position), canonical) for name, position, canonical in self._plain
        ]
        for name, read, canonical in reads + self._computed:
            try:
                value = read(values)
                if value is not UNKNOWN:
                    change.fields[name] = value if canonical is None or value is None else canonical(value)
            except ValueRefused as error:
                change.unreadable[name] = error.message

    def _refer(self, change: Change, name: str, read: Read, stream: str, values: Sequence[RawValue]) -> None:
        try:
            value = read(values)
        except ValueRefused as error:
            change.unreadable[name] = error.message
            return
        if isinstance(value, str):
            change.references[name] = RowRef(self.stream.system, stream, value)
        elif value is None:
            change.fields[name] = None

    def _spoil_groups(self, change: Change) -> None:
        """A group wins or loses as the block that the row holds: a block of which one part cannot be read is unknown,
        and half of it beside what the row said before would be a block that nobody ever wrote."""
        for name in list(change.unreadable):
            for other in self.entity.unit_of[name].fields:
                if other in change.fields or other in change.references:
                    change.fields.pop(other, None)
                    change.references.pop(other, None)
                    change.unreadable[other] = f"it stands in one group with {name}, which cannot be read"

    def _fill_parent(self, change: Change, values: Sequence[RawValue]) -> None:
        if self.stream.parent is not None:
            parts = [values[position] for position in self._parent]
            if None in parts:
                change.operation = "delete"
            elif UNKNOWN not in parts:
                key = key_text(tuple(str(part) for part in parts))
                change.parent = RowRef(self.stream.system, self.stream.parent, key)
        if self._external is not None:
            change.external_id = _record_id(values[self._external])


def _record_id(text: RawValue) -> str | None:
    if not isinstance(text, str):
        return None
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _accepted(entity: Entity, field: FieldMap) -> Canonical | None:
    """As `_canonical`, and what is never accepted is refused."""
    canonical, checks = _canonical(entity, field), entity.fields[field.field].refuses
    if not checks:
        return canonical

    def checked(text: str) -> str:
        value = text if canonical is None else canonical(text)
        if reason := wrong(checks, value):
            raise ValueRefused(INVALID + reason)
        return value

    return checked


def _canonical(entity: Entity, field: FieldMap) -> Canonical | None:
    codes = field.codes
    if codes is None:
        return entity.fields[field.field].type.canonical(field.zone)
    inward: Mapping[str, str] = codes.inward or {code: code for code in codes.codes}
    name, system = codes.name, codes.system

    def code(text: str) -> str:
        try:
            return inward[text]
        except KeyError:
            raise ValueRefused(
                f"the code is not in the code list {name} for {system}",
                suggestion=f"add the code to codes/{name}.csv, then retry",
            ) from None

    return code


def deliverable(field: FieldMap, value: Value) -> Value:
    """As `outward`, of a value that is to be written. Raises ValueRefused, too, for one that fails a check of the
    field."""
    if value is not None and (reason := wrong(field.checks, value)):
        raise ValueRefused(f"{field.field}: {reason}")
    return outward(field, value)


def outward(field: FieldMap, value: Value) -> Value:
    """A canonical value in the target's own spelling: its code, or a moment by its clocks. Null is null everywhere.
    Raises ValueRefused where the target has no code for it.

    >>> outward(FieldMap("name", "name"), "Ann")
    'Ann'
    """
    codes = field.codes
    if value is None:
        return None
    if codes is None:
        return value if field.zone is None else written(value, field.zone)
    if not codes.outward:
        return value
    try:
        return codes.outward[value]
    except KeyError:
        raise ValueRefused(
            f"the code list {codes.name} has no code for {field.field} in {codes.system}",
            suggestion=f"add a code for {codes.system} to codes/{codes.name}.csv, then retry",
        ) from None


def inward(entity: Entity, field: FieldMap, value: Value) -> Value:
    """What a target's own value means canonically. A value that means nothing here is given back as it is, so that it
    differs from every canonical one."""
    if value is None:
        return None
    canonical = _canonical(entity, field)
    try:
        return value if canonical is None else canonical(value)
    except ValueRefused:
        return value
