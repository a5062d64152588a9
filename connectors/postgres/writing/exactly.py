"""What each statement of a target is, word for word, said a second time and apart from what builds it.

`statements` builds trees out of slots; here the same few shapes stand as text, one function for each, filled in from
the stream, the types of its columns and what the write asks for. A statement that is not the very text that comes of
its own parameters is refused, whatever it does: one condition less, a column more, `WHERE true`, another table or
parameter. The two are kept apart on purpose (nothing is shared but types, names and the words of refusals): a mistake
has to be made twice, in two forms, before it is sent. A property test holds them against each other. Nothing that is
written here is ever sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlglot

from fieldwarden.connectors.postgres.writing import reasons
from fieldwarden.connectors.postgres.writing.shapes import NATIVE, TEXTS, ColumnType, TargetTable, type_text
from fieldwarden.engine.guard import Operation, check_expressions, violation
from fieldwarden.rules.expressions import Expression, is_now
from fieldwarden.rules.names import qualified
from fieldwarden.rules.rulebook import Stream

_RANGE = ('"i"."ord" >= $1', '"i"."ord" < $2')
_LOCAL = ("timestamp without time zone", "time without time zone", "date")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """What statements are for: writes of one operation that ask for `fields`, carried by the temporary table `source`;
    of the fields, `unguarded` are written whatever the row holds, those of each of the `blocks` together."""

    stream: Stream
    operation: Operation
    shape: TargetTable
    source: str
    fields: Sequence[str]
    unguarded: Collection[str] = ()
    blocks: Collection[Sequence[str]] = ()


def check_exactly(asked: Asked, write: str, look: str, before: str) -> None:
    """Refuse any of the three statements that is not the one that was asked for; an empty one is none.

    Raises GuardViolation that says where the first difference is."""
    check_expressions(asked.stream)
    for made, wanted in zip((write, look, before), _Text(asked).all(), strict=True):
        if made != wanted and made != (canonical := _canonical(wanted)):
            raise violation(asked.stream, asked.operation, _difference(made, canonical))


def _canonical(text: str) -> str:
    """As sqlglot spells it, should it come to spell anything otherwise than here. (Parsing is most of what all this
    costs, so it is done only then.)"""
    return sqlglot.parse_one(text, dialect="postgres").sql(dialect="postgres") if text else ""


def _difference(made: str, wanted: str) -> str:
    """In words, where a statement is another than the one that was asked for. (It holds names and the files' constants,
    and no row's value: those travel as parameters and by COPY.)"""
    if not made or not wanted:
        return "is there where none is asked for" if made else "is missing"
    at = next((at for at, (one, other) in enumerate(zip(made, wanted, strict=False)) if one != other), len(wanted))
    begin = made.rfind(" ", 0, at) + 1
    found, due = (text[begin : at + _SHOWN] or "nothing" for text in (made, wanted))
    return f"is not what its write asks for: where {due!r} must stand it goes on with {found!r}"


def _q(*names: str) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def _string(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _cast(text: str, kind: str) -> str:
    return f"CAST({text} AS {type_text(kind)})"


def _all(*conditions: str) -> str:
    return " AND ".join(conditions)


def _json(parts: Sequence[str]) -> str:
    return f"ARRAY_TO_JSON(ARRAY[{', '.join(parts)}])"


def _exact(kind: ColumnType, text: str) -> str:
    """A text is compared to the last character, whatever its collation; what cannot be compared is compared as text."""
    if kind.plain in NATIVE:
        return text
    return f'{text if kind.plain in TEXTS else _cast(text, "text")} COLLATE "C"'


class _Field:
    """One field that is asked for, by its number in the write set."""

    def __init__(self, asked: Asked, name: str, number: int) -> None:
        mapping = asked.stream.fields[name]
        assert mapping.column is not None
        self.name, self.number, self.column = name, number, mapping.column
        self.kind, self.read_as = asked.shape.columns[mapping.column], asked.shape.stored(mapping)
        self.wire = asked.shape.wire(mapping)
        self.guarded = name not in asked.unguarded
        self.holds = _q("t", mapping.column) if mapping.read is None else f"({mapping.read.sql('t')})"
        self.new, self.wanted = f'"i"."n{number}"', f'"i"."w{number}"'
        self.value = self.new if self.wire == self.kind.plain else _cast(self.new, self.kind.plain)
        old = f'"i"."o{number}"'
        self._old = old if self.read_as.wire == self.read_as.plain else _cast(old, self.read_as.plain)
        self.mates: list[_Field] = []

    @property
    def fits(self) -> str:
        """That the column would keep the new value as it is; empty where it always does."""
        if self.kind.full in (self.kind.wire, self.wire):
            return ""
        wire = ColumnType(self.wire, self.wire)
        kept = _cast(_cast(self.new, self.kind.full), self.wire)
        return f"{_exact(wire, self.new)} IS NOT DISTINCT FROM {_exact(wire, kept)}"

    def differs(self, what: str) -> str:
        new = self.new if self.wire == self.read_as.plain else _cast(self.new, self.read_as.plain)
        return f"{_exact(self.read_as, what)} IS DISTINCT FROM {_exact(self.read_as, new)}"

    @property
    def unchanged(self) -> str:
        return f"{_exact(self.read_as, self.holds)} IS NOT DISTINCT FROM {_exact(self.read_as, self._old)}"

    @property
    def due(self) -> str:
        """Compare and set: it is asked for, holds what we last saw there, its mates do not stand in the way, and it
        does not hold the new value already."""
        own = [self.unchanged] if self.guarded else []
        mates = [
            f"(NOT {mate.wanted} OR {mate.unchanged} OR NOT ({mate.differs(mate.holds)}))"
            for mate in self.mates
            if mate.guarded
        ]
        return _all(self.wanted, *own, *mates, self.differs(self.holds))


class _Text:
    """The statements of one group of writes, as text."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.stream, self.shape = asked, asked.stream, asked.shape
        self.table = _q(*qualified(self.stream.table))
        self.source = f'"pg_temp".{_q(asked.source)} AS "i"'
        self.key = _key(self.stream)
        order = self.stream.update_fields if asked.operation == "update" else self.stream.create_fields
        self.fields = [_Field(asked, name, order.index(name)) for name in asked.fields]
        for field in self.fields:
            with_it = {name for block in asked.blocks if field.name in block for name in block}
            field.mates = [each for each in self.fields if each is not field and each.name in with_it]
        self.fits = [field.fits for field in self.fields if field.fits]

    def all(self) -> tuple[str, str, str]:
        """(write, look, before)"""
        match self.asked.operation:
            case "update":
                return self.update(), self.look(self.same_row(), self.differing(asked=True), self.misfit("")), ""
            case "delete":
                kept = f"CASE WHEN {self.there} THEN {_string(reasons.KEPT)} END"
                return self.delete(), self.look(self.same_row(), "NULL", kept), ""
            case "create":
                return self.create(), self.looked_for(), self.locking()

    # --- what several of them share

    @property
    def there(self) -> str:
        return f"NOT {_q('t', self.stream.key[0])} IS NULL"

    def same_row(self) -> list[str]:
        same = [f"{_q('t', name)} = {_q('i', f'k{number}')}" for number, name in enumerate(self.stream.key)]
        return same + ([] if self.stream.where is None else [f"({self.stream.where.sql('t')})"])

    def differing(self, *, asked: bool, made: bool = False) -> str:
        tests, values = [], []
        for field in self.fields:
            what = f'"made"."h{field.number}"' if made else field.holds
            test = _all(field.wanted, field.differs(what)) if asked else field.differs(what)
            tests.append(test)
            values.append(f"CASE WHEN {test} THEN {_json([_cast(what, 'text')])} END")
        if not tests:
            return "NULL"
        several = asked and len(tests) > 1
        whole = " OR ".join(f"({test})" if several else test for test in tests)
        return f"CASE WHEN {whole} THEN {_cast(_json(values), 'text')} END"

    def misfit(self, stranger: str) -> str:
        cases = [stranger] if stranger else []
        for field in self.fields:
            if field.fits:
                why = reasons.misfit(field.name, field.column, field.kind.full)
                cases.append(f"WHEN NOT ({field.fits}) THEN {_string(why)}")
        return f"CASE {' '.join(cases)} END" if cases else _cast("NULL", "text")

    def look(self, same: Sequence[str], *values: str) -> str:
        told = ", ".join(['"i"."ord"', f"CASE WHEN {self.there} THEN {self.key} END", *values])
        return f'SELECT {told} FROM {self.source} LEFT JOIN {self.table} AS "t" ON {_all(*same)} WHERE {_all(*_RANGE)}'

    # --- update, delete

    def update(self) -> str:
        if not self.fields:
            return ""
        values = {
            each.column: f"CASE WHEN {each.due} THEN {each.value} ELSE {_q('t', each.column)} END"
            for each in self.fields
        }
        values |= self.beside(lambda name: values.get(name, _q("t", name)))
        due = " OR ".join(f"({each.due})" for each in self.fields)
        where = [*_RANGE, *self.same_row(), f"({due})" if len(self.fields) > 1 else due, *self.fits]
        assigned = ", ".join(f"{_q(name)} = {value}" for name, value in values.items())
        told = ", ".join(['"i"."ord"', self.key, self.differing(asked=True)])
        return f'UPDATE {self.table} AS "t" SET {assigned} FROM {self.source} WHERE {_all(*where)} RETURNING {told}'

    def delete(self) -> str:
        where = _all(*_RANGE, *self.same_row())
        return (
            f'DELETE FROM {self.table} AS "t" USING {self.source} WHERE {where} RETURNING "i"."ord", {self.key}, NULL'
        )

    def beside(self, value: Callable[[str], str]) -> dict[str, str]:
        """What `on_write` sets, by column; `value` is what a column holds once the write is made."""
        found = {}
        for name, expression in self.stream.on_write.items():
            kind = self.shape.columns[name].plain
            text = _over(expression, value)
            if is_now(expression) and kind in _LOCAL:
                zone = "UTC" if self.stream.zone is None else self.stream.zone.key
                text = f"CURRENT_TIMESTAMP AT TIME ZONE {_string(zone)}"
            found[name] = _cast(f"({text})", kind)
        return found

    # --- create

    def inserted(self) -> dict[str, str]:
        values = {field.column: field.value for field in self.fields}
        for name, constant in self.stream.constants.items():
            values[name] = _cast(_string(constant), self.shape.columns[name].plain)
        values |= {name: f'"i"."p{number}"' for number, name in enumerate(self.stream.parent_columns)}
        if self.stream.external_id:
            values[self.stream.external_id] = '"i"."r"'
        given = dict(values)
        return values | self.beside(lambda name: given.get(name) or _cast("NULL", self.shape.columns[name].plain))

    @property
    def unique(self) -> tuple[str, ...]:
        stream = self.stream
        return stream.conflict or ((stream.external_id,) if stream.external_id else stream.key)

    def found(self, values: Mapping[str, str]) -> list[str]:
        """The row that is there already, among those that would be taken for the one to create."""
        told = self.stream.where if self.stream.parent_row else self.stream.conflict_where
        same = [f"{_q('t', name)} = {values[name]}" for name in self.unique]
        return same + ([] if told is None else [f"({told.sql('t')})"])

    def belongs(self, values: Mapping[str, str]) -> str:
        """That the row to create would be one of the stream's."""
        where = self.stream.where
        return "TRUE" if where is None else f"({_over(where, lambda name: f'({values[name]})')})"

    def create(self) -> str:
        values, stream = self.inserted(), self.stream
        absent = f'NOT EXISTS(SELECT 1 FROM {self.table} AS "t" WHERE {_all(*self.found(values))})'
        where, conflict = [*_RANGE, *self.fits], ""
        if stream.parent_row:
            where += [self.belongs(values), absent]
        else:
            where += [absent] if self.shape.fires_first else []
            conflict = f" {self.conflict()}"
        told = [f"{_q('t', name)} AS {_q(f'a{number}')}" for number, name in enumerate(self.unique)]
        told += [f'{self.key} AS "key"', *(f"{each.holds} AS {_q(f'h{each.number}')}" for each in self.fields)]
        insert = (
            f'INSERT INTO {self.table} AS "t" ({", ".join(map(_q, values))}) SELECT {", ".join(values.values())} '
            f"FROM {self.source} WHERE {_all(*where)}{conflict} RETURNING {', '.join(told)}"
        )
        same = [
            f"{_q('made', f'a{number}')} = {values[name]}"
            for number, name in enumerate(self.unique)
            if name not in stream.constants
        ]
        return (
            f'WITH made AS ({insert}) SELECT "i"."ord", "made"."key", {self.differing(asked=False, made=True)} '
            f'FROM "made" FULL JOIN (SELECT * FROM {self.source} WHERE {_all(*_RANGE)}) AS "i" ON {_all(*same)}'
        )

    def conflict(self) -> str:
        holds = [f"NOT {_q(name)} IS NULL" for name in self.unique]
        if self.stream.conflict_where is not None:
            holds.append(f"({_over(self.stream.conflict_where, _q)})")
        return f"ON CONFLICT({', '.join(map(_q, self.unique))}) WHERE {_all(*holds)} DO NOTHING"

    def looked_for(self) -> str:
        values, stream = self.inserted(), self.stream
        same = self.found(values)
        if stream.parent_row:
            mine, theirs = (", ".join(_q(each, name) for name in stream.key) for each in ("t", "o"))
            among = [f"{_q('o', name)} = {values[name]}" for name in stream.parent_columns]
            among += [] if stream.where is None else [f"({stream.where.sql('o')})"]
            among.append(f"({theirs}) < ({mine})")
            same.append(f'NOT EXISTS(SELECT 1 FROM {self.table} AS "o" WHERE {_all(*among)})')
        return self.look(same, self.differing(asked=False), self.misfit(self.stranger(values)))

    def stranger(self, values: Mapping[str, str]) -> str:
        stream = self.stream
        if stream.parent_row:
            absent = f"{_q('t', stream.key[0])} IS NULL AND NOT ({self.belongs(values)} IS TRUE)"
            return "" if stream.where is None else f"WHEN {absent} THEN {_string(reasons.outside(stream.name))}"
        mine = [f"{_q('t', name)} = {values[name]}" for name in stream.parent_columns]
        if stream.where is not None:
            mine.append(f"(({stream.where.sql('t')}) IS TRUE)")
        if not mine:
            return ""
        why = reasons.stranger(stream.name, self.unique, child=bool(stream.parent_columns))
        return f"WHEN {self.there} AND NOT ({_all(*mine)}) THEN {_string(why)}"

    def locking(self) -> str:
        if not self.stream.parent_row:
            return ""
        table, key = self.stream.parent_row
        same = [f"{_q('parent', name)} = {_q('i', f'p{number}')}" for number, name in enumerate(key)]
        return (
            f'SELECT 1 FROM {_q(*qualified(table))} AS "parent" JOIN {self.source} ON {_all(*same)} '
            f'WHERE {_all(*_RANGE)} ORDER BY {", ".join(_q("parent", name) for name in key)} FOR UPDATE OF "parent"'
        )


def _key(stream: Stream) -> str:
    parts = [_cast(_q("t", name), "text") for name in stream.key]
    return parts[0] if len(parts) == 1 else _cast(_json(parts), "text")


def _over(expression: Expression, value: Callable[[str], str]) -> str:
    """An expression of the rules in which each column is what `value` says of it."""
    tree = expression.over(lambda name: sqlglot.parse_one(value(name), dialect="postgres"))
    return tree.sql("postgres", comments=False)
