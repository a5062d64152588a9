"""A polled feed with several parts whose tokens expire, driven by a seed: with `on_gap: rebaseline` nothing is missed.

Its worker is the only one that may read it, or one of a group. Whatever was told partly, in pages, twice, or never,
since its token had expired, the records end as the system's rows; also where it was told by hints that a key had
changed, some of the time or always, and by then had changed once more.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from fieldwarden.engine.change import UNKNOWN, RawChange, RawValue, Value
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import Feed, MemoryHub, PolledSource
from tests.builders import CRM, raw, rulebook
from tests.parts import first
from tests.simulation.history import WORDS
from tests.simulation.virtual_time import simulate

RULES = rulebook(crm=CRM | {"on_gap": "rebaseline"})
STREAM = "public.account"
NAMES = ("tax_id", "name", "phone", "segment", "credit_limit", "terms", "street", "city")
STEPS = 60
HINTS = {"no hints": 0.0, "some hints": 0.4, "hints alone": 1.0}
"""How often a change is told by a hint."""


class Life:
    """People at work in a system of two parts, a worker that polls it, and what goes wrong meanwhile."""

    def __init__(self, seed: int, hints: float = 0.0) -> None:
        self.rng = random.Random(seed)
        self.hints = hints
        self.lane = Lane("crm", 1 if seed % 2 else None)
        self.feed = Feed("crm", ["accounts/0", "accounts/1"])
        self.rows: dict[str, dict[str, Value]] = {}
        self.hub = MemoryHub()
        self.calm = self.halted = False
        self.said = 0
        size = self.rng.choice((1, 2, 100))
        self.source = PolledSource(self.feed, self.hub, page=size, seconds=1, fail=self.fail)

    def fail(self) -> None:
        if not self.calm and self.rng.random() < 0.1:
            raise TransientError("no answer")

    def step(self) -> None:
        self.said += 1
        act, key = self.rng.random(), f"K{self.said}"
        if self.rows and act > 0.3:
            key = self.rng.choice(sorted(self.rows))
        if key not in self.rows:
            self.rows[key] = {name: self.rng.choice(WORDS.get(name, (f"T{key}",))) for name in NAMES}
            self.tell(key, "insert", dict(self.rows[key]))
        elif act < 0.85:
            name = self.rng.choice(NAMES[1:])
            self.rows[key][name] = self.rng.choice(WORDS[name])
            self.tell(key, "update", {name: self.rows[key][name]})
        else:
            del self.rows[key]
            self.told(key, raw(STREAM, "delete", self.said, id=key), None)
        if self.rng.random() < 0.15:
            self.feed.forget(self.rng.choice(sorted(self.feed.changes)))

    def tell(self, key: str, operation: str, told: dict[str, Value]) -> None:
        """The change speaks of these columns alone."""
        unsaid: dict[str, RawValue] = dict.fromkeys(("ext", *NAMES), UNKNOWN)
        image = raw(STREAM, "update", self.said, id=key, ext=None, **self.rows[key])
        self.told(key, raw(STREAM, operation, self.said, id=key, **(unsaid | told)), image)

    def told(self, key: str, change: RawChange, image: RawChange | None) -> None:
        hint = raw(STREAM, "hint", self.said, id=key)
        self.feed.tell(self.part(key), key, hint if self.rng.random() < self.hints else change, image)

    def part(self, key: str) -> str:
        return f"accounts/{sum(key.encode()) % 2}"

    async def run(self) -> None:
        self.hub.clock = lambda: int(asyncio.get_running_loop().time() * 1e6)
        stop, running = self.begin()
        for _ in range(STEPS):
            self.step()
            await asyncio.sleep(self.rng.choice((0, 0.5, 4)))
        self.calm = True
        await asyncio.sleep(120)
        stop.set()
        await running
        if (
            self.hub.sources[str(self.lane)].state == "halted"
        ):  # lost again and again: a person lets it try in calmer times
            self.halted = True
            stop, running = self.begin()
            await asyncio.sleep(120)
            stop.set()
            await running

    def begin(self) -> tuple[asyncio.Event, asyncio.Task[None]]:
        """A worker that reads, until it is stopped."""
        stop = asyncio.Event()
        pipeline = Pipeline(
            RULES, self.source, self.hub, Telemetry(),
            clock=self.hub.clock, chance=lambda: 0.5, bits=self.rng.getrandbits, worker=self.lane.worker,
        )  # fmt: skip
        return stop, asyncio.create_task(pipeline.run(stop))


@pytest.mark.parametrize("hints", HINTS)
@pytest.mark.parametrize("seed", first(20, range(200)))
def test_the_records_end_as_the_rows_whatever_expired_meanwhile(seed: int, hints: str) -> None:
    life = Life(seed, HINTS[hints])
    simulate(life.run())
    hub = life.hub
    linked = {row.key: id for row, id in hub.crosswalk.items() if not hub.record(id).retired}
    assert linked.keys() == life.rows.keys()
    assert len(set(linked.values())) == len(linked)
    for key, values in life.rows.items():
        [row] = hub.record(linked[key]).rows
        assert {name: row.holds(name) for name in NAMES} == values
    assert not hub.set_aside
    assert asyncio.run(hub.unread(["crm"])) == []
    assert hub.sources[str(life.lane)].state != "halted"


def test_tokens_expire_in_these_lives() -> None:
    lives = [Life(seed) for seed in range(10)]
    for life in lives:
        simulate(life.run())
    assert sum(len(life.hub.begun) for life in lives) > 10
    assert sum(life.halted for life in lives) < len(lives) / 2, "nearly all of them mend themselves"
