"""Two workers deliver to one target, each some of its shards, driven by a seed; shards change hands all the time.

In good order, once the batch in hand is done with, or because a worker hung: then it ends its batch while another has
its shards already, and what it wrote may come late. Whoever delivered what, the target ends with one row for each
record, with what its source says, and nothing is left to do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from fieldwarden.engine.change import RawChange, Value
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.ports.duties import SHARDS, shard_of
from fieldwarden.engine.ports.target import Capabilities, Found, Intent, Write, WriteResult, answers
from fieldwarden.engine.running.delivery import Delivery
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, MemoryTarget, ScriptedSource
from fieldwarden.rules.loading import rulebook_from_documents
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import raw
from tests.parts import first
from tests.simulation.virtual_time import simulate

OWNED = {"type": "text", "owner": "crm"}
ENTITIES: list[dict[str, Any]] = [
    {
        "entity": "company",
        "identity": {"match": ["number"]},
        "delete": {"authority": ["crm"]},
        "fields": {"number": OWNED, "name": OWNED},
    },
    {
        "entity": "person",
        "identity": {"match": ["number"]},
        "delete": {"authority": ["crm"]},
        "fields": {"number": OWNED, "name": OWNED, "company": {"type": "ref(company)", "owner": "crm"}},
    },
]
COMPANIES: dict[str, Any] = {"entity": "company", "key": "id", "fields": {"number": "number", "name": "name"}}
PEOPLE: dict[str, Any] = {"entity": "person", "key": "id"}
PEOPLE["fields"] = COMPANIES["fields"] | {"company": "company_id"}
WRITTEN = {"create": True, "external_id": "ext", "on_retire": "delete"}


def rules(mode: str) -> Rulebook:
    """The shop is written to, and read as well if its mode is `both`."""
    systems: list[dict[str, Any]] = [
        {
            "system": name,
            "connector": {"kind": "postgres", "dsn": "x"},
            "streams": {"public.company": COMPANIES | more, "public.person": PEOPLE | more},
        }
        for name, more in (("crm", {}), ("shop", WRITTEN | {"mode": mode}))
    ]
    return rulebook_from_documents(ENTITIES, systems, {}, ["crm", "shop"])


RULES = {mode: rules(mode) for mode in ("both", "target")}


@dataclass
class World:
    """People edit the CRM; two workers deliver to the shop, whose echoes come back if it is read."""

    rng: random.Random
    mode: str = "both"
    unrest: float = 0.1
    """How often anything fails."""
    companies: dict[str, str] = field(default_factory=dict)
    """Key -> name, in the CRM."""
    people: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Key -> company and name."""
    _number: int = 0

    def __post_init__(self) -> None:
        self.hub = MemoryHub(clock=self._now, crash=self._maybe_fail, pace=self._pace)
        self.rules = RULES[self.mode]
        self.crm, self.shop = ScriptedSource("crm", size=5), ScriptedSource("shop")
        self.sources = [self.crm, self.shop] if self.mode == "both" else [self.crm]
        self.target = MemoryTarget(
            "shop", before=self._maybe_fail, after=self._maybe_fail, reject=self._maybe_refuse, feed=self._echo
        )
        self.over = asyncio.Event()
        self.workers = [Worker(self, range(2)), Worker(self, range(2, len(SHARDS)))]

    def _now(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e6)

    async def _pace(self) -> None:
        await asyncio.sleep(self.rng.choice((0, 0, 0.01)))

    def _maybe_fail(self, _: object) -> None:
        if self.rng.random() < self.unrest:
            raise TransientError("no answer")

    def _maybe_refuse(self, _: Write) -> str:
        return "not today" if self.rng.random() < self.unrest / 2 else ""

    # --- what happens ----------------------------------------------------------------------------------------

    def _echo(self, stream: str, key: str, values: Mapping[str, Value] | None, record: str) -> None:
        if values is None:
            self._say(self.shop, raw(stream, "delete", 0, id=key), echo=True)
            return
        columns = ("number", "name", "company_id") if stream == "public.person" else ("number", "name")
        told = {column: values.get(column.removesuffix("_id")) for column in columns}
        self._say(self.shop, raw(stream, "update", 0, id=key, ext=record, **told), echo=True)

    def _say(self, source: ScriptedSource, change: RawChange, *, echo: bool = False) -> None:
        change.position, change.echo = f"{len(source.changes):08}", echo
        source.extend([change])

    def edit(self) -> None:
        act = self.rng.random()
        if act < 0.2 or not self.companies:
            self._tell_company(self._new("C"))
        elif act < 0.6 or not self.people:
            self._tell_person(self._new("P"), self.rng.choice(sorted(self.companies)))
        elif act < 0.7:
            self._tell_company(self.rng.choice(sorted(self.companies)))
        elif act < 0.9:
            self._tell_person(self.rng.choice(sorted(self.people)), self.rng.choice(sorted(self.companies)))
        elif self.mode == "both":  # else nothing tells of a row that was created while its record was retired
            gone = self.rng.choice(sorted(self.people))
            del self.people[gone]
            self._say(self.crm, raw("public.person", "delete", 0, id=gone))

    def _tell_company(self, key: str) -> None:
        self.companies[key] = name = self._new("name ")
        self._say(self.crm, raw("public.company", "update", 0, id=key, number=key, name=name))

    def _tell_person(self, key: str, company: str) -> None:
        self.people[key] = company, self._new("name ")
        columns = {"number": key, "name": self.people[key][1], "company_id": company}
        self._say(self.crm, raw("public.person", "update", 0, id=key, **columns))

    def _new(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}{self._number}"

    async def hand_over(self) -> None:
        """A shard goes to the other worker, perhaps before the one that has it has noticed."""
        shard = self.rng.choice(SHARDS)
        giver, heir = self.workers if shard in self.workers[0].shards else self.workers[::-1]
        if self.rng.random() < 0.5:
            giver.lose(shard)
        else:
            await giver.give(shard)
        heir.take(shard)

    def try_again(self) -> None:
        """What a person does about deliveries that were parked."""
        for dirty in self.hub.dirty.values():
            if dirty.status == "parked":
                dirty.status, dirty.due, dirty.attempts, dirty.result = "due", self._now(), 0, ""

    # --- from beginning to end ---------------------------------------------------------------------------------

    async def live(self, steps: int) -> None:
        readers = [
            Pipeline(
                self.rules, source, self.hub, Telemetry(), clock=self._now, bits=self.rng.getrandbits, chance=_half
            )
            for source in self.sources
        ]
        running = [asyncio.create_task(reader.run(self.over)) for reader in readers]
        running += [asyncio.create_task(worker.run(self.over)) for worker in self.workers]
        self._say(self.shop, raw("public.company", "delete", 0, id="-"))  # so that both have been read
        for _ in range(steps):
            self.edit()
            if self.rng.random() < 0.4:
                await self.hand_over()
            if self.rng.random() < 0.1:
                self.try_again()
            await asyncio.sleep(self.rng.choice((0, 0, 0.1, 2)))
        self.unrest = 0.0
        await self._quiet(running)
        self.over.set()
        for worker in self.workers:
            worker.stop.set()
        await asyncio.gather(*running)

    async def _quiet(self, running: Sequence[asyncio.Task[None]]) -> None:
        for _ in range(600):
            await asyncio.sleep(1)
            for task in running:
                if task.done():
                    await task
            self.try_again()
            positions = {name: int(row.position or "0") for (name, _), row in self.hub.partitions.items()}
            read = positions == {source.system: len(source.changes) for source in self.sources}
            if read and not self.hub.dirty and not self.hub.set_aside:
                return
        raise AssertionError(f"never quiet: {self.hub.dirty} {self.hub.set_aside}")


class Worker:
    """One process's deliveries: a loop for the shards it holds, which ends and begins anew when these change."""

    def __init__(self, world: World, shards: Sequence[int]) -> None:
        self.shards = set(shards)
        self.stop = asyncio.Event()
        self._world = world
        self._working: frozenset[int] = frozenset()
        self._giving: set[int] = set()

    def has_lost_some(self) -> bool:
        """Whether its batch in hand may be of shards that are another's by now."""
        return not self._working <= self.shards

    def take(self, shard: int) -> None:
        self.shards.add(shard)
        self.stop.set()

    def lose(self, shard: int) -> None:
        """It hung: it notices no sooner than its batch in hand is done with."""
        self.shards.remove(shard)
        self.stop.set()

    async def give(self, shard: int) -> None:
        """Once its batch in hand is done with."""
        self._giving.add(shard)
        self.stop.set()
        while shard in self.shards:  # noqa: ASYNC110 (in virtual time)
            await asyncio.sleep(0.01)

    async def run(self, over: asyncio.Event) -> None:
        world = self._world
        while not over.is_set():
            self.shards -= self._giving
            self._giving.clear()
            self.stop, self._working = asyncio.Event(), frozenset(self.shards)
            remote, shards = Remote(world, self), sorted(self.shards)
            delivery = Delivery(world.rules, "shop", remote, world.hub, Telemetry(), chance=_half, shards=shards)
            await delivery.run(self.stop)


class Remote:
    """The target as a worker has it: what it writes takes its time to come there, and so does the answer. Nothing new
    is sent once some of its shards are lost; what is on its way gets there."""

    system = "shop"
    capabilities = Capabilities()

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        if self._worker.has_lost_some():
            raise TransientError("the right to write there ran out")
        await self._pause()
        results = await answers(self._world.target, writes)
        await self._pause()
        for result in results:
            yield result

    async def look_up(self, _intents: Sequence[Intent]) -> Sequence[Found]:
        return []

    async def _pause(self) -> None:
        await asyncio.sleep(self._world.rng.choice((0, 0.01, 0.2, 1.5)))

    async def close(self) -> None:
        return


def _half() -> float:
    return 0.5


@pytest.mark.parametrize("mode", ["both", "target"])
@pytest.mark.parametrize("seed", first(8, range(40)))
def test_whoever_delivers_what_the_target_ends_with_one_row_for_each_record(seed: int, mode: str) -> None:
    world = World(random.Random(seed), mode, unrest=0.1 if seed % 4 else 0.0)
    simulate(world.live(steps=60))
    records = {row.key: id for row, id in world.hub.crosswalk.items() if row.system == "crm"}
    companies, people = (world.target.rows.get(f"public.{name}", {}) for name in ("company", "person"))
    keys = {row.record: key for key, row in companies.items()}
    assert sorted((row.record, row.values["name"]) for row in companies.values()) == sorted(
        (records[key], name) for key, name in world.companies.items()
    )
    assert sorted((row.record, row.values["name"], row.values["company"]) for row in people.values()) == sorted(
        (records[key], name, keys[records[company]]) for key, (company, name) in world.people.items()
    )


def test_parents_and_children_do_fall_into_different_shards() -> None:
    world = World(random.Random(1))
    simulate(world.live(steps=60))
    apart = {
        shard_of(row.record) != shard_of(world.target.rows["public.company"][row.values["company"] or ""].record)
        for row in world.target.rows["public.person"].values()
    }
    assert apart == {True, False}
