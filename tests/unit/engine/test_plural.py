"""Of several rows the first speaks: whatever comes in which order, and only the first."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import msgspec
import pytest

from fieldwarden.engine.change import UNKNOWN
from fieldwarden.engine.deciding.plural import first, order_text, ordered
from fieldwarden.engine.deciding.resolve import choose
from fieldwarden.engine.record import Contribution, Record, Stamp
from tests.builders import CUSTOMER, ERP, rulebook

PLACE = ("erp", "public.address")


def row(key: str, *order: str | None, **fields: str) -> Contribution:
    return Contribution(*PLACE, key, "1", Stamp("1", 1), dict(fields), order=order)


def plural() -> dict[str, Any]:
    document = copy.deepcopy(ERP)
    document["streams"]["public.address"] |= {"first_by": ["sequence", "id"]}
    return document


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("integer", ["-1", "9", "10", None]),
        ("numeric", ["0.5", "1.25", "Infinity", "NaN", None]),
        ("float", ["1e-3", "2"]),
        ("text", ["A", "B", "a", "é", None]),
        ("timestamptz", ["2026-01-01 01:00:00+02", "2026-01-01 00:00:00+00", "infinity", None]),
        ("date", ["2025-12-31", "2026-01-01", None]),
        ("boolean", ["f", "t", None]),
    ],
)
def test_values_are_ordered_by_their_type_and_nulls_come_last(kind: str, values: list[str | None]) -> None:
    rows = [row(str(number), order_text(value, kind)) for number, value in enumerate(values)]  # type: ignore[arg-type]
    for one, other in itertools.combinations(rows, 2):
        assert first([other, one], PLACE) is one


def test_the_key_decides_where_all_else_is_the_same_and_what_was_never_read_comes_last() -> None:
    a, b, unread = row("a", "n1"), row("b", "n1"), row("0")
    assert first([unread, b, a], PLACE) is a
    assert first([unread, row("1")], PLACE) is unread


def test_what_an_image_leaves_out_keeps_its_place() -> None:
    one, other = row("a", "n1", "tx"), row("a", "n1", "tx")
    ordered(one, (UNKNOWN, "ty"))
    assert one.order == ("n1", "ty")
    ordered(other, ("ta",))
    assert other.order == ("ta",), "ordered by something else now"


def test_only_the_first_live_row_speaks() -> None:
    unit = rulebook(erp=plural()).entities["customer"].unit_of["street"]
    assert unit.plural == {PLACE}
    rows = [row("1", "n2", street="b", city="b"), row("2", "n1", street="a", city="a"), row("3", "n0")]
    rows[2].deleted = "2"
    for some in itertools.permutations(rows):
        assert choose(unit, some) is rows[1]
    rows[1].deleted = "3"
    assert choose(unit, rows) is rows[0]


def test_rows_of_other_streams_are_stored_as_they_were() -> None:
    plain = Record("r", "customer", 1, {}, [row("1", street="a")])
    assert b"order" not in msgspec.json.encode(plain)
    stored = msgspec.json.encode(Record("r", "customer", 1, {}, [row("1", "n1", None)]))
    known = msgspec.json.decode(stored, type=Record)
    assert known.rows[0].order == ("n1", None)


def test_any_order_of_the_rows_has_one_outcome() -> None:
    unit = rulebook(erp=plural()).entities["customer"].unit_of["street"]
    chance = random.Random(8)
    for _ in range(200):
        rows = [row(str(n), f"n{chance.randrange(3)}", street=str(n), city="c") for n in range(5)]
        for each in rows:
            each.deleted = chance.choice([None, "9"])
        expected = choose(unit, rows)
        chance.shuffle(rows)
        assert choose(unit, rows) is expected


# --- excluded with the parent -------------------------------------------------------------------------------------


def excluding(**address: Any) -> dict[str, Any]:
    document = copy.deepcopy(ERP)
    document["streams"]["public.party"] |= {"where": "active"}
    document["streams"]["public.address"] |= address
    return document


def party(*, live: bool) -> Contribution:
    return Contribution("erp", "public.party", "P", "1", Stamp("1", 1), {"name": "x"}, deleted=None if live else "2")


def test_a_child_row_speaks_where_its_parent_is_there() -> None:
    unit = rulebook(erp=excluding()).entities["customer"].unit_of["street"]
    child = row("1", street="a", city="a")
    for rows in itertools.permutations([child, party(live=True)]):
        assert choose(unit, rows) is child
    for rows in itertools.permutations([child, party(live=False)]):
        assert choose(unit, rows) is None


def test_a_parent_that_nothing_leaves_out_takes_no_child_with_it() -> None:
    unit = rulebook().entities["customer"].unit_of["street"]
    assert (unit.below, unit.plural) == ({}, frozenset())
    child = row("1", street="a", city="a")
    assert choose(unit, [child, party(live=False)]) is child


def test_the_owners_last_word_on_a_protected_field_stands_when_its_row_is_excluded() -> None:
    owned = copy.deepcopy(CUSTOMER)
    owned["groups"]["address"] = {"fields": ["street", "city"], "owner": "erp", "protected": True, "seed_from": ["crm"]}
    unit = rulebook(owned, erp=excluding()).entities["customer"].unit_of["street"]
    child, seed = row("1", street="a", city="a"), Contribution("crm", "public.account", "C", "1", Stamp("1", 1), {})
    seed.fields = {"street": "b", "city": "b"}
    assert choose(unit, [seed, child, party(live=False)]) is child
    assert choose(unit, [seed, party(live=False)]) is seed
