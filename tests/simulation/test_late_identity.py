"""Identity that comes late: a tax id that stands in a child row of one system and in the root row of others, whichever
system is read first, in any order of rows and batches, both lanes at once, connections lost meanwhile.

One customer is one record at the end, and so is each of its invoices, which are found by the customer and a number.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from engine.change import RawChange
from engine.errors import TransientError
from engine.ledger import decode
from engine.pipeline import Pipeline
from engine.replay import Fold
from engine.telemetry import Telemetry
from engine.testing import MemoryHub, ScriptedSource
from rules.loading import rulebook_from_documents
from tests.builders import raw
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


class World:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.calm = False
        self.hub = MemoryHub(clock=self._now, crash=self._maybe_fail)
        self.sources = {
            name: ScriptedSource(
                name, business(self.rng, name), size=self.rng.choice((1, 4, 100)), rewind=3, fail=self._maybe_fail
            )
            for name in RULES.systems
        }

    def _now(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e6)

    def _maybe_fail(self, _: object) -> None:
        if not self.calm and self.rng.random() < 0.05:
            raise TransientError("no answer")

    async def run(self) -> None:
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(
                Pipeline(
                    RULES, source, self.hub, Telemetry(),
                    clock=self._now, bits=self.rng.getrandbits, chance=self.rng.random,
                ).run(stop)
            )
            for source in self.sources.values()
        ]  # fmt: skip
        for step in range(2000):
            await asyncio.sleep(0.5)
            self.calm = step > 20
            if step > 30 and not self.hub.set_aside and await self._is_quiet():
                break
        stop.set()
        await asyncio.gather(*tasks)

    async def _is_quiet(self) -> bool:
        read = all(s.acknowledged and int(s.acknowledged[-1]) == len(s.changes) for s in self.sources.values())
        return read and not await self.hub.alike(1) and not await self.hub.following(1)


def systems_by_record(hub: MemoryHub, entity: str) -> Sequence[tuple[str, ...]]:
    return [
        tuple(sorted({row.system for row in record.rows}))
        for record, _ in hub.records.values()
        if record.entity == entity and not record.retired
    ]


@pytest.mark.parametrize("seed", range(100))
def test_one_customer_is_one_record_whatever_comes_first(seed: int) -> None:
    world = World(seed)
    simulate(world.run())
    hub = world.hub
    assert not hub.set_aside
    both = ("crm", "erp")
    assert Counter(systems_by_record(hub, "customer")) == {both: CUSTOMERS}
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
