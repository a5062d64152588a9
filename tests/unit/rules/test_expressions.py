"""The expression language by hand: what is allowed, what is said of the rest, and the cases worth naming.

That answers equal PostgreSQL's own is tested in tests/integration/test_expressions_oracle.py.
"""

from __future__ import annotations

import pytest

from fieldwarden.rules.errors import ValueRefused
from fieldwarden.rules.expressions import MAX_LENGTH, column, parse
from fieldwarden.rules.values import UNKNOWN, RawValue

COLUMNS = ("t", "u", "i", "n", "b", "j", "f", "z", "d")
TYPES = ("text", "text", "integer", "numeric", "boolean", "json", "float", "timestamptz", "date")
ROW = ("Ab", None, "42", "12.50", "t", "{}", "0.1", "2026-01-31 10:00:00+02", "2026-01-31")
UNKNOWN_T = (UNKNOWN, *ROW[1:])


def value(text: str, row: tuple[RawValue, ...] = ROW) -> RawValue:
    return parse(text).bind(COLUMNS, TYPES)(row)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "now()",
            "the clock (now(), current_date ...) is not allowed in an expression; allowed are the functions coal",
        ),
        ("md5(t)", "md5() is not allowed in an expression"),
        ("pg_read_file('x')", "pg_read_file() is not allowed in an expression"),
        ("t.name", "column 'name' is qualified; an expression sees the columns of its own row only"),
        ("(select 1)", "'(SELECT 1)' is not allowed in an expression"),
        ("t in (select 1)", "'t IN (SELECT 1)' is not allowed in an expression"),
        ("t; drop table t", "is not "),
        ("select 1", "'select 1' is not a PostgreSQL scalar expression"),
        ("count(*)", "count() is not allowed in an expression"),
        ("lower(t) over ()", "'LOWER(t) OVER ()' is not allowed in an expression"),
        ("t ~ 'x'", "is not allowed in an expression"),
        ('t collate "C"', "is not allowed in an expression"),
        ("E'a'", "is not allowed in an expression"),
        ("$1", "is not allowed in an expression"),
        ("j -> 'x'", "is not allowed in an expression"),
        ("n::float", "a cast to double precision is not allowed; allowed are text, integer, bigint, numeric"),
        ("n::numeric(2,3)", "a cast to numeric(p,s) needs 1 <= p <= 1000 and 0 <= s <= p"),
        ("t like u", "the pattern of LIKE must be a string in quotes"),
        ("t like 'x\\'", "a LIKE pattern must not end with \\"),
        ("i = 1 = b", "a comparison of a comparison needs parentheses"),
        ("substring(t from 'x')", "substring goes with a start (and a length), both numbers"),
        ("", "'' is not a PostgreSQL scalar expression"),
        ("upper(", "'upper(' is not a PostgreSQL scalar expression"),
        ("(" * 500 + "t" + ")" * 500, "the expression is nested too deeply"),
        ("+".join("i" * 60), "the expression is nested too deeply or has too many parts"),
        ("'" + "x" * MAX_LENGTH + "'", "the expression is longer than 2,000 characters"),
        ("1e5000", "a number in the expression has too many digits"),
    ],
)
def test_what_is_not_on_the_list_is_refused_with_the_list(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse(text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("missing", "column 'missing' does not exist"),
        ("t < u", "text can be compared with = and <> only: its order depends on the database's collation"),
        ("t between 'a' and 'b'", "text can be compared with = and <> only"),
        ("greatest(t, u)", "greatest and least of text are not allowed"),
        ("upper(i)", "text is needed where integer stands: cast it"),
        ("t + 1", "+ - * / go with numbers, not with text and integer"),
        ("d + 1", "+ - * / go with numbers, not with date and integer"),
        ("f = 1", "float and integer do not go together: cast one of them"),
        ("f = f", "float cannot be compared"),
        ("j = '{}'", "json cannot be compared"),
        ("i || i", "one side of || must be text: cast it"),
        ("t || z", "timestamptz cannot be joined to text"),
        ("z::date", "a cast from timestamptz to date is not allowed"),
        ("coalesce(i, t)", "integer and text do not go together: cast one of them"),
        ("i = 'x'", "'x' is not a valid integer"),
        ("not i", "boolean is needed where integer stands"),
        ("round(i)", "round goes with numeric, not with integer: cast it first"),
    ],
)
def test_what_does_not_fit_the_columns_types_is_said_when_binding(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        value(text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "text", ["i / 0", "n / 0.00", "t::integer", "t::date", "n::numeric(3,2)", "i * 9223372036854775807"]
)
def test_bad_data_is_refused_without_saying_the_value(text: str) -> None:
    with pytest.raises(ValueRefused) as error:
        value(text)
    assert not any(part in str(error.value) for part in ("Ab", "42", "12.50"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("coalesce(u, t)", "Ab"),
        ("upper(t) || '-' || i", "AB-42"),
        ("i / 5", "8"),
        ("n / 3", "4.1666666666666667"),
        ("round(n, 0)", "13"),
        ("n * 2", "25.00"),
        ("case when b then 'yes' else 'no' end", "yes"),
        ("u = u", None),
        ("u is null and b", "true"),
        ("'EUR'", "EUR"),
        ("null", None),
        ("t in ('x', null)", None),
        ("coalesce(z, null)", "2026-01-31 08:00:00+00"),
        ("trim('x' from 'xxax')", "a"),
        ("coalesce(j, null)", "{}"),
        ("f", "0.1"),
        ("cast(f as text)", "0.1"),
        ("T", "Ab"),
    ],
)
def test_answers(text: str, expected: str | None) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t", UNKNOWN),
        ("upper(t)", UNKNOWN),
        ("coalesce(t, 'x')", UNKNOWN),
        ("coalesce(u, t, 'x')", UNKNOWN),
        ("coalesce(n, length(t))", "12.50"),
        ("t || u", None),
        ("t = 'x' or b", "true"),
        ("t = 'x' and not b", "false"),
        ("t = 'x' and u = 'x'", UNKNOWN),
        ("case when t = 'x' then 1 else 2 end", UNKNOWN),
        ("case when b then 1 else length(t) end", "1"),
        ("t is null", UNKNOWN),
        ("nullif(u, t)", None),
        ("nullif(i, length(t))", UNKNOWN),
        ("concat(u, t)", UNKNOWN),
        ("greatest(i, length(t))", UNKNOWN),
        ("i in (42, length(t))", "true"),
    ],
)
def test_an_answer_is_unknown_only_where_it_depends_on_what_the_row_does_not_carry(
    text: str, expected: RawValue
) -> None:
    assert value(text, UNKNOWN_T) == expected


def test_columns_are_folded_as_in_sql_unless_quoted() -> None:
    assert parse('concat(Name, "Odd Name")').columns == {"name", "Odd Name"}
    assert parse('concat(Name, "Odd Name")').sql("r") == 'CONCAT("r"."name", "r"."Odd Name")'
    assert column("MixedCase").sql("r") == '"r"."MixedCase"'
    assert column("order").bind(("order",), ("text",))(("x",)) == "x"


def test_rendered_sql_assumes_no_precedence() -> None:
    assert parse("not i = 1 and b").sql("r") == '(NOT ("r"."i" = 1)) AND "r"."b"'
    assert parse("i - (n - 1) * 2 /* why */").sql("r") == '"r"."i" - (("r"."n" - 1) * 2)'


def test_equal_text_means_equal_expression() -> None:
    assert parse("upper(t)") == parse("upper(t)")
    assert hash(parse("upper(t)")) == hash(parse("upper(t)"))
    assert parse("upper(t)") != parse("lower(t)")


def test_like_patterns_match_in_linear_time() -> None:
    row = ("a" * 5_000, *ROW[1:])
    assert value("t like '" + "%a" * 30 + "%b'", row) == "false"
