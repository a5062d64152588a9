"""The proof judges convergence without the engine, so it must see every kind of disagreement by itself."""

from __future__ import annotations

from fieldwarden.operations.demo.proof import Cell, Value, compare

SHARED = {
    ("customer", "name"): ("crm", "erp"),
    ("customer", "phone"): ("crm", "billing", "erp"),
    ("customer", "website"): ("crm",),
}


def held(*cells: tuple[str, str, Value]) -> dict[Cell, list[Value]]:
    found: dict[Cell, list[Value]] = {}
    for key, name, value in cells:
        found.setdefault(Cell("customer", key, name), []).append(value)
    return found


def test_equal_values_nulls_included_agree() -> None:
    crm = held(("1", "name", "Ada"), ("1", "phone", None), ("1", "website", "w"))
    proof = compare(SHARED, {"crm": crm, "billing": held(("1", "phone", None)), "erp": crm})
    assert proof.converged
    assert proof.compared == 2  # the website is the CRM's alone
    assert proof.things == {"customer": 1}


def test_a_differing_value_is_named_with_who_holds_what() -> None:
    crm, erp = held(("1", "name", "Ada")), held(("1", "name", "Ida"))
    proof = compare(SHARED, {"crm": crm, "billing": {}, "erp": erp})
    assert not proof.converged
    assert str(proof.differences[0]) == "customer 1, name: crm 'Ada', erp 'Ida'"
    assert proof.things == {"customer": 0}


def test_null_is_not_the_empty_text() -> None:
    proof = compare(SHARED, {"crm": held(("1", "name", "")), "erp": held(("1", "name", None))})
    assert [d.holds for d in proof.differences] == [{"crm": "''", "erp": "(null)"}]


def test_a_missing_row_is_a_difference() -> None:
    proof = compare(SHARED, {"crm": held(("1", "phone", None)), "billing": held(("1", "phone", None)), "erp": {}})
    assert [d.holds["erp"] for d in proof.differences] == ["(missing)"]


def test_a_row_that_is_there_twice_is_a_difference_even_where_all_say_the_same() -> None:
    twice = held(("1", "name", "Ada"), ("1", "name", "Ada"))
    assert not compare(SHARED, {"crm": twice, "erp": twice}).converged


def test_nothing_compared_proves_nothing() -> None:
    assert not compare(SHARED, {"crm": {}, "billing": {}, "erp": {}}).converged
