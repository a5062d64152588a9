"""What makes two spellings of a value one, by the normaliser that a match key names."""

from __future__ import annotations

import pytest

from fieldwarden.rules.normalising import FORMS, countries_with_tax_ids, normaliser


@pytest.mark.parametrize(
    ("form", "text", "normal"),
    [
        ("exact", " 1-11 ", "1-11"),
        ("exact", "C++", "C++"),
        ("exact", " \t\N{NO-BREAK SPACE}", ""),
        ("case", " Ada LOVELACE", "ada lovelace"),
        ("case", "Straße", "strasse"),
        ("email", " Ada.L+x@Example.ORG ", "ada.l+x@example.org"),
        ("digits", "No. 1-11", "111"),
        ("digits", "\N{FULLWIDTH DIGIT SEVEN}", "7"),
        ("digits", " To Follow ", "tofollow"),
        ("alphanumeric", "DE 123-456", "de123456"),
        ("alphanumeric", "Straße  Ⅳ", "strasseiv"),
        ("alphanumeric", "-", "-"),
        ("alphanumeric", " - / - ", "-/-"),
        ("alphanumeric", "🦊", "🦊"),
        ("alphanumeric", "\N{FULLWIDTH EXCLAMATION MARK} !", "!!"),
        ("tax_id(DE)", "DE 136,695 976", "136695976"),
        ("tax_id(DE)", "136695976", "136695976"),
        ("tax_id(FR)", "fr 40 303 265 045", "40303265045"),
        ("tax_id(DE)", "pending", "pending"),
        ("phone", "+49 (0) 30-1234", "+490301234"),
        ("phone", "0049 030 1234", "+490301234"),
        ("phone", "(+49) 30", "+4930"),
        ("phone", "030 1234", "0301234"),
        ("phone", "ask Bob", "askbob"),
    ],
)
def test_a_value_as_each_normaliser_sees_it(form: str, text: str, normal: str) -> None:
    assert normaliser(form)(text) == normal


@pytest.mark.parametrize("form", [*FORMS[:4], "tax_id(NL)", *FORMS[5:]])
def test_a_blank_value_states_nothing_and_any_other_something(form: str) -> None:
    assert normaliser(form)("") == normaliser(form)(" \t\N{NO-BREAK SPACE}") == ""
    assert all(normaliser(form)(text) for text in ("-", "+", "00", "a", "🦊", "0"))


def test_every_country_with_a_tax_identifier_has_a_normaliser_and_the_same_one_each_time() -> None:
    countries = countries_with_tax_ids()
    assert {"DE", "FR", "IT", "ES", "PL", "GB", "CH", "NO"} <= set(countries)
    for country in countries:
        assert normaliser(f"tax_id({country})")("!") == "!"
        assert normaliser(f"tax_id({country.lower()})") is normaliser(f"tax_id({country})")


@pytest.mark.parametrize("form", ["tax_id(AQ)", "tax_id(XX)", "tax_id", "soundex", "tax_id(DEU)", "Exact"])
def test_what_is_no_normaliser_is_refused_with_what_there_is(form: str) -> None:
    with pytest.raises(ValueError, match=r"there (are exact, case|is one for AD, AL, AR)"):
        normaliser(form)
