"""Records of a hub under test, and how they come there: for tests of the hub in PostgreSQL."""

from __future__ import annotations

from typing import Any

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.record import Contribution, Record, Stamp

A = "01900000-0000-7000-8000-000000000001"
B = "01900000-0000-7000-8000-000000000002"
C = "01900000-0000-7000-8000-000000000003"
ACCOUNT = RowRef("crm", "public.account", "1")
PARTY = RowRef("erp", "public.party", "P-1")


def record(id: str = A, **golden: str | None) -> Record:
    row = Contribution(*ACCOUNT, "p1", Stamp("p1", 1), dict(golden))
    return Record(id, "customer", 1, dict(golden), [row])


async def commit(hub: PostgresHub, position: str = "1", **parts: Any) -> None:
    lease = await hub.lease("crm")
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(**parts), position=position, rulebook="book")
