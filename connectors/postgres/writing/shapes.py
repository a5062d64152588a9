"""What a target's table looks like: the types that guarded statements need to compare and carry values exactly.

A typed temporary column would round, truncate or drop a time of day without a word when the value is copied into
it. So values travel in the widest type of their family (`ColumnType.wire`), and a statement compares them with what
the column would keep (`narrow`) before it writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.guard import check_expressions, check_question
from fieldwarden.rules.names import qualified
from fieldwarden.rules.rulebook import FieldMap, Stream

_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_WIRE = {**dict.fromkeys((*_INTEGERS, "real", "double precision"), "numeric"), "date": "timestamp without time zone"}
TEXTS = frozenset({"text", "character varying", "bpchar"})
NATIVE = frozenset(
    {*_INTEGERS, "real", "double precision", "numeric", "boolean", "date", "uuid", "jsonb"}
    | {f"{kind} {zone} time zone" for kind in ("timestamp", "time") for zone in ("with", "without")}
)
_SPANS = {"year": 1 << 2, "month": 1 << 1, "day": 1 << 3, "hour": 1 << 10, "minute": 1 << 11, "second": 1 << 12}
_ANY_SPAN = 0x7FFF
"""What an interval may be limited to, as its type modifier counts it, the largest first (utils/timestamp.h)."""
_INTERVAL = re.compile(
    r"interval(?: (?P<first>[a-z]+)(?: to (?P<last>[a-z]+))?)?(?:\((?P<digits>\d)\))?(?P<array>\[\])?"
)
_OBJECTS = re.compile(
    r"(?:oid|reg(?:class|collation|config|dictionary|namespace|oper|operator|proc|procedure|role|type))(\[\])?"
)
ROW = "t"
INPUT = "i"
"""The names under which statements know the target's row and our temporary table."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type as the catalogue names it: `plain` without its length or precision, `full` with it."""

    plain: str
    full: str

    @property
    def wire(self) -> str:
        return _WIRE.get(self.plain, self.plain)

    @property
    def narrow(self) -> bool:
        """Whether a value of the wire type may lose something in the column."""
        return self.full != self.wire

    def comparable(self, value: exp.Expr) -> exp.Expr:
        """`value` (of this type) so that equal means equal to the last character: a case-insensitive collation or
        type must not hide a difference, and a type without equality is compared as text."""
        if self.plain in NATIVE:
            return value
        if self.plain not in TEXTS:
            value = cast(value, "text")
        return exp.Collate(this=value, expression=exp.to_identifier("C", quoted=True))


@dataclass(frozen=True, slots=True)
class TargetTable:
    """The types of the columns a stream's writes touch, and of the expressions its fields are read through."""

    columns: Mapping[str, ColumnType]
    reads: Mapping[str, ColumnType]
    fires_first: bool = False
    """A trigger of the table runs before an insert, and so even for a row that then turns out to exist already."""

    def stored(self, mapping: FieldMap) -> ColumnType:
        """The type of what a field is read as."""
        assert mapping.column is not None
        return self.reads.get(mapping.field) or self.columns[mapping.column]

    def wire(self, mapping: FieldMap) -> str:
        """The type in which a field's new value travels. A reference holds a key as the target spells it."""
        assert mapping.column is not None
        kind = self.columns[mapping.column]
        return kind.plain if mapping.reference else kind.wire


def table(stream: Stream, *, alias: str = ROW) -> exp.Table:
    return named_table(stream.table, alias)


def named_table(name: str, alias: str) -> exp.Table:
    parts = [exp.to_identifier(part, quoted=True) for part in qualified(name)]
    node = exp.Table(this=parts[-1], db=parts[0] if len(parts) > 1 else None)
    node.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    return node


def column(name: str, source: str = ROW) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(source, quoted=True))


def cast(value: exp.Expr, kind: str) -> exp.Cast:
    """Raises EnvironmentUnfit for a type that could not be read again when the statement is checked."""
    return exp.Cast(this=value, to=_type(kind).copy())


def type_text(kind: str) -> str:
    """A type as statements spell it. Raises EnvironmentUnfit, as `cast` does."""
    return _type(kind).sql(dialect="postgres")


@cache
def _type(kind: str) -> exp.DataType:
    """A type as it is read again, so that it is spelled in the same way then."""
    try:
        node = _read_again(exp.DataType.build(_spelled(kind), dialect="postgres", udt=True))
        if _read_again(node).sql(dialect="postgres") == node.sql(dialect="postgres"):
            return node
    except SqlglotError:
        pass
    raise EnvironmentUnfit(
        f"a column of type {kind} cannot be written to",
        suggestion="mark its field `write: false`, or give the column a more usual type",
    )


def _read_again(node: exp.DataType) -> exp.DataType:
    cast = sqlglot.parse_one(f"CAST(x AS {node.sql(dialect='postgres')})", dialect="postgres")
    kind: exp.DataType = cast.args["to"]
    return kind


def _spelled(kind: str) -> str:
    """The same type in words that the parser keeps: it forgets the length of `bit varying(5)`, which is then bit(1),
    an interval's digits and arrays of object identifiers."""
    if kind.startswith("bit varying"):
        return kind.replace("bit varying", "varbit", 1)
    if kind.startswith('"bit"'):  # of any length; the parser forgets the quotes, and BIT is bit(1)
        return kind.replace('"bit"', "pg_catalog.bit", 1)
    if _OBJECTS.fullmatch(kind):
        return f"pg_catalog.{kind}"
    interval = _INTERVAL.fullmatch(kind)
    if interval is None or kind in ("interval", "interval[]"):
        return kind
    names, first = list(_SPANS), interval["first"]
    spans = names[names.index(first) : names.index(interval["last"] or first) + 1] if first else ()
    modifier = [str(sum(_SPANS[name] for name in spans) or _ANY_SPAN), *filter(None, [interval["digits"]])]
    return f"pg_catalog.interval({', '.join(modifier)}){interval['array'] or ''}"


def stored_value(mapping: FieldMap) -> exp.Expr:
    """What the row holds of a field: its column, or the expression it is read through."""
    assert mapping.column is not None
    return column(mapping.column) if mapping.read is None else parsed(mapping.read.sql(ROW))


def parsed(text: str) -> exp.Expr:
    return exp.Paren(this=sqlglot.parse_one(text, dialect="postgres"))


def arbiter(stream: Stream) -> tuple[str, ...]:
    """The unique columns by which a created row is known again, so that creating twice yields one row."""
    return stream.conflict or ((stream.external_id,) if stream.external_id else stream.key)


def identifying(stream: Stream) -> tuple[str, ...]:
    """The fields that a created row is known again by."""
    others = {*stream.parent_columns, *stream.constants, stream.external_id}
    unique = set(arbiter(stream)) - others
    return tuple(name for name in stream.create_fields if stream.fields[name].column in unique)


def written_fields(stream: Stream) -> Iterator[FieldMap]:
    for name in dict.fromkeys((*stream.update_fields, *stream.create_fields)):
        yield stream.fields[name]


def touched(stream: Stream) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns whose types a stream's statements need, and the fields read through an expression."""
    fields = list(written_fields(stream))
    names = [*stream.key, *stream.parent_columns, *stream.constants, *stream.conflict]
    names += [stream.external_id] if stream.external_id else []
    names += [mapping.column for mapping in fields if mapping.column is not None]
    for name, expression in stream.on_write.items():
        names += [name, *sorted(expression.columns)]
    return tuple(dict.fromkeys(names)), tuple(mapping.field for mapping in fields if mapping.read is not None)


def description(stream: Stream) -> str:
    """A statement without rows, whose result columns have the types of `touched(stream)`, in that order.

    Raises GuardViolation if an expression of the stream is not of the rules."""
    columns, reads = touched(stream)
    values = [column(name) for name in columns] + [stored_value(stream.fields[name]) for name in reads]
    text = exp.select(*values).from_(table(stream)).limit(0).sql(dialect="postgres")
    check_expressions(stream)
    check_question(stream, text)
    return text
