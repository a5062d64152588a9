"""By which values a record is found."""

from __future__ import annotations

import pytest

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.deciding.identity import (
    LONGEST,
    Ambiguous,
    Found,
    New,
    identify,
    match_pairs,
    possible_pairs,
    record_pairs,
)
from fieldwarden.engine.record import Contribution, Record, Stamp
from tests.builders import ACCOUNT, rulebook
from tests.builders import CUSTOMER as DOCUMENT
from tests.simulation.test_matching_by_reference import RULES

[CUSTOMER] = rulebook().entities.values()


def test_long_values_match_exactly_and_are_kept_short() -> None:
    text = "Long 1" * 1000
    [pair] = match_pairs(CUSTOMER, {"tax_id": text})
    assert len(pair[1]) < 100
    assert [pair] == match_pairs(CUSTOMER, {"tax_id": text.replace(" ", "-").upper()})
    assert [pair] == record_pairs(CUSTOMER, Record("id", "customer", 0, {"tax_id": text}, []))
    assert [pair] != match_pairs(CUSTOMER, {"tax_id": text + "2"})
    assert [pair] != match_pairs(CUSTOMER, {"tax_id": pair[1]})


def test_a_value_stands_for_itself_up_to_the_limit() -> None:
    assert match_pairs(CUSTOMER, {"tax_id": "x" * LONGEST}) == [("tax_id", "x" * LONGEST)]
    assert match_pairs(CUSTOMER, {"tax_id": "x" * (LONGEST + 1)}) != [("tax_id", "x" * (LONGEST + 1))]


NUMBERED = rulebook({**DOCUMENT, "identity": {"match": ["name", ["terms", {"segment": "digits"}]]}}).entities[
    "customer"
]


def test_a_key_that_names_no_normaliser_is_compared_as_it_is_written() -> None:
    for one, other in (("1-11", "11-1"), ("C++", "C"), ("Ada", "ADA"), ("sha256:1", "SHA256:1")):
        assert match_pairs(NUMBERED, {"name": one}) != match_pairs(NUMBERED, {"name": other})
    assert match_pairs(NUMBERED, {"name": " 1-11 "}) == match_pairs(NUMBERED, {"name": "1-11"}) == [("name", "1-11")]
    assert match_pairs(NUMBERED, {"name": " \t"}) == []


def test_each_field_of_a_key_is_compared_in_its_own_way() -> None:
    [pair] = match_pairs(NUMBERED, {"terms": "30-a", "segment": "No. 7"})
    assert [pair] == match_pairs(NUMBERED, {"terms": "30-a ", "segment": "7"})
    assert [pair] == record_pairs(NUMBERED, Record("id", "customer", 0, {"terms": "30-a", "segment": "n7"}, []))
    assert [pair] != match_pairs(NUMBERED, {"terms": "30a", "segment": "7"})


def test_parts_that_hold_what_they_are_joined_by_are_told_apart() -> None:
    """What stands between parts may stand in a value as well: an exact one keeps every character."""
    pairs = [
        match_pairs(NUMBERED, {"terms": terms, "segment": segment})
        for terms, segment in (("a", "b\x1fc"), ("a\x1fb", "c"), ("a", "b"), ("a\x1f", "b"))
    ]
    assert len({pair for [pair] in pairs}) == 3, "a blank at the end is no difference"


def test_a_value_that_looks_like_a_hash_is_not_taken_for_one() -> None:
    [(_, hashed)] = match_pairs(NUMBERED, {"name": "x" * 1000})
    assert match_pairs(NUMBERED, {"name": hashed}) != [("name", hashed)]


def test_signs_are_told_apart_from_each_other_and_from_words() -> None:
    texts = ["-", "--", "+", "🦊", "🐻", "a", "-a", "0"]
    assert len({pair for text in texts for pair in match_pairs(CUSTOMER, {"tax_id": text})}) == 7, (
        "-a is a, and nothing else is another"
    )


def test_what_a_reference_may_mean_gives_one_pair_for_each_record() -> None:
    invoice = RULES.entities["invoice"]
    assert possible_pairs(invoice, {"number": "7"}, {"customer": ["A", "B"]}) == [
        ("customer+number", "A\x1f7"),
        ("customer+number", "B\x1f7"),
    ]
    assert possible_pairs(invoice, {"number": "7"}, {"customer": []}) == []
    assert possible_pairs(invoice, {"number": "7", "customer": "of an earlier try"}, {"customer": []}) == []


TWO_KEYS = rulebook({**DOCUMENT, "identity": {"match": ["tax_id", "phone"]}}).entities["customer"]
KNOWN = {
    id: Record(id, "customer", 1, {"tax_id": tax, "phone": phone}, [])
    for id, tax, phone in (("A", "1", "+1"), ("B", None, "+2"), ("C", "3", "+3"), ("D", "4", "+3"))
}


@pytest.mark.parametrize(
    ("tax", "phone", "found"),
    [
        ("1", "+9", Found("A", "match")),
        ("1", "+3", Found("A", "match")),
        ("9", "+2", Found("B", "match")),
        (None, "+1", Found("A", "match")),
        ("9", "+1", New()),
        ("9", "+3", New()),
        (None, "+3", Ambiguous(("C", "D"), "2 records have the same phone")),
    ],
)
def test_the_first_key_that_both_state_decides(tax: str | None, phone: str, found: object) -> None:
    """Another customer may have the same telephone, and the same customer another one."""
    matches: dict[tuple[str, str], list[str]] = {}
    for id, record in KNOWN.items():
        for pair in record_pairs(TWO_KEYS, record):
            matches.setdefault(pair, []).append(id)
    pairs = match_pairs(TWO_KEYS, {"tax_id": tax, "phone": phone})
    assert identify(TWO_KEYS, ACCOUNT, None, pairs, matches, KNOWN) == found


LEAD = RowRef("crm", "public.lead", "1")


@pytest.mark.parametrize(
    ("row", "gone", "ours", "believed"),
    [
        (ACCOUNT._replace(key="2"), False, False, False),
        (ACCOUNT._replace(key="2"), False, True, False),
        (ACCOUNT._replace(key="2"), True, False, True),
        (LEAD, False, False, False),
        (LEAD, False, True, True),
        (LEAD, True, False, True),
        (RowRef("erp", "public.party", "1"), False, False, True),
    ],
)
def test_a_carried_record_id_is_believed_where_nobody_of_its_system_stands_for_the_record_or_we_wrote_it(
    row: RowRef, gone: bool, ours: bool, believed: bool
) -> None:
    there = Contribution(*ACCOUNT, "5", Stamp("5", None), {}, deleted="5" if gone else None)
    roots = {ACCOUNT[:2], LEAD[:2]}
    found = identify(CUSTOMER, row, "A", [], {}, {"A": Record("A", "customer", 1, {}, [there])}, (), roots, ours)
    if believed:
        assert found == Found("A", "external_id")
    else:
        assert isinstance(found, Ambiguous)
        assert (found.candidates, found.suspicious) == (("A",), "record_id")
