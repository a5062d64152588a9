"""Which expressions a written column may be read through."""

from __future__ import annotations

import pytest

from fieldwarden.rules.expressions import parse
from fieldwarden.rules.inverse import reading


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("value", "exact"),
        ("(value)", "exact"),
        ("nullif(value, '')", "exact"),
        ("cast(value as numeric(14, 2))", "exact"),
        ("lower(value)", "normalising"),
        ("upper(btrim(value))", "normalising"),
        ("nullif(trim(value), '-')", "normalising"),
        ("lower(other)", "other"),
        ("case when type = 'email' then value end", "other"),
        ("coalesce(value, '')", "other"),
        ("nullif(value, other)", "other"),
        ("left(value, 2)", "other"),
        ("btrim(value, '-')", "normalising"),
        ("btrim(value, other)", "other"),
        ("value || ''", "other"),
        ("replace(value, ' ', '')", "other"),
        ("-value", "other"),
    ],
)
def test_what_reading_makes_of_a_columns_values(expression: str, expected: str) -> None:
    assert reading(parse(expression), "value") == expected
