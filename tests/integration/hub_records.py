"""Records of a hub under test, and how they come there: for tests of the hub in PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Lease
from fieldwarden.engine.ports.parts import LOG, Part
from fieldwarden.engine.record import Contribution, Record, Stamp
from tests.contract.hub_builder import log

A = "01900000-0000-7000-8000-000000000001"
B = "01900000-0000-7000-8000-000000000002"
C = "01900000-0000-7000-8000-000000000003"
ACCOUNT = RowRef("crm", "public.account", "1")
PARTY = RowRef("erp", "public.party", "P-1")


def record(id: str = A, **golden: str | None) -> Record:
    row = Contribution(*ACCOUNT, "p1", Stamp("p1", 1), dict(golden))
    return Record(id, "customer", 1, dict(golden), [row])


async def commit(hub: PostgresHub, position: str = "1", **parts: Any) -> None:
    await commit_one(hub, await hub.lease(Lane("crm")), await log(hub), position, **parts)


async def commit_one(hub: PostgresHub, lease: Lease, part: Part, position: str, **outcome: Any) -> None:
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(**outcome), rulebook="book", parts={LOG: replace(part, position=position)})
