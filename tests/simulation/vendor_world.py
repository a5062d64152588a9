"""Whole runs of one system delivered to a vendor's service, whose deliverer is killed at any moment, driven by a seed.

The service loses, delays and repeats; what it was asked to do it does, though nobody may live any more to hear of it.
In the end it is its own data that is looked at, not what the hub believes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from fieldwarden.engine import failpoints
from fieldwarden.engine.change import Value
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.ports.target import Capabilities, Write
from fieldwarden.engine.running.delivery import Delivery
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, ScriptedSource
from fieldwarden.engine.testing.tables import Dirty
from fieldwarden.engine.testing.vendor import Fate, Manners, Vendor, VendorTarget
from fieldwarden.rules.loading import rulebook_from_documents
from tests.builders import raw
from tests.simulation.virtual_time import simulate

OWNED = {"type": "text", "owner": "crm"}
FIELDS = {"tax_id": "tax_id", "name": "name", "credit": "credit"}
ENTITIES: list[dict[str, Any]] = [
    {
        "entity": "customer",
        "identity": {"match": ["tax_id"]},
        "delete": {"authority": ["crm"]},
        "fields": {"tax_id": OWNED, "name": OWNED, "credit": {"type": "decimal(14,2)", "owner": "crm"}},
    },
]
CUSTOMERS: dict[str, Any] = {"entity": "customer", "key": "id", "fields": FIELDS}
RULES = rulebook_from_documents(
    ENTITIES,
    [
        {"system": "crm", "connector": {"kind": "postgres", "dsn": "x"}, "streams": {"customer": CUSTOMERS}},
        {
            "system": "shop",
            "connector": {"kind": "postgres", "dsn": "x"},
            "streams": {
                "customer": CUSTOMERS | {"mode": "target", "create": True, "external_id": "ext", "on_retire": "delete"}
            },
        },
    ],
    {},
    ["crm", "shop"],
)


class Killed(BaseException):
    """The process is gone; no code of its own runs any more."""


def rounded(_stream: str, name: str, value: Value) -> Value:
    return f"{Decimal(value):.0f}" if name == "credit" and value is not None else value


def as_it_is(_stream: str, _name: str, value: Value) -> Value:
    return value


class VendorWorld:
    """People edit the CRM; what they wrote is delivered to the vendor. `naive`: by a loop that takes an unknown outcome
    for none, as if the vendor left no doubt."""

    def __init__(self, seed: int, manners: Manners, *, rounds: bool = False, naive: bool = False) -> None:
        self.rng = random.Random(seed)
        self.calm = False
        self.hub = MemoryHub(clock=self._now, crash=self._maybe_die, pace=self._pace)
        self.rewrite = rounded if rounds else as_it_is
        self.vendor = Vendor("shop", manners, rewrite=self.rewrite)
        self.naive = naive
        self.crm = ScriptedSource("crm", size=5)
        self.people: dict[str, tuple[str, str]] = {}
        """Tax id -> name and credit, in the CRM."""
        self.over = asyncio.Event()
        self.kills = 0
        self.fates: list[Fate] = []
        self._process: asyncio.Task[None] | None = None
        self._number = 0

    def _now(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e6)

    async def _pace(self) -> None:
        await asyncio.sleep(self.rng.choice((0, 0, 0.01)))

    def _maybe_die(self, step: str, _subject: str = "") -> None:
        if not self.calm and step.startswith(("delivery.", "intent.")) and self.rng.random() < 0.03:
            self.kills += 1
            if self._process is not None:
                self._process.cancel()  # and with it every other call of that process
            raise Killed(step)

    def _fate(self, _write: Write) -> Fate:
        if self.calm:
            return Fate(0.01, 0.01)
        rng, draw = self.rng, self.rng.random()
        if draw < 0.5:
            fate = Fate(rng.random() * 0.3, rng.random() * 0.3, twice=rng.random() < 0.1)
        elif draw < 0.6:
            fate = Fate(lands=None)  # it never came there
        elif draw < 0.7:
            fate = Fate(rng.random() * 2, answers=None)  # the answer was lost
        elif draw < 0.85:
            fate = Fate(rng.uniform(2, 9.9), rng.random())  # it lands after the caller has given up
        elif draw < 0.93:
            fate = Fate(rng.choice((None, 0.1, 5.0)), breaks=True)
        else:
            fate = Fate(busy=rng.choice((1.0, 20.0)))
        self.fates.append(fate)
        return fate

    def _blind(self) -> bool:
        if self.calm:
            return False
        if self.rng.random() < 0.1:
            raise TransientError("no answer")
        return self.rng.random() < 0.2

    # --- what happens ----------------------------------------------------------------------------------------

    def edit(self) -> None:
        act = self.rng.random()
        if act < 0.4 or not self.people:
            self._number += 1
            self._say(f"T{self._number}", ("first", "1.00"))
            return
        tax = self.rng.choice(sorted(self.people))
        if act < 0.9:  # among them values that stood there before
            self._say(tax, (self.rng.choice(("first", "second")), self.rng.choice(("1.00", "2.40", "3.60"))))
        else:
            del self.people[tax]
            self._tell(raw("customer", "delete", 0, id=tax))

    def _say(self, tax: str, values: tuple[str, str]) -> None:
        self.people[tax] = values
        self._tell(raw("customer", "update", 0, id=tax, tax_id=tax, name=values[0], credit=values[1]))

    def _tell(self, change: Any) -> None:
        change.position = f"{len(self.crm.changes):08}"
        self.crm.extend([change])

    # --- from beginning to end -------------------------------------------------------------------------------

    async def live(self, steps: int = 25) -> None:
        reading = Pipeline(RULES, self.crm, self.hub, Telemetry(), clock=self._now, bits=self.rng.getrandbits)
        running = [asyncio.create_task(reading.run(self.over)), asyncio.create_task(self._deliver())]
        for _ in range(steps):
            self.edit()
            if self.rng.random() < 0.1 and self._process is not None:
                self.kills += 1
                self._process.cancel()
            await asyncio.sleep(self.rng.choice((0, 0.1, 1, 4)))
        self.calm = True
        await self._quiet(running)
        self.over.set()
        await asyncio.gather(*running)

    async def _deliver(self) -> None:
        """One process after another."""
        while not self.over.is_set():
            target = VendorTarget(self.vendor, self._fate, self._blind)
            if self.naive:
                target.capabilities = Capabilities(target.capabilities.batch, target.capabilities.concurrency)
            delivery = Delivery(
                RULES, "shop", target, self.hub, Telemetry(), chance=self.rng.random, bits=self.rng.getrandbits
            )
            self._process = asyncio.create_task(delivery.run(self.over))
            await asyncio.wait([self._process])  # whoever ends this world is heard, and not taken for its death
            if not self._process.cancelled() and not isinstance(self._process.exception(), Killed):
                self._process.result()
            await asyncio.sleep(self.rng.choice((0.01, 3)))

    async def _quiet(self, running: list[asyncio.Task[None]]) -> None:
        for _ in range(600):
            await asyncio.sleep(1)
            for task in running:
                if task.done():
                    await task
            left = [mark for mark in self.hub.dirty.values() if not self._may_stay(mark)]
            read = self.crm.acknowledged and int(self.crm.acknowledged[-1]) == len(self.crm.changes)
            if read and not left and not self.hub.intended:
                await asyncio.sleep(20)  # nothing that is on its way comes later than this
                return
        raise AssertionError(f"never quiet: {self.hub.dirty} {self.hub.intended}")

    def _may_stay(self, mark: Dirty) -> bool:
        """A naive loop's doubles may contend with each other until the record is parked."""
        return "rewrites credit" in mark.reason or (self.naive and mark.status == "parked")

    # --- what the vendor holds -------------------------------------------------------------------------------

    def holds(self) -> list[tuple[Value, ...]]:
        rows = self.vendor.rows.get("customer", {}).values()
        return sorted(tuple(row.values.get(name) for name in FIELDS) for row in rows)

    def should_hold(self) -> list[tuple[Value, ...]]:
        """What the CRM's people wrote, as the vendor keeps it."""
        return sorted(
            (tax, name, self.rewrite("customer", "credit", credit)) for tax, (name, credit) in self.people.items()
        )


@contextlib.contextmanager
def killing(world: VendorWorld) -> Iterator[None]:
    """The process may die wherever a failpoint stands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failpoints, "hit", world._maybe_die)
        yield


def lived(seed: int, manners: Manners, *, rounds: bool = False, naive: bool = False) -> VendorWorld:
    world = VendorWorld(seed, manners, rounds=rounds, naive=naive)
    with killing(world):
        simulate(world.live())
    return world
