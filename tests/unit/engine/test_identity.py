"""By which values a record is found."""

from __future__ import annotations

from engine.identity import LONGEST, match_pairs, normalise, record_pairs
from engine.record import Record
from tests.builders import rulebook

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
