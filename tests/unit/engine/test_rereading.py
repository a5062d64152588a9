"""A source that is read again: what it did not show is gone, but only where it was looked for."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.change import RawChange
from engine.pipeline import Pipeline
from engine.telemetry import Telemetry
from engine.testing import MemoryHub, ScriptedSource
from rules.rulebook import Rulebook
from tests.builders import CRM, FLAT, raw, rulebook
from tests.simulation.virtual_time import simulate

NAMES = ("tax_id", "name", "phone", "segment", "credit_limit", "terms", "street", "city")


def row(stream: str, position: int, key: str, tax_id: str) -> RawChange:
    return raw(stream, "update", position, id=key, ext=None, **(dict.fromkeys(NAMES) | {"tax_id": tax_id}))


def crm(**streams: dict[str, Any]) -> Rulebook:
    return rulebook(crm=CRM | {"streams": {f"public.{name}": stream for name, stream in streams.items()}})


def read(hub: MemoryHub, rules: Rulebook, changes: list[RawChange]) -> None:
    """The whole of `changes` is a snapshot."""
    source = ScriptedSource("crm", changes, snapshot=len(changes))

    async def main() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(Pipeline(rules, source, hub, Telemetry(), clock=lambda: 10**9).run(stop))
        async with asyncio.timeout(100):
            while len(source.acknowledged) == 0:
                await asyncio.sleep(1)
        stop.set()
        await running

    simulate(main())


def test_a_reread_says_nothing_of_streams_that_it_does_not_read() -> None:
    """They were read once: then one left the mapping, and one is only written to."""
    hub = MemoryHub()
    rows = [row("public.account", 1, "1", "T1"), row("public.gone", 1, "2", "T2"), row("public.copy", 1, "3", "T3")]
    read(hub, crm(account=FLAT, gone=FLAT, copy=FLAT), rows)
    again = [row("public.account", position, "4", "T4") for position in (2, 3, 4, 5)]
    read(hub, crm(account=FLAT, copy=FLAT | {"mode": "target"}), again)
    live = {link.key for link, id in hub.crosswalk.items() if not hub.record(id).retired}
    assert live == {"2", "3", "4"}
