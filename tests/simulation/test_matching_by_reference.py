"""Records found by what they refer to: an invoice by its customer and number, a line by its invoice and number.

Two systems tell the same business, in batches of any size, a referring row before or after the row that it refers to,
both lanes at once, connections lost meanwhile. Whatever happens, one invoice is one record.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from fieldwarden.engine.change import RawChange
from fieldwarden.engine.testing import ScriptedSource
from fieldwarden.rules.loading import rulebook_from_documents
from tests.builders import raw
from tests.parts import first
from tests.simulation.lanes import Lanes, systems_by_record
from tests.simulation.virtual_time import simulate

ENTITIES: list[dict[str, Any]] = [
    {"entity": "customer", "identity": {"match": ["tax_id"]}, "fields": {"tax_id": {"type": "text"}}},
    {
        "entity": "invoice",
        "identity": {"match": [["customer", "number"]]},
        "fields": {"customer": {"type": "ref(customer)"}, "number": {"type": "text"}},
    },
    {
        "entity": "line",
        "identity": {"match": [["invoice", "place"]]},
        "fields": {"invoice": {"type": "ref(invoice)"}, "place": {"type": "integer"}},
    },
]
STREAMS: dict[str, Any] = {
    "customer": {"entity": "customer", "key": "id", "fields": {"tax_id": "tax_id"}},
    "invoice": {"entity": "invoice", "key": "id", "fields": {"customer": "customer", "number": "number"}},
    "line": {"entity": "line", "key": "id", "fields": {"invoice": "invoice", "place": "place"}},
}
RULES = rulebook_from_documents(
    ENTITIES,
    [{"system": name, "connector": {"kind": "postgres", "dsn": "x"}, "streams": STREAMS} for name in ("crm", "erp")],
)
CUSTOMERS, NUMBERS, PLACES = 3, 2, 2


def business(rng: random.Random, system: str) -> list[RawChange]:
    """All rows of one system under keys of its own: in some order, some told again later."""
    rows: list[tuple[str, dict[str, str]]] = []
    for c in range(CUSTOMERS):
        rows.append(("customer", {"id": f"{system}{c}", "tax_id": f"T-{c}"}))
        for n in range(NUMBERS):
            rows.append(("invoice", {"id": f"{system}{c}{n}", "customer": f"{system}{c}", "number": f"{n}"}))
            for p in range(PLACES):
                rows.append(("line", {"id": f"{system}{c}{n}{p}", "invoice": f"{system}{c}{n}", "place": f"{p}"}))
    if rng.random() < 0.7:
        rng.shuffle(rows)
    rows += rng.sample(rows, 5)
    return [raw(stream, "update", place, **row) for place, (stream, row) in enumerate(rows)]


@pytest.mark.parametrize("seed", first(20, range(60)))
def test_what_two_systems_tell_of_by_reference_is_one_record(seed: int) -> None:
    world = Lanes(RULES, business, seed)
    simulate(world.run())
    assert not world.hub.set_aside
    both = ("crm", "erp")
    assert Counter(systems_by_record(world.hub, "customer")) == {both: CUSTOMERS}
    assert Counter(systems_by_record(world.hub, "invoice")) == {both: CUSTOMERS * NUMBERS}
    assert Counter(systems_by_record(world.hub, "line")) == {both: CUSTOMERS * NUMBERS * PLACES}


def test_a_row_that_waits_is_found_by_what_its_newest_change_refers_to() -> None:
    """Corrected to another customer while it waited for the first: it is that customer's invoice from the start."""
    world = Lanes(RULES, business, 0)
    world.calm = True
    erp = [
        raw("customer", "update", 0, id="e1", tax_id="T-1"),
        raw("customer", "update", 1, id="e2", tax_id="T-2"),
        raw("invoice", "update", 2, id="e7", customer="e2", number="7"),
    ]
    crm = [
        raw("invoice", "update", 0, id="c7", customer="c1", number="7"),
        raw("invoice", "update", 1, id="c7", customer="c2", number="7"),
        raw("customer", "update", 2, id="c1", tax_id="T-1"),
        raw("customer", "update", 3, id="c2", tax_id="T-2"),
    ]
    for system, changes in (("erp", erp), ("crm", crm)):
        world.sources = {system: ScriptedSource(system, changes, size=1)}
        simulate(world.run())
    assert systems_by_record(world.hub, "invoice") == [("crm", "erp")]
