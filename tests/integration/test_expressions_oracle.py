"""PostgreSQL is the oracle: a random typed expression over a random row gives the same answer in the closure, in the
text as the steward wrote it, and in the SQL rendered for bulk work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.rules.errors import ValueRefused
from fieldwarden.rules.expressions import parse
from fieldwarden.rules.values import UNKNOWN, RawValue

COLUMNS = ("t1", "t2", "i1", "i2", "n1", "n2", "b1", "b2", "d1", "s1", "z1")
TYPES = (*["text"] * 2, *["integer"] * 2, *["numeric"] * 2, *["boolean"] * 2, "date", "timestamp", "timestamptz")
SERVER_TYPES = (
    "text",
    "text",
    "int8",
    "int8",
    "numeric",
    "numeric",
    "bool",
    "bool",
    "date",
    "timestamp",
    "timestamptz",
)

Row = tuple[str | None, ...]


@pytest.fixture(scope="module")
def oracle(postgres: EmbeddedServer) -> Iterator[psycopg.Connection]:
    """A connection to a database with Unicode case mapping that is the same on every machine."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(
            "create database expressions template template0 encoding 'UTF8'"
            " locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'"
        )
        with psycopg.connect(postgres.dsn("expressions"), autocommit=True) as connection:
            connection.execute("set timezone to 'UTC'")
            yield connection
        admin.execute("drop database expressions with (force)")


# --- rows ----------------------------------------------------------------------------------------------------

LETTERS = "aAbBzé ßİıΣς%_\\-.,'\"|0123"
texts = st.text(LETTERS, max_size=8) | st.sampled_from(["12", " -7 ", "1.50", "true", "oF", "2026-02-28", "1e2"])
integers = st.integers(-20, 20) | st.sampled_from([2**31, -(2**31), 2**63 - 1, -(2**63)])
numerics = (
    st.decimals(-10_000, 10_000, places=3)
    | st.decimals(-10, 10, places=1)
    | st.sampled_from(
        [Decimal(text) for text in ("0", "0.00", "1000", "9999", "10000", "0.0001", "12345678901234567890.123", "-0.5")]
    )
)
dates = st.dates(date(1900, 1, 1), date(2100, 1, 1))
moments = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))


def nullable(values: st.SearchStrategy[object], text: Callable[[object], str] = str) -> st.SearchStrategy[str | None]:
    given = values.map(text)
    return st.one_of(given, given, given, given, st.none())


def shown(moment: object) -> str:
    """As PostgreSQL writes a timestamp: no trailing zeros in the fraction."""
    text = str(moment)
    return text.rstrip("0") if "." in text else text


rows: st.SearchStrategy[Row] = st.tuples(
    *[nullable(texts)] * 2,
    *[nullable(integers)] * 2,
    *[nullable(numerics, lambda number: format(number, "f"))] * 2,
    *[nullable(st.sampled_from(["t", "f"]))] * 2,
    nullable(dates),
    nullable(moments, shown),
    nullable(moments, lambda moment: f"{shown(moment)}+00"),
)


# --- expressions: the first operand of everything reads a column, so that no part can be folded away ------------


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


text_literal = st.text(LETTERS, max_size=3).map(quoted)
digit = st.integers(0, 9).map(str)
number_literal = st.sampled_from(["0", "1", "2.0", "0.25", "3", "1e2", "7.125"])
position = st.integers(-4, 6).map(str)
PATTERNS = st.text("aAé%_.0", max_size=5) | st.sampled_from(["%", "a%", "%b_%", "%\\%%", "\\_%", ""])


def form(template: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda values: template.format(*values))


@st.composite
def expression(draw: st.DrawFn, kind: str, depth: int = 3) -> str:
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from([name for name in COLUMNS if name[0] == kind]))
    return draw(st.one_of(FORMS[kind](depth - 1)))


def deeper(depth: int) -> Callable[[str], st.SearchStrategy[str]]:
    return lambda kind: expression(kind, depth)


def shared(kind: str, depth: int, literal: st.SearchStrategy[str]) -> list[st.SearchStrategy[str]]:
    e = deeper(depth)
    other = e(kind) | literal
    return [
        form("coalesce({}, {})", e(kind), other),
        form("coalesce({}, {}, null)", e(kind), e(kind)),
        form("nullif({}, {})", e(kind), other),
        form("case when {} then {} else {} end", e("b"), e(kind), other),
        form("case when {} then {} when {} then {} end", e("b"), e(kind), e("b"), other),
        form("case {} when {} then {} else {} end", e("i"), digit, e(kind), other),
        form("({})", e(kind)),
    ]


def text_forms(depth: int) -> list[st.SearchStrategy[str]]:
    e = deeper(depth)
    some = e("t") | text_literal
    return [
        *shared("t", depth, text_literal),
        *[form(name + "({})", e("t")) for name in ("upper", "lower", "trim", "btrim", "ltrim", "rtrim")],
        form("trim(both {} from {})", text_literal, e("t")),
        form("rtrim({}, {})", e("t"), some),
        form("concat({}, {}, {})", e("t"), some, e("i") | e("n") | e("b") | e("d")),
        form("({} || {})", e("t"), some),
        form("({} || {})", e("t"), e("i") | e("n") | e("b")),
        form("substring({} from {} for {})", e("t"), position, position),
        form("substring({}, {})", e("t"), position),
        form("left({}, {})", e("t"), position),
        form("right({}, {})", e("t"), position),
        form("replace({}, {}, {})", e("t"), some, some),
        form("split_part({}, {}, {})", e("t"), some, position),
        form("cast({} as text)", e("i") | e("n") | e("b") | e("d") | e("s")),
    ]


def integer_forms(depth: int) -> list[st.SearchStrategy[str]]:
    e = deeper(depth)
    return [
        *shared("i", depth, digit),
        *[form("({} " + sign + " {})", e("i"), e("i") | digit) for sign in "+-*/"],
        form("length({})", e("t")),
        form("abs({})", e("i")),
        form("(-{})", e("i")),
        form("cast({} as bigint)", e("n") | e("t")),
        form("{}::integer", e("i") | e("b")),
        form("greatest({}, {})", e("i"), e("i") | digit),
    ]


def numeric_forms(depth: int) -> list[st.SearchStrategy[str]]:
    e = deeper(depth)
    some = e("n") | number_literal
    return [
        *shared("n", depth, number_literal),
        *[form("({} " + sign + " {})", e("n"), some | e("i") | digit) for sign in "+-*/"],
        *[form("({} " + sign + " {})", e("i"), e("n")) for sign in "-/"],
        form("round({})", e("n")),
        form("round({}, {})", e("n") | e("i"), position),
        form("abs({})", e("n")),
        form("(-{})", e("n")),
        form("least({}, {}, {})", e("n"), some, e("i")),
        form("cast({} as numeric)", e("i") | e("t")),
        form("cast({} as numeric(8,2))", e("n") | e("t") | e("i")),
        form("{}::numeric(5)", e("n")),
    ]


def boolean_forms(depth: int) -> list[st.SearchStrategy[str]]:
    e = deeper(depth)
    comparable = st.sampled_from("inbdsz")
    return [
        *shared("b", depth, st.just("null")),
        form("({} and {})", e("b"), e("b")),
        form("({} or {} and {})", e("b"), e("b"), e("b")),
        form("(not {})", e("b")),
        comparable.flatmap(
            lambda kind: form("({} {} {})", e(kind), st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), e(kind))
        ),
        comparable.flatmap(lambda kind: form("({} between {} and {})", e(kind), e(kind), e(kind))),
        form("({} {} {})", e("t"), st.sampled_from(["=", "<>"]), e("t") | text_literal),
        form("({} < {})", e("i"), e("n") | number_literal),
        form("({} >= {})", e("d"), e("s")),
        form("({} is null)", e("t") | e("i") | e("b")),
        form("({} is not null)", e("n") | e("d")),
        form("({} is {})", e("b"), st.sampled_from(["true", "false", "not true", "not false"])),
        form("({} in ({}, {}))", e("i"), digit, digit),
        form("({} not in ({}, null))", e("t"), text_literal),
        form("({} {} {})", e("t"), st.sampled_from(["like", "ilike", "not like"]), PATTERNS.map(quoted)),
        form("cast({} as boolean)", e("t")),
    ]


ZONES = st.sampled_from(["UTC", "Asia/Kolkata", "America/Phoenix"])
"""Whose rules every release of the time-zone database tells alike, also before 1970; others in a test of their own."""


def time_forms(kind: str) -> Callable[[int], list[st.SearchStrategy[str]]]:
    def forms(depth: int) -> list[st.SearchStrategy[str]]:
        e = deeper(depth)
        found = [form(name + "({}, {})", e(kind), e(kind)) for name in ("greatest", "least", "coalesce", "nullif")]
        if kind == "d":
            found += [form("{}::date", e("s")), form("coalesce({}, '2026-01-31')", e("d"))]
        if kind == "s":
            found += [form("{}::timestamp", e("d")), form("coalesce({}, {})", e("d"), e("s"))]
            found += [form("({} at time zone '{}')", e("z"), ZONES)]
        if kind == "z":
            found += [form("({} at time zone '{}')", e("s"), ZONES)]
        return found

    return forms


FORMS: dict[str, Callable[[int], list[st.SearchStrategy[str]]]] = {
    "t": text_forms,
    "i": integer_forms,
    "n": numeric_forms,
    "b": boolean_forms,
    "d": time_forms("d"),
    "s": time_forms("s"),
    "z": time_forms("z"),
}
expressions = st.sampled_from(sorted(FORMS)).flatmap(expression)

REFUSED = "refused"


def computed(text: str, row: tuple[RawValue, ...]) -> RawValue:
    try:
        return parse(text).bind(COLUMNS, TYPES)(row)
    except ValueRefused:
        return REFUSED


def asked(oracle: psycopg.Connection, text: str, row: Row) -> str | None:
    columns = ", ".join(f"%s::{kind} as {name}" for name, kind in zip(COLUMNS, SERVER_TYPES, strict=True))
    # `offset 0` keeps the planner from seeing through the row and folding the expression before it runs.
    statement = f"select ({text.replace('%', '%%')})::text from (select {columns} offset 0) t"
    try:
        answer = oracle.execute(statement.encode(), row).fetchone()
    except psycopg.DataError:
        return REFUSED
    assert answer is not None
    return answer[0]  # type: ignore[no-any-return]


ODD = [
    ("Europe/Berlin", "2026-03-29 02:00"),  # an hour that the clocks never show
    ("Europe/Berlin", "2026-10-25 02:00"),  # one that they show twice
    ("America/New_York", "2026-03-08 02:00"),
    ("America/New_York", "2026-11-01 01:00"),
    ("Australia/Lord_Howe", "2026-04-05 01:30"),  # half an hour
    ("Europe/Dublin", "2026-10-25 01:00"),  # whose winter time is the one with the negative saving
    ("Pacific/Apia", "2011-12-30 12:00"),  # a day that never was
    ("America/Sao_Paulo", "2018-11-04 00:00"),
    ("Africa/Casablanca", "2026-02-15 02:30"),
    ("Europe/Berlin", "2099-07-01 12:00"),
]


@pytest.mark.parametrize(("zone", "moment"), ODD)
def test_local_time_is_read_as_postgresql_reads_it_where_clocks_change(
    oracle: psycopg.Connection, zone: str, moment: str
) -> None:
    around = datetime.fromisoformat(moment)
    for minutes in range(-150, 151, 10):
        row = (
            *[None] * 9,
            shown(around + timedelta(minutes=minutes)),
            f"{shown(around + timedelta(minutes=minutes))}+00",
        )
        for text in (
            f"s1 at time zone '{zone}'",
            f"z1 at time zone '{zone}'",
            f"(s1 at time zone '{zone}') at time zone 'UTC'",
        ):
            assert computed(text, row) == asked(oracle, text, row), (text, row)


@pytest.mark.long
@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(expressions, rows)
def test_closure_original_and_rendered_sql_agree(oracle: psycopg.Connection, text: str, row: Row) -> None:
    expected = asked(oracle, text, row)
    assert asked(oracle, parse(text).sql("t"), row) == expected
    assert computed(text, row) == expected


EDGES: dict[str, tuple[str, list[str]]] = {
    # column: (expressions, values)
    "n1": (
        "round(n1) | round(n1, -1) | round(n1, 1) | round(n1, 6) | cast(n1 as bigint) | cast(n1 as integer) | n1 / 3"
        " | 1 / n1 | n1 / n1 | n1 / 9999 | 10000.00 / n1 | n1 * n1 | n1 - n1 | -n1 | abs(n1) | n1::numeric(4,2)"
        " | n1::numeric(3) | n1 = 2.50 | concat(n1) | n1 || 'x' | 1e20 / n1 | 0.00001 / n1 | n1 * 1e5",
        ["0", "0.00", "0.5", "1.5", "2.5", "-2.5", "-25", "25", "99.995", "9999", "10000", "0.0001", "12345678901.5"],
    ),
    "i1": (
        "i1 / 2 | i1 / -2 | -i1 | abs(i1) | i1 * 2 | i1::integer | i1 - 1 | round(i1, 2) | i1 / 2.0 | nullif(i1, 7.0)"
        " | i1 || '' | case i1 when 7 then 'x' end | i1 in (7, 2.5) | i1 = '7' | coalesce(i1, 2.5) | i1 + '1'",
        ["7", "-7", "0", "2147483648", "9223372036854775807", "-9223372036854775808"],
    ),
    "t1": (
        "replace(t1, '', 'x') | replace(t1, 'a', '') | split_part(t1, '', 1) | split_part(t1, '', -1) | trim(t1)"
        " | split_part(t1, '', 2) | split_part(t1, ',', -1) | split_part(t1, ',', 2) | split_part(t1, ',', 0)"
        " | left(t1, 0) | left(t1, -1) | right(t1, 0) | right(t1, -1) | right(t1, 2) | substring(t1, -1, 3)"
        " | substring(t1 from 0 for 2) | substring(t1, 2) | substring(t1, 2, -1) | lower(t1) | upper(t1) | length(t1)"
        " | trim(both 'ab' from t1) | ltrim(t1, '') | t1 like '%\\%' | t1 like 'a_b' | t1 ilike 'SS%' | t1 ilike '%Σ'"
        " | t1 = '' | concat(t1, null) | t1 || null | coalesce(nullif(t1, ''), 'none')",
        ["", " ", "a,b,c", "abba", "a%b", "a\nb", "ß", "ssß", "İ", "ŉ", "ΑΣ", "ǆ", "ᾳ", "\t a \n", "日本語"],
    ),
    "t2": (
        "t2::boolean | cast(t2 as numeric) | cast(t2 as integer) | t2::bigint | t2::numeric(5,1)",
        [
            "true",
            " TRUE ",
            "tr",
            "y",
            "on",
            "of",
            "o",
            "1",
            "0",
            "off",
            "no",
            "2",
            "",
            " ",
            "abc",
            "+5",
            " 5 ",
            "5.",
            ".5",
            "1e3",
            "1.50e1",
            "1.5e-3",
            "1e",
            "-0",
            "-0.0",
            "12345.67",
            "99999.95",
            "2147483648",
            "5.0",
            "--5",
            "1 2",
        ],
    ),
    "d1": ("d1::timestamp | d1::text | coalesce(d1, '2024-02-29') | d1 = '2024-02-29' | d1 || ''", ["2024-02-29"]),
    "s1": (
        "s1::date | s1::text | s1 = '2024-02-29' | s1 > '2024-02-29 10:00'",
        ["2024-02-29 00:00:00", "2024-02-29 23:59:59.000001"],
    ),
    "z1": ("z1 = '2024-02-29 10:00:00+02' | coalesce(z1, '2024-02-29 10:00:00+05:30')", ["2024-02-29 08:00:00+00"]),
    "b1": (
        "b1::text | b1 || '' | concat(b1) | b1::integer | b1 = 'yes' | not b1 | b1 and null | b1 or null",
        ["t", "f"],
    ),
}


@pytest.mark.parametrize("column", EDGES)
def test_edges(oracle: psycopg.Connection, column: str) -> None:
    expressions, values = EDGES[column]
    for text in expressions.split(" | "):
        for value in (*values, None):
            row = tuple(value if name == column else None for name in COLUMNS)
            expected = asked(oracle, text, row)
            assert (text, value, asked(oracle, parse(text).sql("t"), row)) == (text, value, expected)
            assert (text, value, computed(text, row)) == (text, value, expected)


@pytest.mark.long
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(expressions, rows, rows, st.sets(st.integers(0, len(COLUMNS) - 1), min_size=1, max_size=4))
def test_an_answer_given_without_a_column_does_not_depend_on_it(
    text: str, row: Row, other: Row, absent: set[int]
) -> None:
    known = computed(text, tuple(UNKNOWN if index in absent else value for index, value in enumerate(row)))
    assume(known is not UNKNOWN and known != REFUSED)
    full = computed(text, tuple(other[index] if index in absent else value for index, value in enumerate(row)))
    assert full in (known, REFUSED)


def test_a_bare_column_passes_as_it_is_but_for_booleans() -> None:
    row = (*map(str, range(6)), "t", "f", "2026-01-31", "x", "y")
    assert [computed(name, row) for name in COLUMNS] == [*row[:6], "true", "false", *row[8:]]


def test_times_are_read_as_the_server_writes_them(oracle: psycopg.Connection) -> None:
    moment = datetime(2026, 1, 31, 10, 0, 0, 500_000)
    row: Row = (*[None] * 8, "2026-01-31", str(moment), f"{moment + timedelta(hours=5)}+05")
    assert computed("cast(s1 as text)", row) == asked(oracle, "cast(s1 as text)", row) == "2026-01-31 10:00:00.5"
    assert computed("coalesce(z1, null)", row) == "2026-01-31 10:00:00.5+00"
