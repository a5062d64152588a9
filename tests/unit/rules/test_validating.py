"""What each validator takes and what it refuses."""

from __future__ import annotations

import pytest

from fieldwarden.rules.validating import Check, checks_of, wrong


@pytest.mark.parametrize(
    ("form", "valid", "invalid"),
    [
        (
            "email",
            ["ada@example.org", "a.b+c@sub.example.co.uk", "ü@bücher.example"],
            ["ada", "a@b", "a b@c.de", "@c.de", "a@c..de"],
        ),
        ("iban", ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"], ["DE88370400440532013000", "x"]),
        ({"tax_id": "DE"}, ["DE 136,695 976", "136695976"], ["136695978", "FR40303265045", "x"]),
        ({"tax_id": "nl"}, ["NL4495445B01"], ["NL4495446B01", ""]),
        ({"length": 3}, ["", "abc", "äöü"], ["abcd"]),
        ({"pattern": r"[A-Z]{2}\d+"}, ["AB1"], ["xAB1", "AB1x", "AB"]),
        (["email", {"length": 9}], ["a@b.co"], ["ada@example.org", "a"]),
    ],
)
def test_values(form: object, valid: list[str], invalid: list[str]) -> None:
    checks = checks_of(form)
    assert [text for text in valid if wrong(checks, text)] == []
    assert [text for text in invalid if not wrong(checks, text)] == []


def test_a_reason_says_what_is_wrong_and_not_the_value() -> None:
    assert wrong(checks_of("email"), "Ada Lovelace") == "it is no e-mail address"
    assert wrong(checks_of({"tax_id": "de"}), "123456789") == "it is no tax identifier of DE"
    assert wrong(checks_of([{"length": 3}, "email"]), "abcd") == "it is longer than 3 characters"


def test_a_mapping_names_several() -> None:
    assert checks_of({"length": 3, "pattern": "a+"}) == (Check("length", "3"), Check("pattern", "a+"))


@pytest.mark.parametrize(
    "form", ["soundex", [], {}, {"email": 1}, "length", {"length": 0}, {"length": -1}, 7, [["email"]]]
)
def test_what_is_no_validator_is_refused(form: object) -> None:
    with pytest.raises(ValueError, match=r"no validator; there are email, iban|length is a number"):
        checks_of(form)
