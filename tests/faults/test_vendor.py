"""A vendor's HTTP service, a hub in PostgreSQL, and a process that is killed between intent, call and settlement: each
record is in the service once, with the golden values."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.record import Contribution, Record, Stamp
from tests.faults.vendor_service import Service
from tests.patience import called

RECORDS = 5


def ident(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


async def golden(dsn: str, name: str) -> None:
    """The CRM's people call all customers so, and each is due in the shop."""
    hub = PostgresHub(dsn)
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        known = await tx.records([ident(n) for n in range(RECORDS)])
        records = []
        for n in range(RECORDS):
            values = {"tax_id": f"T{n}", "name": name, "credit": "1.00"}
            former = known.get(ident(n))
            rows = [row for row in former.rows if row.system == "shop"] if former else []
            said = Contribution("crm", "customer", f"C{n}", "p", Stamp("p", 1), dict(values))
            version = former.version + 1 if former else 1
            records.append(Record(ident(n), "customer", version, dict(values), [said, *rows]))
        dirty = [("shop", record.id) for record in records]
        outcome = IngestOutcome(records=records, links=[(each.rows[0].ref, each.id) for each in records], dirty=dirty)
        await tx.commit(outcome, rulebook="book", state="streaming")
    await hub.close()


def delivering(dsn: str, service: Service, failpoint: str = "") -> int:
    """One process, until it dies or nothing is pending; how it ended."""
    command = [sys.executable, "-m", "tests.faults.vendor_loop", dsn, str(service.port)]
    environment = os.environ | {"FIELDWARDEN_FAILPOINT": failpoint}
    return called(command, env=environment).returncode


def held(service: Service) -> list[tuple[str, str]]:
    return sorted((row["values"]["tax_id"], row["values"]["name"]) for row in service.rows.values())


@pytest.mark.long
@pytest.mark.parametrize(
    "failpoint",
    ["intent.answered", "intent.durable", "delivery.before_settle_commit", "delivery.after_settle"],
)
async def test_killed_anywhere_between_intent_call_and_settlement(failpoint: str, hub_dsn: str) -> None:
    service = Service()
    with service.serving():
        for name in ("first", "second"):
            await golden(hub_dsn, name)
            for place in (1, 3):
                assert delivering(hub_dsn, service, f"{failpoint}:{place}") == -signal.SIGKILL
            assert delivering(hub_dsn, service) == 0
            assert held(service) == [(f"T{n}", name) for n in range(RECORDS)]
    assert service.calls > 2 * RECORDS, "some calls were made again"
