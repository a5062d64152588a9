"""Many workers over one source's partitions, driven by a seed: rebalances, zombies, rekeys, and replays from the start.

Whoever reads which partition when, and whatever others commit between two statements of a transaction, the records end
as if one worker had read everything in the order of the source, each change is decided on once, and reading everything
again from the first offset decides nothing.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace

import pytest

from fieldwarden.engine.change import RawChange, Relation, Value
from fieldwarden.engine.ledger.entries import decode
from fieldwarden.engine.ledger.replay import Fold
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, PartitionedSource
from fieldwarden.engine.testing.tables import PartitionRow
from tests.builders import raw, rulebook
from tests.parts import first
from tests.simulation.history import WORDS
from tests.simulation.virtual_time import simulate

RULES = rulebook()
STREAM = "public.account"
NAMES = ("tax_id", "name", "phone", "segment", "credit_limit", "terms", "street", "city")
KEY = Relation(STREAM, ("id",), ("text",))
WORKERS = 3


@dataclass
class Topic:
    """A table's changes over some partitions, by the hash of the row's key, as Kafka Connect lays them."""

    rng: random.Random
    partitions: int
    system: str = "crm"
    log: dict[str, list[RawChange]] = field(default_factory=dict)
    rows: dict[str, dict[str, Value]] = field(default_factory=dict)
    _keys: int = 0
    _at: int = 0

    def __post_init__(self) -> None:
        self.log = {f"crm.account/{number}": [] for number in range(self.partitions)}

    def step(self) -> None:
        act = self.rng.random()
        if not self.rows or act < 0.3:
            self._keys += 1
            key = f"K{self._keys}"
            self.rows[key] = {name: self.rng.choice(WORDS.get(name, (f"T{self._keys}",))) for name in NAMES}
            self._tell(key, "insert")
            return
        key = self.rng.choice(sorted(self.rows))
        if act < 0.75:
            name = self.rng.choice(NAMES[1:])
            self.rows[key][name] = self.rng.choice(WORDS[name])
            self._tell(key, "update")
        elif act < 0.85:
            del self.rows[key]
            self._append(key, raw(STREAM, "delete", self._at, id=key))
        else:
            self._rekey(key)

    def _rekey(self, old: str) -> None:
        self._keys += 1
        new = f"K{self._keys}"
        self.rows[new] = self.rows.pop(old)
        if self.rng.random() < 0.5:
            self.rows[new]["phone"] = self.rng.choice(WORDS["phone"])
        if self.rng.random() < 0.5:
            self.rows[new]["tax_id"] = f"T{self._keys}"
        follows = self.partitions > 1
        self._append(old, RawChange(KEY, "rekey", (new,), "", self._at, old_values=(old,), follows_rekey=follows))
        self._tell(new, "insert", old)

    def _tell(self, key: str, operation: str, old: str | None = None) -> None:
        change = raw(STREAM, operation, self._at, id=key, ext=None, **self.rows[key])
        if old is not None:
            change.follows_rekey = self.partitions > 1
        self._append(key, change)

    def _append(self, key: str, change: RawChange) -> None:
        self._at += 1
        place = sum(key.encode()) % self.partitions
        self.log[f"crm.account/{place}"].append(replace(change, at=self._at))


PARTY, ADDRESS = (Relation(name, ("id",), ("text",)) for name in ("public.party", "public.address"))


@dataclass
class Family:
    """Parties and their addresses, each table over some partitions; a party's new key is its address's news, too."""

    rng: random.Random
    partitions: int
    system: str = "erp"
    log: dict[str, list[RawChange]] = field(default_factory=dict)
    parties: dict[str, str] = field(default_factory=dict)
    """Key -> the tax id that it began with."""
    addresses: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Key of the party -> its address's key and street."""
    _number: int = 0

    def __post_init__(self) -> None:
        names = [relation.stream for relation in (PARTY, ADDRESS)]
        self.log = {f"erp.{name}/{number}": [] for name in names for number in range(self.partitions)}

    def step(self) -> None:
        act = self.rng.random()
        if not self.parties or act < 0.25:
            key = self._new("P")
            self.parties[key] = f"T{key}"
            self._tell_party(key, "insert")
            return
        party = self.rng.choice(sorted(self.parties))
        if act < 0.6:
            old = self.addresses.get(party)
            self.addresses[party] = (old[0] if old else self._new("A"), f"street {self._new('')}")
            self._tell_address(party, "update" if old else "insert")
        elif act < 0.7 and party in self.addresses:
            key, _ = self.addresses.pop(party)
            self._append(key, raw(ADDRESS.stream, "delete", 0, id=key))
        else:
            self._rekey(party)

    def _rekey(self, old: str) -> None:
        new = self._new("P")
        self.parties[new] = self.parties.pop(old)
        self._append(old, RawChange(PARTY, "rekey", (new,), "", 0, old_values=(old,), follows_rekey=True))
        self._tell_party(new, "insert", follows_rekey=True)
        if old in self.addresses:
            self.addresses[new] = self.addresses.pop(old)
            self._tell_address(new, "update")

    def _tell_party(self, key: str, operation: str, *, follows_rekey: bool = False) -> None:
        columns = {name: None for name in NAMES if name not in ("street", "city")} | {"tax_id": self.parties[key]}
        change = raw(PARTY.stream, operation, 0, id=key, ext=None, **columns)
        change.follows_rekey = follows_rekey
        self._append(key, change)

    def _tell_address(self, party: str, operation: str) -> None:
        key, street = self.addresses[party]
        self._append(key, raw(ADDRESS.stream, operation, 0, id=key, party_id=party, street=street, city="Rome"))

    def _append(self, key: str, change: RawChange) -> None:
        place = sum(key.encode()) % self.partitions
        self.log[f"erp.{change.relation.stream}/{place}"].append(replace(change, at=len(self.log)))

    def _new(self, letter: str) -> str:
        self._number += 1
        return f"{letter}{self._number}"


class Group:
    """The workers of one group, and who has which partition."""

    def __init__(self, topic: Topic | Family, hub: MemoryHub, workers: int) -> None:
        self.topic = topic
        self.stop = asyncio.Event()
        self.sources = [PartitionedSource(topic.system, topic.log, size=3) for _ in range(workers)]
        self.held: dict[str, int] = {}
        self.running = [
            asyncio.create_task(
                Pipeline(
                    RULES,
                    source,
                    hub,
                    Telemetry(),
                    clock=hub.clock,
                    chance=lambda: 0.5,
                    bits=topic.rng.getrandbits,
                    worker=number,
                ).run(self.stop)
            )
            for number, source in enumerate(self.sources)
        ]

    def rebalance(self, rng: random.Random) -> None:
        """Partitions go to other workers; some of those that lose one are not told."""
        held = {name: rng.randrange(len(self.sources)) for name in self.topic.log}
        untold = rng.random() < 0.5
        for number, source in enumerate(self.sources):
            lost = [name for name, had in self.held.items() if had == number and held[name] != number]
            if lost and untold and all(held[name] != number or self.held.get(name) == number for name in held):
                for name in lost:
                    source.lose(name)
                source.tell()
            else:
                source.give([name for name, worker in held.items() if worker == number])
        self.held = held

    async def drain(self, hub: MemoryHub) -> None:
        """One worker is given all that is left."""
        for source in self.sources[1:]:
            source.give([])
        self.sources[0].give(list(self.topic.log))
        async with asyncio.timeout(3600):
            while self._left(hub):  # noqa: ASYNC110
                await asyncio.sleep(1)
        self.stop.set()
        await asyncio.gather(*self.running)

    def _left(self, hub: MemoryHub) -> bool:
        unread = any(position(hub, self.topic.system, name) < len(told) for name, told in self.topic.log.items())
        return unread or bool(hub.set_aside)


def position(hub: MemoryHub, system: str, partition: str) -> int:
    row = hub.partitions.get((system, partition), PartitionRow())
    return int(row.position or "0", 16)


def live(seed: int, *, partitions: int = 3, steps: int = 60) -> tuple[Topic, MemoryHub]:
    """One life of a group, and the hub at its end."""
    rng = random.Random(seed)
    topic = Topic(rng, partitions)
    return topic, lived(topic, rng, steps)


def lived(topic: Topic | Family, rng: random.Random, steps: int) -> MemoryHub:
    paces = random.Random(rng.random())

    async def pace() -> None:
        await asyncio.sleep(paces.choice((0, 0, 0.01, 0.3)))

    hub = MemoryHub(pace=pace)

    async def main() -> None:
        hub.clock = lambda: int(asyncio.get_running_loop().time() * 1e6)
        group = Group(topic, hub, WORKERS)
        group.rebalance(rng)
        for _ in range(steps):
            topic.step()
            if rng.random() < 0.3:
                for source in group.sources:
                    source.tell()
            if rng.random() < 0.2:
                group.rebalance(rng)
            await asyncio.sleep(rng.choice((0, 0, 0.1, 3)))
        await group.drain(hub)

    simulate(main())
    return hub


@pytest.mark.parametrize("seed", first(10, range(40)))
def test_whoever_reads_what_each_row_ends_as_its_source_has_it(seed: int) -> None:
    topic, hub = live(seed)
    linked = {row.key: id for row, id in hub.crosswalk.items() if row.key in topic.rows}
    assert linked.keys() == topic.rows.keys()
    assert len(set(linked.values())) == len(linked)
    for key, values in topic.rows.items():
        record = hub.record(linked[key])
        assert not record.retired
        [row] = record.rows
        assert {name: row.holds(name) for name in NAMES} == values
    live_records = [id for id in hub.records if not hub.record(id).retired]
    assert sorted(live_records) == sorted(linked.values())


@pytest.mark.parametrize("seed", first(4, range(12)))
@pytest.mark.parametrize("partitions", [1, 3])
def test_reading_everything_again_from_the_first_offset_decides_nothing(seed: int, partitions: int) -> None:
    topic, hub = live(seed, partitions=partitions)
    before = (dict(hub.records), dict(hub.crosswalk), list(hub.entries), dict(hub.dirty))
    versions = {id: hub.record(id).version for id in hub.records}
    for row in hub.partitions.values():
        row.position = None

    async def main() -> None:
        group = Group(topic, hub, 1)
        await group.drain(hub)

    simulate(main())
    assert [entry.body for entry in hub.entries] == [entry.body for entry in before[2]]
    assert hub.crosswalk == before[1]
    assert {id: hub.record(id).version for id in hub.records} == versions


@pytest.mark.parametrize("seed", first(4, range(12)))
def test_the_ledgers_lanes_together_fold_to_the_golden_records(seed: int) -> None:
    _, hub = live(seed)
    folds: dict[str, Fold] = {}
    for entry in sorted(hub.entries, key=lambda entry: (entry.record, entry.version)):
        assert not list(folds.setdefault(entry.record, Fold()).apply(entry.version, decode(entry.body)))
    for id in hub.records:
        record = hub.record(id)
        assert not list(folds[id].compare(record.entity, record.version, record.golden, record.retired))


def families(hub: MemoryHub) -> dict[str, tuple[str | None, ...]]:
    """Key of the party -> what its record holds: tax id, its live address's key, and street."""
    found = {}
    for id in hub.records:
        record = hub.record(id)
        [party] = [row.key for row in record.rows if row.live and row.stream == PARTY.stream]
        addresses = [row.key for row in record.rows if row.live and row.stream == ADDRESS.stream]
        found[party] = (str(record.golden["tax_id"]), *addresses, record.golden.get("street"))
    return found


@pytest.mark.parametrize("seed", first(8, range(30)))
def test_children_follow_parents_whose_keys_change_in_other_partitions(seed: int) -> None:
    rng = random.Random(seed)
    family = Family(rng, 3)
    hub = lived(family, rng, 60)
    expected = {key: (tax_id, *family.addresses.get(key, (None,))) for key, tax_id in family.parties.items()}
    assert families(hub) == expected
    entries = len(hub.entries)
    for row in hub.partitions.values():
        row.position = None

    async def again() -> None:
        await Group(family, hub, 1).drain(hub)

    simulate(again())
    assert (families(hub), len(hub.entries)) == (expected, entries)
