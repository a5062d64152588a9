"""A source that is read again: what it did not show is gone, but only where it was looked for."""

from __future__ import annotations

import asyncio
from typing import Any

from fieldwarden.engine.change import RawChange
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.running.delivery import Delivery
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, MemoryTarget, ScriptedSource
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import BEGUN, CRM, FLAT, raw, rulebook
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
    run(ScriptedSource("crm", changes, snapshot=len(changes)), hub, rules)


def run(source: ScriptedSource, hub: MemoryHub, rules: Rulebook) -> None:
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


def test_a_row_that_got_another_key_unnoticed_has_its_record_under_the_new_one() -> None:
    """Ambiguous while the old one looked as if it were there."""
    hub, rules = MemoryHub(), rulebook()
    read(hub, rules, [row("public.account", 1, "1", "T1")])
    read(hub, rules, [row("public.account", position, "2", "T1") for position in (2, 3)])
    assert hub.set_aside == {}
    [id] = hub.records
    assert {each.key: each.live for each in hub.record(id).rows} == {"1": False, "2": True}


def test_nothing_is_delivered_while_a_source_is_read_again() -> None:
    """Also by a process that knows of the re-read only from the hub."""
    hub, rules, target = MemoryHub(), rulebook(), MemoryTarget("billing")
    read(hub, rules, [row("public.account", 1, "1", "T1")])
    for name in ("billing", "erp"):
        asyncio.run(hub.lease(Lane(name)))
        hub.sources[name].read = True
    delivery = Delivery(rules, "billing", target, hub, Telemetry())
    asyncio.run(hub.begin_again("billing", 2, None, BEGUN))
    assert asyncio.run(delivery.step()) == 0
    hub.sources["billing"].read = True
    assert asyncio.run(delivery.step()) == 1
    asyncio.run(hub.begin_again("erp", 2, None, BEGUN))
    read(hub, rules, [row("public.account", position, "2", "T2") for position in (2, 3)])
    assert asyncio.run(delivery.step()) == 0, "a delivery that has begun sees it too"
    assert target.written == 1


def test_nothing_is_delivered_where_a_stream_was_mapped_that_nobody_has_read() -> None:
    hub, rules, target = MemoryHub(), rulebook(), MemoryTarget("billing")
    read(hub, rules, [row("public.account", 1, "1", "T1")])
    asyncio.run(hub.read_until("billing", {}, 1, ["public.customer"]))
    asyncio.run(hub.read_until("erp", {}, 1, ["public.party"]))
    delivery = Delivery(rules, "billing", target, hub, Telemetry())
    assert asyncio.run(delivery.step()) == 0, "public.address may hold what would be made there a second time"
    hub.sources["erp"].streams += ("public.address",)
    assert asyncio.run(delivery.step()) == 1


def test_a_reread_that_is_cut_off_leaves_its_source_unread() -> None:
    hub = MemoryHub()
    read(hub, rulebook(), [row("public.account", 1, "1", "T1")])
    assert asyncio.run(hub.unread(["crm"])) == []

    def cut(done: int) -> None:
        if done == 2:
            raise TransientError("the connection was lost")

    changes = [row("public.account", position, "1", "T1") for position in range(2, 6)]
    run(ScriptedSource("crm", changes, size=2, snapshot=4, fail=cut), hub, rulebook())
    assert asyncio.run(hub.unread(["crm"])) == ["crm"]
    run(ScriptedSource("crm", changes, size=2, snapshot=4), hub, rulebook())
    assert asyncio.run(hub.unread(["crm"])) == []


def test_what_went_is_noticed_where_partitions_were_read_before() -> None:
    """Their positions are not the source's: it has none to go on from, and yet its rows are known."""
    hub, rules = MemoryHub(), rulebook()
    read(hub, rules, [row("public.account", 1, "1", "T1"), row("public.account", 2, "2", "T2")])
    asyncio.run(hub.begin_again("crm", 2, {"t/0": "0002"}, BEGUN))
    asyncio.run(hub.begin_again("crm", 3, None, BEGUN))
    read(hub, rules, [row("public.account", 3, "1", "T1")])
    rows = [each for id in hub.records for each in hub.record(id).rows]
    assert {each.key: each.live for each in rows} == {"1": True, "2": False}
