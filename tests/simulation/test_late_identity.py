"""Identity that comes late: a tax id that stands in a child row of one system and in the root row of others, whichever
system is read first, in any order of rows and batches, both lanes at once, connections lost meanwhile.

One customer is one record at the end, and so is each of its invoices, which are found by the customer and a number.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from fieldwarden.engine.change import RawChange
from fieldwarden.engine.ledger.entries import decode
from fieldwarden.engine.ledger.replay import Fold
from fieldwarden.engine.testing import MemoryHub
from fieldwarden.rules.loading import rulebook_from_documents
from tests.builders import raw
from tests.parts import first
from tests.simulation.lanes import Lanes, systems_by_record
from tests.simulation.virtual_time import simulate

ENTITIES: list[dict[str, Any]] = [
    {
        "entity": "customer",
        "identity": {"match": ["tax_id"]},
        "defaults": {"strategy": "source_priority", "order": ["erp", "crm"]},
        "fields": {"tax_id": {"type": "text"}, "name": {"type": "text"}},
    },
    {
        "entity": "invoice",
        "identity": {"match": [["customer", "number"]]},
        "fields": {"customer": {"type": "ref(customer)"}, "number": {"type": "text"}},
    },
]
INVOICE = {"entity": "invoice", "key": "id", "fields": {"customer": "customer", "number": "number"}}
FLAT = {
    "customer": {"entity": "customer", "key": "id", "fields": {"tax_id": "tax_id", "name": "name"}},
    "invoice": INVOICE,
}
NORMALISED = {
    "customer": {"entity": "customer", "key": "id", "fields": {"name": "name"}},
    "identifier": {
        "entity": "customer", "key": "id", "parent": {"customer": "party"}, "fields": {"tax_id": "code"},
    },
    "invoice": INVOICE,
}  # fmt: skip
RULES = rulebook_from_documents(
    ENTITIES,
    [
        {"system": name, "connector": {"kind": "postgres", "dsn": "x"}, "streams": streams}
        for name, streams in (("crm", FLAT), ("erp", NORMALISED))
    ],
)
CUSTOMERS, NUMBERS = 3, 2


def business(rng: random.Random, system: str) -> list[RawChange]:
    """All rows of one system in some order; some are told again later, some state their tax id only in the end."""
    rows: list[tuple[str, dict[str, str]]] = []
    later: list[tuple[str, dict[str, str]]] = []
    for c in range(CUSTOMERS):
        id, tax, name = f"{system}{c}", f"T-{c}", f"{c} of {system}"
        if system == "crm":
            if rng.random() < 0.3:
                rows.append(("customer", {"id": id, "tax_id": "", "name": name}))
                later.append(("customer", {"id": id, "tax_id": tax, "name": name}))
            else:
                rows.append(("customer", {"id": id, "tax_id": tax, "name": name}))
        else:
            rows.append(("customer", {"id": id, "name": name}))
            (later if rng.random() < 0.3 else rows).append(("identifier", {"id": f"i{id}", "party": id, "code": tax}))
        rows += [("invoice", {"id": f"{id}-{n}", "customer": id, "number": f"{n}"}) for n in range(NUMBERS)]
    if rng.random() < 0.7:
        rng.shuffle(rows)
    rows += later
    rows += rng.sample(rows, 3) if not later else []
    return [raw(stream, "update", place, **row) for place, (stream, row) in enumerate(rows)]


@pytest.mark.parametrize("seed", first(40, range(100)))
def test_one_customer_is_one_record_whatever_comes_first(seed: int) -> None:
    world = Lanes(RULES, business, seed)
    simulate(world.run())
    hub = world.hub
    assert not hub.set_aside
    both = ("crm", "erp")
    assert Counter(systems_by_record(hub, "customer")) == {("crm", "erp", "erp"): CUSTOMERS}  # party and identifier
    assert Counter(systems_by_record(hub, "invoice")) == {both: CUSTOMERS * NUMBERS}
    golden = {record.golden["tax_id"]: record for record, _ in hub.records.values() if "tax_id" in record.golden}
    assert {tax: record.golden["name"] for tax, record in golden.items()} == {
        f"T-{c}": f"{c} of erp" for c in range(CUSTOMERS)
    }
    live = {record.id for record, _ in hub.records.values() if not record.retired}
    assert {record.golden["customer"] for record, _ in hub.records.values() if "customer" in record.golden} <= live
    assert set(hub.crosswalk.values()) <= live
    assert_the_ledger_tells_it(hub)


def assert_the_ledger_tells_it(hub: MemoryHub) -> None:
    folds: dict[str, Fold] = {}
    found = []
    for entry in sorted(hub.entries, key=lambda each: each.version):
        found += folds.setdefault(entry.record, Fold()).apply(entry.version, decode(entry.body))
    for id, (record, _) in hub.records.items():
        found += folds[id].compare(record.entity, record.version, record.golden, record.retired)
    assert found == []
