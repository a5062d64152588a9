"""By which values a record is found."""

from __future__ import annotations

import pytest

from engine.identity import LONGEST, match_pairs, normalise, possible_pairs, record_pairs
from engine.record import Record
from tests.builders import rulebook
from tests.simulation.test_matching_by_reference import RULES

[CUSTOMER] = rulebook().entities.values()


def test_long_values_match_exactly_and_are_kept_short() -> None:
    text = "Long 1" * 1000
    [pair] = match_pairs(CUSTOMER, {"tax_id": text})
    assert len(pair[1]) < 100
    assert [pair] == match_pairs(CUSTOMER, {"tax_id": text.replace(" ", "-").upper()})
    assert [pair] == record_pairs(CUSTOMER, Record("id", "customer", 0, {"tax_id": text}, []))
    assert [pair] != match_pairs(CUSTOMER, {"tax_id": text + "2"})
    assert normalise(pair[1]) != pair[1], "no value of a row normalises to it"
    assert [pair] != match_pairs(CUSTOMER, {"tax_id": pair[1]})


def test_a_value_stands_for_itself_up_to_the_limit() -> None:
    assert match_pairs(CUSTOMER, {"tax_id": "x" * LONGEST}) == [("tax_id", "x" * LONGEST)]
    assert match_pairs(CUSTOMER, {"tax_id": "x" * (LONGEST + 1)}) != [("tax_id", "x" * (LONGEST + 1))]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("DE 123-456", "de123456"),
        ("Straße  Ⅳ", "strasseiv"),
        ("-", "-"),
        (" - / - ", "-/-"),
        ("🦊", "🦊"),
        ("\N{FULLWIDTH EXCLAMATION MARK} !", "!!"),
        ("", ""),
        (" \t\N{NO-BREAK SPACE}", ""),
    ],
)
def test_a_value_normalises_to_its_letters_and_digits_or_else_to_itself(text: str, normal: str) -> None:
    assert normalise(text) == normal
    assert match_pairs(CUSTOMER, {"tax_id": text}) == ([("tax_id", normal)] if normal else [])


def test_signs_are_told_apart_from_each_other_and_from_words() -> None:
    texts = ["-", "--", "+", "🦊", "🐻", "a", "-a", "0"]
    assert len({normalise(text) for text in texts}) == len(texts) - 1, "-a is a, and nothing else is another"


def test_what_a_reference_may_mean_gives_one_pair_for_each_record() -> None:
    invoice = RULES.entities["invoice"]
    assert possible_pairs(invoice, {"number": "7"}, {"customer": ["A", "B"]}) == [
        ("customer+number", "a\x1f7"),
        ("customer+number", "b\x1f7"),
    ]
    assert possible_pairs(invoice, {"number": "7"}, {"customer": []}) == []
    assert possible_pairs(invoice, {"number": "7", "customer": "of an earlier try"}, {"customer": []}) == []
