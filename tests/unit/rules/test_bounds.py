"""Files and expressions made to keep `validate` busy: refused at once, by file, line and column."""

from __future__ import annotations

import time

import pytest

from fieldwarden.rules import expressions
from fieldwarden.rules.codes import MAX_PROBLEMS, read_codes
from fieldwarden.rules.documents import MAX_VALUES, read_yaml
from fieldwarden.rules.errors import ValueRefused
from fieldwarden.rules.values import parse_type


@pytest.fixture(autouse=True)
def _at_once() -> object:
    began = time.thread_time()
    yield
    assert time.thread_time() - began < 2, "seconds of a busy machine; each took from six to forty"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x: " + b"[" * 100_000, "f.yaml:1:1003: nested too deeply (no file has more than 32 levels)"),
        (b"x: " + b"{a: " * 25_000, "f.yaml:1:132: nested too deeply (no file has more than 32 levels)"),
        (b"x: " + b"[" * 40 + b"]" * 40, "f.yaml:1:36: nested too deeply (no file has more than 32 levels)"),
        (
            "".join(" " * level + "a:\n" for level in range(400)).encode(),
            "f.yaml:34:34: nested too deeply (no file has more than 32 levels)",
        ),
        (
            b"x: [" + b"a, " * 33_000 + b"]",
            f"f.yaml:1:89999: the file holds more than {MAX_VALUES:,} values (split it)",
        ),
        (b"x: [&a 1, *a]", "f.yaml:1:5: anchors (&) and aliases (*) are not supported (write the value out)"),
        (b"? {a: b}\n: c\n", "f.yaml:1:3: a key must be plain text"),
    ],
    ids=["flow", "mappings", "a little too deep", "block", "wide", "anchor", "key"],
)
def test_a_file_that_would_keep_the_reader_busy(content: bytes, said: str) -> None:
    _, problems = read_yaml("f.yaml", content)
    assert str(problems[0]) == said


def test_plain_words_mean_what_yaml_1_2_says() -> None:
    text = b"a: no\nb: on\nc: 0o17\nd: 017\ne: 1.50\nf: ~\ng:\nh: TRUE\ni: 2024-01-01\nj: 1_000\nk: 'true'\nl: 12:30\n"
    document, problems = read_yaml("f.yaml", text)
    assert problems == []
    assert document is not None
    plain = {"a": "no", "b": "on", "c": "0o17", "d": "017", "e": "1.50", "f": None, "g": None, "h": True}
    assert document.data == {**plain, "i": "2024-01-01", "j": "1_000", "k": "true", "l": "12:30"}


def test_a_code_list_with_a_header_of_thousands_of_columns() -> None:
    header = "canonical," + ",".join(f"s{number}" for number in range(3_000))
    _, problems = read_codes("terms", "codes/terms.csv", f"{header}\n", {"crm"})
    assert [str(each) for each in problems] == [
        "codes/terms.csv:1:1: the header has 3,001 columns (no list has more than 500)"
    ]


def test_of_a_long_line_each_problem_is_still_named_at_its_column() -> None:
    cells = ",".join("x" * 200 for _ in range(499))
    _, problems = read_codes("terms", "codes/terms.csv", f"canonical,{cells}\n", {"crm"})
    assert [each.column for each in problems[:3]] == [11, 212, 413]
    assert len(problems) == 499
    assert all(len(each.message) < 150 for each in problems)


def test_of_a_file_of_problems_the_first_hundreds_are_named() -> None:
    _, problems = read_codes("terms", "codes/terms.csv", "canonical,crm\n" + "a\n" * 40_000, {"crm"})
    assert len(problems) == MAX_PROBLEMS + 1
    assert "from here on nothing was looked at" in problems[-1].message


@pytest.mark.parametrize(
    "text",
    [
        "array[" * 30 + "1" + "]" * 30,
        "union (" * 60 + "a",
        "( both any * (" * 40,
        "(" * 900 + "a" + ")" * 900,
        "[" * 1_000,
    ],
    ids=lambda text: text[:14],
)
def test_an_expression_that_can_be_read_in_very_many_ways(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|not a PostgreSQL scalar expression|not allowed"):
        expressions.parse(text)


@pytest.mark.parametrize("text", ["text array +", "if(a, 1, 2)", "numeric(10,2)"])
def test_a_part_of_an_expression_that_is_no_value_by_itself_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not allowed|not a PostgreSQL scalar expression"):
        expressions.parse(text).bind(("a",), ("text",))


def test_an_expression_as_deep_as_people_write_is_read() -> None:
    text = "name"
    for character in "()-/. +#":
        text = f"replace({text}, '{character}', '')"
    assert expressions.parse(text).columns == {"name"}


@pytest.mark.parametrize("kind", ["decimal(10000000000,2)", "decimal(1001,0)"])
def test_a_decimal_of_more_digits_than_there_are(kind: str) -> None:
    with pytest.raises(ValueError, match="no decimal has more than 1,000 digits"):
        parse_type(kind)


def test_an_integer_of_very_many_digits_is_refused_as_any_bad_value() -> None:
    canonical = parse_type("integer").canonical()
    assert canonical is not None
    with pytest.raises(ValueRefused):
        canonical("9" * 5_000)
