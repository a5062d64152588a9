"""Guarded upserts: the statements that write one stream's rows, built as sqlglot trees and nothing else.

A group of writes is copied into a temporary table `i` and applied by one set-based statement, which answers for the
rows it wrote. `look` then answers for those it did not: they were equal already, changed by somebody, gone, or do
not fit. Columns of `i`: ord (int, the write's number), k0.. (key), p0.. (parent's key), r (record), and per field,
by its number in the stream's write set: w0.. (write it?), n0.. (new value), o0.. (expected old value).

Both statements yield rows of (ord, key, differing[, misfit]); `key` is null where there is no such row, or none was
made. `differing` is null where the row holds all that was asked for, else a JSON array over the group's fields of
null or [text]. `misfit` is the reason why a value may not be written. $1 and $2 bound ord (from, up to but without).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from fieldwarden.connectors.postgres.writing import on_write, reasons
from fieldwarden.connectors.postgres.writing.exactly import Asked, check_exactly
from fieldwarden.connectors.postgres.writing.fields import Slot, slots_of, together
from fieldwarden.connectors.postgres.writing.lookup import Lookup, locking
from fieldwarden.connectors.postgres.writing.shapes import (
    INPUT,
    ROW,
    TargetTable,
    arbiter,
    cast,
    column,
    parsed,
    stored_value,
    table,
)
from fieldwarden.connectors.postgres.writing.wide import part_fields
from fieldwarden.engine import guard
from fieldwarden.engine.guard import GuardViolation, Operation
from fieldwarden.rules.names import qualified
from fieldwarden.rules.rulebook import Stream


@dataclass(frozen=True, slots=True)
class Statement:
    write: str
    look: str
    input_columns: tuple[str, ...]
    """The temporary table's columns that COPY fills, in order, after ord."""
    before: str = ""
    """What is sent first: it locks the parents under which rows are looked for before they are created."""


def input_table(stream: Stream, operation: Operation, shape: TargetTable, part: int = 0) -> list[tuple[str, str]]:
    """The temporary table for one stream and operation (or one part of it: `wide`): (column, type) pairs."""
    result = [("ord", "integer")]
    if operation != "create":
        result += [(f"k{n}", shape.columns[name].plain) for n, name in enumerate(stream.key)]
    elif stream.external_id:
        result += [("r", shape.columns[stream.external_id].plain)]
    if operation == "create":
        result += [(f"p{n}", shape.columns[name].plain) for n, name in enumerate(stream.parent_columns)]
    for slot in slots_of(stream, operation, shape, part_fields(stream, operation, part)):
        result.append((f"n{slot.number}", slot.wire))
        if operation == "update":
            result += [(f"w{slot.number}", "boolean"), (f"o{slot.number}", slot.stored.wire)]
    return result


def statement(
    stream: Stream,
    operation: Operation,
    shape: TargetTable,
    source: str,
    fields: Sequence[str],
    unguarded: Collection[str] = (),
    blocks: Collection[Sequence[str]] = (),
) -> Statement:
    """Build and check the statements that apply a group: writes of one operation that ask for `fields`, of which the
    `unguarded` are written whatever the row holds, and those of each of the `blocks` together or not at all.

    `source` names the temporary table. Raises GuardViolation if a statement would write outside the rules."""
    slots = slots_of(stream, operation, shape, fields, unguarded)
    match operation:
        case "create":
            write, look, inputs = _create(stream, shape, slots, _source(source))
        case "update":
            write, look, inputs = _update(stream, shape, together(slots, blocks), _source(source))
        case "delete":
            write, look, inputs = _delete(stream, _source(source))
    before = locking(stream, _source(source), _range()) if operation == "create" and stream.parent_row else ""
    text = write.sql(dialect="postgres") if write is not None else ""
    made = Statement(text, look.sql(dialect="postgres"), tuple(inputs), before)
    check_made(made, Asked(stream, operation, shape, source, fields, unguarded, blocks))
    return made


def check_made(made: Statement, asked: Asked) -> None:
    """Refuse statements that do anything but what is asked for. Once per statement, not per row.

    Raises GuardViolation."""
    stream = asked.stream
    if made.write:
        guard.check_statement(stream, asked.operation, qualified(stream.table), made.write)
    check_exactly(asked, made.write, made.look, made.before)


def _source(name: str) -> exp.Table:
    node = exp.Table(this=exp.to_identifier(name, quoted=True), db=exp.to_identifier("pg_temp", quoted=True))
    node.set("alias", exp.TableAlias(this=exp.to_identifier(INPUT, quoted=True)))
    return node


def _ordinal() -> exp.Column:
    return column("ord", INPUT)


def _range() -> list[exp.Expr]:
    return [
        exp.GTE(this=_ordinal(), expression=exp.Parameter(this=exp.Literal.number(1))),
        exp.LT(this=_ordinal(), expression=exp.Parameter(this=exp.Literal.number(2))),
    ]


def _update(
    stream: Stream, shape: TargetTable, slots: Sequence[Slot], source: exp.Table
) -> tuple[exp.Expr | None, exp.Select, list[str]]:
    write: exp.Expr | None = None
    if slots:
        values = {slot.column: _assigned(slot) for slot in slots}
        values |= on_write.updated(stream, shape, values)
        write = exp.Update(
            this=table(stream),
            expressions=[exp.EQ(this=_bare(name), expression=value) for name, value in values.items()],
            from_=exp.From(this=source.copy()),
            where=exp.Where(
                this=exp.and_(
                    *_range(),
                    *_same_row(stream),
                    exp.or_(*(s.due() for s in slots), copy=False),
                    *_fits(slots),
                    copy=False,
                )
            ),
            returning=exp.Returning(expressions=[_ordinal(), _key(stream), _differing(slots, asked=True)]),
        )
    look = _look(source, stream, _same_row(stream), [_differing(slots, asked=True), _misfit(slots)])
    inputs = [f"k{n}" for n in range(len(stream.key))]
    return write, look, inputs + [f"{part}{slot.number}" for slot in slots for part in "wno"]


def _assigned(slot: Slot) -> exp.Expr:
    return exp.case().when(slot.due(), slot.value, copy=False).else_(column(slot.column), copy=False)


def _delete(stream: Stream, source: exp.Table) -> tuple[exp.Expr | None, exp.Select, list[str]]:
    write = exp.Delete(
        this=table(stream),
        using=[source.copy()],
        where=exp.Where(this=exp.and_(*_range(), *_same_row(stream))),
        returning=exp.Returning(expressions=[_ordinal(), _key(stream), exp.null()]),
    )
    kept = exp.case().when(_exists(stream), exp.Literal.string(reasons.KEPT))
    look = _look(source, stream, _same_row(stream), [exp.null(), kept])
    return write, look, [f"k{n}" for n in range(len(stream.key))]


def _create(
    stream: Stream, shape: TargetTable, slots: Sequence[Slot], source: exp.Table
) -> tuple[exp.Expr | None, exp.Select, list[str]]:
    values = _inserted(stream, shape, slots)
    unique = _told_apart(stream, values)
    same = [*(exp.EQ(this=column(name), expression=values[name].copy()) for name in unique), *_among(stream)]
    absent = exp.not_(exp.Exists(this=exp.select("1").from_(table(stream)).where(*same)))
    lookup = Lookup(stream, values) if stream.parent_row else None
    unless = [lookup.belongs, absent] if lookup is not None else [absent] if shape.fires_first else []
    chosen = exp.select(*values.values()).from_(source.copy()).where(*_range(), *_fits(slots), *unless)
    insert = exp.Insert(
        this=exp.Schema(this=table(stream), expressions=[exp.to_identifier(name, quoted=True) for name in values]),
        expression=chosen,
        conflict=None if lookup else _conflict(stream, unique),
        returning=exp.Returning(expressions=_made(stream, unique, slots)),
    )
    # A full join is never a nested loop, whatever the planner thinks of a temporary table it knows nothing about.
    made_from = [
        exp.EQ(this=column(f"a{n}", "made"), expression=values[name].copy())
        for n, name in enumerate(unique)
        if name not in stream.constants
    ]
    given = exp.select("*").from_(source.copy()).where(*_range()).subquery(exp.to_identifier(INPUT, quoted=True))
    write = (
        exp.select(_ordinal(), column("key", "made"), _differing(slots, asked=False, source="made"))
        .from_(exp.Table(this=exp.to_identifier("made", quoted=True)))
        .join(given, on=exp.and_(*made_from), join_type="full")
        .with_("made", as_=insert)
    )
    stranger = lookup.stranger if lookup else _stranger(stream, unique, values)
    found = [*same, lookup.first] if lookup else same
    look = _look(source, stream, found, [_differing(slots, asked=False), _misfit(slots, stranger)])
    inputs = ["r"] if stream.external_id else []
    inputs += [f"p{n}" for n in range(len(stream.parent_columns))]
    return write, look, inputs + [f"n{slot.number}" for slot in slots]


def _told_apart(stream: Stream, values: Mapping[str, exp.Expr]) -> tuple[str, ...]:
    """The unique columns of a created row, each of which must be set, and not only by constants."""
    unique = arbiter(stream)
    unset = [name for name in unique if name not in values]
    if unset or all(name in stream.constants for name in unique):
        raise GuardViolation(
            f"{stream.system} {stream.name}: a row could be created twice, since nothing sets "
            f"{unset[0] if unset else 'its unique columns but constants'}",
            suggestion="name an `external_id`, or map the columns of `unique` or of the key",
        )
    return unique


def _inserted(stream: Stream, shape: TargetTable, slots: Sequence[Slot]) -> dict[str, exp.Expr]:
    """Column -> the value a created row gets."""
    values: dict[str, exp.Expr] = {slot.column: slot.value for slot in slots}
    for name, text in stream.constants.items():
        values[name] = cast(exp.Literal.string(text), shape.columns[name].plain)
    for number, name in enumerate(stream.parent_columns):
        values[name] = column(f"p{number}", INPUT)
    if stream.external_id:
        values[stream.external_id] = column("r", INPUT)
    return values | on_write.created(stream, shape, values)


def _conflict(stream: Stream, unique: Sequence[str]) -> exp.OnConflict:
    """Creating twice yields one row: what is there already is left alone, and `look` answers for it. The predicate
    is implied by any value we insert; it lets a unique index be partial (WHERE ... IS NOT NULL, or as files say)."""
    names = [exp.to_identifier(name, quoted=True) for name in unique]
    holds: list[exp.Expr] = [_not_null(exp.Column(this=n.copy())) for n in names]
    if stream.conflict_where is not None:
        holds.append(exp.Paren(this=stream.conflict_where.over(_bare)))
    return exp.OnConflict(
        conflict_keys=names,
        index_predicate=exp.Where(this=exp.and_(*holds)),
        action=exp.var("DO NOTHING"),
    )


def _made(stream: Stream, unique: Sequence[str], slots: Sequence[Slot]) -> list[exp.Expr]:
    result = [exp.alias_(column(name), f"a{n}", quoted=True) for n, name in enumerate(unique)]
    result.append(exp.alias_(_key(stream), "key", quoted=True))
    return result + [exp.alias_(stored_value(slot.mapping), f"h{slot.number}", quoted=True) for slot in slots]


def _stranger(stream: Stream, unique: Sequence[str], values: Mapping[str, exp.Expr]) -> tuple[exp.Expr, str] | None:
    """When, and why, the row that was there before ours is not one to go on with: it is another thing, or another's."""
    belongs: list[exp.Expr] = [
        exp.EQ(this=column(name), expression=values[name].copy()) for name in stream.parent_columns
    ]
    if stream.where is not None:
        belongs.append(exp.Paren(this=exp.Is(this=parsed(stream.where.sql(ROW)), expression=exp.true())))
    if not belongs:
        return None
    reason = reasons.stranger(stream.name, unique, child=bool(stream.parent_columns))
    return exp.and_(_exists(stream), exp.not_(exp.Paren(this=exp.and_(*belongs)))), reason


def _among(stream: Stream) -> list[exp.Expr]:
    """Among which rows the one is looked for that creating a row twice would find."""
    told = stream.where if stream.parent_row else stream.conflict_where
    return [] if told is None else [parsed(told.sql(ROW))]


def _look(source: exp.Table, stream: Stream, same: Sequence[exp.Expr], values: Sequence[exp.Expr]) -> exp.Select:
    key = exp.case().when(_exists(stream), _key(stream))
    return (
        exp.select(_ordinal(), key, *values)
        .from_(source.copy())
        .join(table(stream), on=exp.and_(*same), join_type="left")
        .where(*_range())
    )


def _same_row(stream: Stream) -> list[exp.Expr]:
    """The row with this key, as long as it belongs to the stream."""
    same: list[exp.Expr] = [
        exp.EQ(this=column(name), expression=column(f"k{n}", INPUT)) for n, name in enumerate(stream.key)
    ]
    return same if stream.where is None else [*same, parsed(stream.where.sql(ROW))]


def _exists(stream: Stream) -> exp.Expr:
    return _not_null(column(stream.key[0]))


def _not_null(value: exp.Expr) -> exp.Expr:
    return exp.not_(exp.Is(this=value.copy(), expression=exp.null()))


def _key(stream: Stream) -> exp.Expr:
    parts = [cast(column(name), "text") for name in stream.key]
    return parts[0] if len(parts) == 1 else cast(_json(parts), "text")


def _json(parts: Sequence[exp.Expr]) -> exp.Expr:
    """Of any number of parts of one type: a function takes a hundred arguments at most, an array's constructor any."""
    return exp.Anonymous(this="array_to_json", expressions=[exp.Array(expressions=list(parts))])


def _bare(name: str) -> exp.Column:
    return exp.Column(this=exp.to_identifier(name, quoted=True))


def _fits(slots: Sequence[Slot]) -> list[exp.Expr]:
    return [fits for slot in slots if (fits := slot.fits) is not None]


def _misfit(slots: Sequence[Slot], stranger: tuple[exp.Expr, str] | None = None) -> exp.Expr:
    """The reason why a row's new values may not be written, or null."""
    case = exp.case()
    if stranger is not None:
        case = case.when(stranger[0], exp.Literal.string(stranger[1]))
    for slot in slots:
        if (fits := slot.fits) is not None:
            reason = reasons.misfit(slot.mapping.field, slot.column, slot.kind.full)
            case = case.when(exp.not_(exp.Paren(this=fits)), exp.Literal.string(reason), copy=False)
    return case if case.args.get("ifs") else cast(exp.null(), "text")


def _differing(slots: Sequence[Slot], *, asked: bool, source: str = "") -> exp.Expr:
    """What the row holds in those fields that were asked for and do not hold the new value; null if there is none."""
    tests, values = [], []
    for slot in slots:
        what = column(f"h{slot.number}", source) if source else stored_value(slot.mapping)
        test = exp.and_(slot.asked, slot.differs(what), copy=False) if asked else slot.differs(what)
        tests.append(test)
        values.append(exp.case().when(test.copy(), _json([cast(what.copy(), "text")]), copy=False))
    if not tests:
        return exp.null()
    return exp.case().when(exp.or_(*tests, copy=False), cast(_json(values), "text"), copy=False)
