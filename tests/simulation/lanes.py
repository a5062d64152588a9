"""Systems told at once, each by its own pipeline, over one hub in memory; connections are lost meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from fieldwarden.engine.change import RawChange
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, ScriptedSource
from fieldwarden.rules.rulebook import Rulebook

Business = Callable[[random.Random, str], list[RawChange]]
"""What one system tells, in some order."""


class Lanes:
    """One run of a seed: `run` lets the pipelines work until all is read and nothing waits. `began`: what the clock
    says at first, in microseconds since 1970."""

    def __init__(self, rules: Rulebook, business: Business, seed: int, began: int = 0) -> None:
        self.rules = rules
        self.began = began
        self.rng = random.Random(seed)
        self.calm = False
        self.hub = MemoryHub(clock=self._now, crash=self._maybe_fail)
        self.sources = {
            name: ScriptedSource(
                name, business(self.rng, name), size=self.rng.choice((1, 4, 100)), rewind=3, fail=self._maybe_fail
            )
            for name in rules.systems
        }

    def _now(self) -> int:
        return self.began + int(asyncio.get_running_loop().time() * 1e6)

    def _maybe_fail(self, _: object) -> None:
        if not self.calm and self.rng.random() < 0.05:
            raise TransientError("no answer")

    async def run(self) -> None:
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(
                Pipeline(
                    self.rules, source, self.hub, Telemetry(),
                    clock=self._now, bits=self.rng.getrandbits, chance=self.rng.random,
                ).run(stop)
            )
            for source in self.sources.values()
        ]  # fmt: skip
        for step in range(2000):
            await asyncio.sleep(0.5)
            self.calm = step > 20
            if await self._is_quiet():
                break
        stop.set()
        await asyncio.gather(*tasks)

    async def _is_quiet(self) -> bool:
        if waiting(self.hub) or not all(map(_is_read, self.sources.values())):
            return False
        return not await self.hub.alike(1) and not await self.hub.following(1)


def _is_read(source: ScriptedSource) -> bool:
    return bool(source.acknowledged) and int(source.acknowledged[-1]) == len(source.changes)


def waiting(hub: MemoryHub) -> list[SetAside]:
    """What is set aside and should not stay so: all but child rows of parents that are none of the project's."""
    return [each for each in hub.set_aside.values() if each.kind != "excluded" or each.awaits in hub.crosswalk]


def systems_by_record(hub: MemoryHub, entity: str) -> Sequence[tuple[str, ...]]:
    """Of each live record, the systems whose rows stand for it, a system once for each row."""
    return [
        tuple(sorted(row.system for row in record.rows))
        for record, _ in hub.records.values()
        if record.entity == entity and not record.retired
    ]
