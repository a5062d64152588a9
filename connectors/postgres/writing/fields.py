"""One field of a group of writes, as statements carry its values and compare them with what the row holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from fieldwarden.connectors.postgres.writing.shapes import INPUT, ColumnType, TargetTable, cast, column, stored_value
from fieldwarden.engine.guard import GuardViolation, Operation
from fieldwarden.rules.rulebook import FieldMap, Stream


@dataclass(frozen=True, slots=True)
class Slot:
    """One field of a group: its number in the write set, and how its values are carried and compared."""

    mapping: FieldMap
    number: int
    column: str
    kind: ColumnType
    stored: ColumnType
    wire: str
    guarded: bool = True
    mates: tuple[Slot, ...] = ()
    """What is written together with it."""

    @property
    def new(self) -> exp.Expr:
        return column(f"n{self.number}", INPUT)

    @property
    def value(self) -> exp.Expr:
        """The new value in the column's own type; exact, since a misfit is never written."""
        return self.new if self.wire == self.kind.plain else cast(self.new, self.kind.plain)

    @property
    def asked(self) -> exp.Expr:
        return column(f"w{self.number}", INPUT)

    @property
    def fits(self) -> exp.Expr | None:
        """Whether the column would keep the new value as it is."""
        if not self.kind.narrow or self.wire == self.kind.full:
            return None
        wire = ColumnType(self.wire, self.wire)
        kept = cast(cast(self.new, self.kind.full), self.wire)
        return exp.NullSafeEQ(this=wire.comparable(self.new), expression=wire.comparable(kept))

    def differs(self, what: exp.Expr) -> exp.Expr:
        """Whether `what` (of the type the field is read as) is not the new value."""
        wanted = self.new if self.wire == self.stored.plain else cast(self.new, self.stored.plain)
        return exp.NullSafeNEQ(this=self.stored.comparable(what), expression=self.stored.comparable(wanted))

    def unchanged(self) -> exp.Expr:
        """Whether the row still holds what was expected."""
        expected: exp.Expr = column(f"o{self.number}", INPUT)
        expected = expected if self.stored.wire == self.stored.plain else cast(expected, self.stored.plain)
        return exp.NullSafeEQ(
            this=self.stored.comparable(stored_value(self.mapping)), expression=self.stored.comparable(expected)
        )

    def due(self) -> exp.Expr:
        guards = [self.unchanged()] if self.guarded else []
        guards += [mate.open() for mate in self.mates if mate.guarded]
        return exp.and_(self.asked, *guards, self.differs(stored_value(self.mapping)), copy=False)

    def open(self) -> exp.Expr:
        """Whether it does not stand in the way of what is written together with it: nobody has changed it."""
        same = exp.not_(exp.Paren(this=self.differs(stored_value(self.mapping))))
        return exp.Paren(this=exp.or_(exp.not_(self.asked), self.unchanged(), same, copy=False))


def write_set(stream: Stream, operation: Operation) -> tuple[str, ...]:
    return {"create": stream.create_fields, "update": stream.update_fields, "delete": ()}[operation]


def slots_of(
    stream: Stream, operation: Operation, shape: TargetTable, fields: Sequence[str], unguarded: Collection[str] = ()
) -> list[Slot]:
    numbers = {name: number for number, name in enumerate(write_set(stream, operation))}
    result = []
    for name in fields:
        mapping = stream.fields[name]
        if mapping.column is None or name not in numbers:
            raise GuardViolation(f"{stream.system} {stream.name}: the field {name} is not in the {operation} set")
        kind = shape.columns[mapping.column]
        wire, guarded = shape.wire(mapping), name not in unguarded
        result.append(Slot(mapping, numbers[name], mapping.column, kind, shape.stored(mapping), wire, guarded))
    return result


def together(slots: Sequence[Slot], blocks: Collection[Sequence[str]]) -> list[Slot]:
    """The slots, each knowing those that are written with it."""
    mates = {slot.mapping.field: set[str]() for slot in slots}
    for block in blocks:
        for name in block:
            if name in mates:
                mates[name].update(block)
    return [
        replace(slot, mates=tuple([each for each in slots if each is not slot and each.mapping.field in mates[name]]))
        for slot, name in zip(slots, mates, strict=True)
    ]
