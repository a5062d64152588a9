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


def child(field: str) -> dict[str, Any]:
    parent = {"public.account": "account_id"}
    return {"entity": "customer", "key": "id", "parent": parent, "fields": {field: field}}


def part(stream: str, position: int) -> RawChange:
    values = dict.fromkeys(NAMES) | {"name": "Acme", "segment": "big", "phone": "1"}
    return raw(stream, "update", position, id="9", account_id="1", **values)


def crm(**streams: dict[str, Any]) -> Rulebook:
    return rulebook(crm=CRM | {"streams": {f"public.{name}": stream for name, stream in streams.items()}})


def read(hub: MemoryHub, rules: Rulebook, changes: list[RawChange]) -> None:
    """The whole of `changes` is a snapshot, longer than the one before it."""
    source = ScriptedSource("crm", changes, snapshot=len(changes))

    async def main() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(Pipeline(rules, source, hub, Telemetry(), clock=lambda: 10**9).run(stop))
        await asyncio.sleep(30)
        stop.set()
        await running

    simulate(main())


def test_a_reread_says_nothing_of_streams_that_it_does_not_read() -> None:
    """They were read once: then one left the mapping, and one is only written to."""
    hub = MemoryHub()
    account = FLAT | {"fields": {"tax_id": "tax_id"}}
    gone, copy, kept = (child(field) for field in ("name", "segment", "phone"))
    rows = [row("public.account", 1, "1", "T1"), *(part(f"public.{name}", 1) for name in ("gone", "copy", "kept"))]
    read(hub, crm(account=account, gone=gone, copy=copy, kept=kept), rows)
    again = [row("public.account", position, "1", "T1") for position in range(2, 7)]
    read(hub, crm(account=account, copy=copy | {"mode": "target"}, kept=kept), again)
    [id] = hub.records
    assert [each.stream for each in hub.record(id).rows if each.deleted is not None] == ["public.kept"]
