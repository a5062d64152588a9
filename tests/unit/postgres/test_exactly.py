"""Whatever the mapping, our statements are what their writes ask for; whatever is changed in one, it is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from re import split
from typing import Any

import psycopg
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from fieldwarden.connectors.postgres.writing import fields as slots
from fieldwarden.connectors.postgres.writing.exactly import Asked
from fieldwarden.connectors.postgres.writing.shapes import ColumnType, TargetTable, description, type_text
from fieldwarden.connectors.postgres.writing.statements import Statement, check_made, statement
from fieldwarden.engine.guard import GuardViolation
from fieldwarden.rules.expressions import Expression, now, parse
from fieldwarden.rules.rulebook import FieldMap, Stream
from fieldwarden.rules.zones import zone

FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
NAMES = ("phone", "Name", 'qu"ote', "select", "credit", "at", "größe")
KINDS = [
    ColumnType("text", "text"),
    ColumnType("character varying", "character varying(10)"),
    ColumnType("numeric", "numeric(10,2)"),
    ColumnType("integer", "integer"),
    ColumnType("timestamp without time zone", "timestamp(0) without time zone"),
    ColumnType("date", "date"),
    ColumnType("jsonb", "jsonb"),
    ColumnType("xml", "xml"),
    ColumnType("app.mood", "app.mood"),
    ColumnType("geometry", "geometry(Point,4326)"),
    ColumnType("interval", "interval day to second(3)"),
    ColumnType("bit varying", "bit varying(5)"),
]
SERVERS_OWN = """"bit"; "bit"[]
interval; interval[]; interval(3); interval(3)[]; interval year; interval year to month; numeric(10,2)
interval day to second(3); interval hour to minute; interval second(2)[]; bit(3); bit varying; bit varying(5); json
bit varying(5)[]; time(3) with time zone; timestamp(0) without time zone[]; timestamp(3) with time zone; "char"; point
"char"[]; name; oid; oid[]; regclass; regclass[]; money; inet; cidr; macaddr8; polygon; tsvector; tsquery; jsonpath
pg_lsn; xid8; int4range; int4multirange; tstzrange[]; bytea; double precision; character(3); numeric(10,2)[]; uuid
character varying(7)[]; app.amount; app.mood; app.mood[]; "App"."My Mood"; "App"."My Mood"[]; app."Mo""od"; "Mood"
"my.schema"."my.type"; "select\""""
EXTENSIONS = """citext; hstore; ltree; vector(3); ext.vector(3); halfvec(3)[]; geometry(Point,4326); public.citext
raster; gis.geometry(PointZM,4326)[]; geography(Point,4326); geometry(MultiPolygon); isbn13"""
TEXT = KINDS[0]
WHERE = ["kind = 'x'", "not gone", "kind in ('a', 'it''s') and gone is null", "coalesce(kind, '') <> 'x' or gone"]
SET = [now(), parse("7"), parse("upper(kind) || 'x'"), parse("coalesce(kind, 'x')"), parse("case when gone then 1 end")]
READS = ["nullif({}, '')", "trim({})", "upper({}) || 'x'", "case when {} = 'a' then 'b' else {} end"]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    """A mapping, and a group of writes that it allows."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    reads: dict[str, Expression] = {
        name: parse(draw(st.sampled_from(READS)).replace("{}", quoted(name))) for name in names if draw(st.booleans())
    }
    reads = {name: read for name, read in reads.items() if draw(st.booleans())}
    columns = {name: draw(st.sampled_from(KINDS)) for name in names}
    columns |= dict.fromkeys(("id", "company", "ext", "kind", "parent", "wd"), TEXT)
    columns |= {"gone": ColumnType("boolean", "boolean"), "at2": draw(st.sampled_from(KINDS))}
    shape = TargetTable(columns, dict.fromkeys(reads, TEXT), draw(st.booleans()))
    child, looked_up = draw(st.sampled_from([(False, False), (True, False), (True, True)]))
    unique = ("parent",) if child else ()
    mapped = {name: FieldMap(name, name, reads.get(name)) for name in names}
    mapped = {
        name: replace(each, reference="public.other" if each.read is None and draw(st.booleans()) else None)
        for name, each in mapped.items()
    }
    stream = Stream(
        "erp",
        draw(st.sampled_from(["public.party", "party", '"my.schema"."My ""Table"""'])),
        "customer",
        draw(st.sampled_from([("id",), ("company", "id")])),
        mapped,
        parent="public.other" if child else None,
        parent_columns=unique,
        parent_row=("public.other", ("id",)) if looked_up else None,
        external_id=None if child else "ext",
        where=draw(st.none() | st.sampled_from(WHERE).map(parse)) if not looked_up else parse("kind = 'x'"),
        conflict=unique,
        conflict_where=draw(st.none() | st.sampled_from(WHERE).map(parse)) if child and not looked_up else None,
        constants={"kind": "it's"},
        on_write={"wd": draw(st.sampled_from(SET)), "at2": now()} if draw(st.booleans()) else {},
        creates=True,
        on_retire="delete",
        update_fields=tuple(names),
        create_fields=tuple(names),
        zone=draw(st.sampled_from([None, zone("Asia/Tokyo")])),
    )
    operation: Any = draw(st.sampled_from(["create", "update", "delete"]))
    wanted = draw(st.permutations(names))[: draw(st.integers(0, len(names)))] if operation != "delete" else []
    some = st.lists(st.sampled_from(names), unique=True)
    unguarded = draw(some) if operation == "update" else []
    return Asked(stream, operation, shape, "fw_1", tuple(wanted), frozenset(unguarded), (tuple(draw(some)),))


def made(asked: Asked) -> Statement:
    return statement(
        asked.stream, asked.operation, asked.shape, asked.source, asked.fields, asked.unguarded, asked.blocks
    )


def places(text: str) -> list[tuple[int, Change]]:
    """All that could be changed in a statement: a condition or part that is gone or always true, another parameter,
    table or column, something more."""
    tree = sqlglot.parse_one(text, dialect="postgres")
    return [(place, change) for place, node in enumerate(tree.walk()) for change in CHANGES if change.fits(node)]


def changed(text: str, place: int, change: Change) -> str:
    tree = sqlglot.parse_one(text, dialect="postgres")
    change.make(next(node for number, node in enumerate(tree.walk()) if number == place))
    return tree.sql(dialect="postgres")


@dataclass(frozen=True)
class Change:
    kinds: tuple[type[exp.Expr], ...]
    make: Callable[[Any], object]
    but_in: tuple[type[exp.Expr], ...] = ()

    def fits(self, node: exp.Expr) -> bool:
        return isinstance(node, self.kinds) and not isinstance(node.parent, self.but_in)


def part_less(node: exp.Expr) -> None:
    gone = next(name for name in ("conflict", "locks", "where", "order", "from_", "this") if node.args.get(name))
    node.set(gone, None)


def one_more_set(node: exp.Update) -> None:
    node.append("expressions", exp.EQ(this=exp.column("terms", quoted=True), expression=exp.Literal.number(1)))


CONDITIONS = (exp.EQ, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Exists, exp.GTE, exp.LT, exp.Is)
CHANGES = (
    Change((exp.And, exp.Or), lambda node: node.replace(node.this)),
    Change((exp.And, exp.Or), lambda node: node.replace(node.expression)),
    Change(CONDITIONS, lambda node: node.replace(exp.true()), but_in=(exp.Update,)),
    Change((exp.Parameter,), lambda node: node.replace(exp.Parameter(this=exp.Literal.number(3)))),
    Change((exp.Identifier,), lambda node: node.set("this", f"{node.name}_")),
    Change((exp.Identifier,), lambda node: node.set("this", node.name.swapcase() + "i")),
    Change((exp.Update,), one_more_set),
    Change((exp.Schema, exp.Select, exp.Returning), lambda node: node.append("expressions", exp.column("terms"))),
    Change((exp.Where,), lambda node: node.set("this", exp.or_(node.this, exp.true()))),
    Change((exp.Insert, exp.Select, exp.Update, exp.Delete), part_less),
    Change(
        (exp.Column,),
        lambda node: node.replace(exp.func("setval", exp.Literal.string("s"), node.copy())),
        but_in=(exp.Update, exp.EQ, exp.Schema),
    ),
    Change((exp.Literal,), lambda node: node.replace(exp.Literal.string("else"))),
    Change((exp.Cast,), lambda node: node.set("to", exp.DataType.build("app.loud", dialect="postgres", udt=True))),
)


@FEW
@given(asked())
def test_what_we_make_is_what_is_asked_for(asked: Asked) -> None:
    """The two descriptions of a statement agree: `statement` compares them itself."""
    assert made(asked).look
    description(asked.stream)


def of_type(kind: str) -> Asked:
    shape = replace(SHAPE, columns={**SHAPE.columns, "amount": ColumnType(kind.partition("(")[0], kind)})
    return Asked(STREAM, "update", shape, "fw_1", ("amount",))


def test_a_column_of_any_type_of_the_server_is_cast_to_that_very_type(database: str) -> None:
    """No length, precision, field or array is lost on the way: the server says which type it is that we name."""
    with psycopg.connect(database, autocommit=True) as person:
        person.execute(
            """create schema app; create schema "App"; create schema "my.schema"; create domain app.amount as numeric;
            create type app.mood as enum ('a'); create type "App"."My Mood" as enum ('a');
            create type app."Mo""od" as enum ('a'); create type "my.schema"."my.type" as enum ('a');
            create type "Mood" as enum ('a'); create type "select" as enum ('a')"""
        )
        for kind in split("; |\n", SERVERS_OWN):
            assert made(of_type(kind)).write
            person.execute(f"create temp table c (c {type_text(kind)})".encode())
            (found,) = person.execute(
                "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'c'::regclass"
                " and attnum = 1"
            ).fetchone() or ("",)
            person.execute("drop table c")
            assert found == kind


@pytest.mark.parametrize("kind", split("; |\n", EXTENSIONS))
def test_a_column_of_an_extensions_type_can_be_written(kind: str) -> None:
    assert made(of_type(kind)).write
    assert type_text(kind).lower().replace(" ", "") == kind.lower()


@pytest.mark.long
@settings(FEW, max_examples=30)
@given(asked(), st.data())
def test_whatever_is_changed_in_a_statement_it_is_refused(asked: Asked, data: st.DataObject) -> None:
    good: Any = made(asked)
    part = data.draw(st.sampled_from([name for name in ("write", "look", "before") if getattr(good, name)]))
    text = getattr(good, part)
    for place, change in data.draw(st.lists(st.sampled_from(places(text)), min_size=1, max_size=4)):
        other = changed(text, place, change)
        if other != text:
            with pytest.raises(GuardViolation, match="nothing was sent"):
                check_made(replace(good, **{part: other}), asked)


STREAM = Stream(
    "erp",
    "public.party",
    "customer",
    ("id",),
    {name: FieldMap(name, name) for name in ("phone", "amount")},
    external_id="ext",
    creates=True,
    on_retire="delete",
    update_fields=("phone", "amount"),
    create_fields=("phone", "amount"),
)
SHAPE = TargetTable(dict.fromkeys(("id", "ext", "phone"), TEXT) | {"amount": KINDS[2]}, {})


@pytest.mark.long
@pytest.mark.parametrize("operation", ["create", "update", "delete"])
def test_every_single_change_of_one_statement_is_refused(operation: Any) -> None:
    """The same exhaustively: no change at all is overlooked."""
    asked = Asked(STREAM, operation, SHAPE, "fw_1", () if operation == "delete" else ("amount",))
    good = made(asked)
    others = {changed(good.write, place, change) for place, change in places(good.write)} - {good.write}
    assert len(others) > 40
    for other in others:
        with pytest.raises(GuardViolation, match="nothing was sent"):
            check_made(replace(good, write=other), asked)


@pytest.mark.parametrize(
    "hostile", ["setval('s', 1)", "pg_read_file('x')", "app.pay(1)", "(select 1)", "phone::app.evil"]
)
@pytest.mark.parametrize("place", ["where", "on_write", "read", "unique"])
def test_an_expression_outside_the_allow_list_reaches_no_statement(place: str, hostile: str) -> None:
    """However it came into the rulebook."""
    text = f"{hostile} = 1" if place in ("where", "unique") else hostile
    bad = Expression(text, frozenset(), sqlglot.parse_one(text, dialect="postgres"))
    phone = FieldMap("phone", "phone", bad)
    changes: dict[str, dict[str, Any]] = {
        "where": {"where": bad},
        "on_write": {"on_write": {"ext": bad}},
        "read": {"fields": {"phone": phone}, "update_fields": ("phone",), "create_fields": ("phone",)},
        "unique": {"conflict": ("ext",), "conflict_where": bad},
    }
    stream = replace(STREAM, **changes[place])
    shape = replace(SHAPE, reads={"phone": TEXT} if place == "read" else {})
    for operation in ("create", "update"):
        with pytest.raises(GuardViolation, match="nothing was sent"):
            statement(stream, operation, shape, "fw_1", ("phone",))
    if place == "read":
        with pytest.raises(GuardViolation, match="nothing was sent"):
            description(stream)


def test_a_comparison_that_the_builder_forgets_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutation: compare-and-set is gone, in the builder itself."""
    monkeypatch.setattr(slots.Slot, "unchanged", lambda slot: exp.true())
    with pytest.raises(GuardViolation, match="not what its write asks for"):
        statement(STREAM, "update", SHAPE, "fw_1", ("phone",))


def test_a_row_that_the_builder_does_not_tell_apart_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    from fieldwarden.connectors.postgres.writing import statements

    def anything(_: Stream) -> Sequence[exp.Expr]:
        return [exp.true()]

    monkeypatch.setattr(statements, "_same_row", anything)
    with pytest.raises(GuardViolation, match="TRUE"):
        statement(STREAM, "delete", SHAPE, "fw_1", ())


HOSTILE = [
    'UPDATE "public"."party" AS "t" SET "addr"."city" = \'x\' WHERE "t"."id" = 1',
    'UPDATE "public"."party" AS "t" SET "tags"[1] = \'x\' WHERE "t"."id" = 1',
    'UPDATE "public"."party" AS "t" SET "phone" = \'x\' WHERE TRUE',
    'UPDATE "public"."party" AS "t" SET "phone" = \'x\' WHERE "t"."id" = 2 OR TRUE',
    'UPDATE "public"."party" AS "t" SET "phone" = SETVAL(\'s\', 7) WHERE "t"."id" = 1',
    'UPDATE "public"."party" AS "t" SET "phone" = CAST(\'x\' AS app.loud) WHERE "t"."id" = 1',
    'UPDATE "public"."party" AS "t" SET "phone" = \'x\' WHERE "t"."id" = 1 RETURNING app.pay("t"."id")',
    'UPDATE ONLY "public"."party" AS "t" SET "phone" = \'x\' WHERE "t"."id" = 1',
    'WITH "w" AS (UPDATE "public"."party" AS "t" SET "terms" = \'x\' RETURNING 1) SELECT 1',
    'MERGE INTO "public"."party" AS "t" USING (SELECT 1) AS "i" ON TRUE WHEN MATCHED THEN UPDATE SET "terms" = \'x\'',
]


def test_what_a_server_would_do_is_refused(database: str) -> None:
    """The hostile statements are no straw men: a real server takes each, and changes something."""
    with psycopg.connect(database, autocommit=True) as person:
        person.execute(
            "create schema app; create type addr as (city text, zip text); create sequence s;"
            "create table party (id int primary key, phone text, terms text, addr addr, tags text[]);"
            "insert into party values (1, 'p', 'N30', row('a', '1'), '{a}'), (2, 'q', 'N30', null, null);"
            "create table paid (id int);"
            "create function app.pay(int) returns int language sql as 'insert into paid values ($1) returning 1';"
            "create function app.shout(text) returns bool language sql as 'insert into paid values (0); select true';"
            "create domain app.loud as text check (app.shout(value))"
        )
        everything = (
            "select (select array_agg(party::text order by id) from party), (select count(*) from paid), last_value"
            " from s"
        )
        before = person.execute(everything).fetchone()
        for hostile in HOSTILE:
            person.execute("begin")
            person.execute(hostile.encode())
            assert person.execute(everything).fetchone() != before, hostile
            person.execute("rollback")
    asked = Asked(STREAM, "update", SHAPE, "fw_1", ("phone",))
    for hostile in HOSTILE:
        with pytest.raises(GuardViolation, match="nothing was sent"):
            check_made(replace(made(asked), write=hostile), asked)
