"""A hub that the real pipelines and deliveries write: three systems whose changes are told one at a time."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from fieldwarden.engine.change import UNKNOWN, RawChange, RawValue, Relation, Value
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.source import Batch
from fieldwarden.engine.running.delivery import Delivery
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryTarget, ScriptedSource
from fieldwarden.engine.testing.target import TargetRow
from fieldwarden.engine.words.story import Trail
from fieldwarden.operations import explain as explaining
from fieldwarden.operations import trail as trailing
from fieldwarden.operations.hub import LiveHub
from fieldwarden.operations.shell import explain as explain_words
from fieldwarden.rules.loading import rulebook_from_documents
from tests.builders import BILLING, CRM, CUSTOMER, ERP, RANKS, reached

SCHEMA = "fieldwarden"
NOON = 1_769_853_600_000_000  # 2026-01-31 10:00, µs
MINUTE = 60_000_000

CONTACT = {
    "entity": "contact",
    "identity": {"match": ["email"]},
    "fields": {
        "customer": {"type": "ref(customer)", "owner": "crm"},
        "email": {"type": "text", "class": "personal", "owner": "crm"},
    },
}


def rules() -> Any:
    customer, crm = copy.deepcopy(CUSTOMER), copy.deepcopy(CRM)
    customer["fields"]["phone"]["class"] = "personal"
    crm["streams"]["public.contact"] = {
        "entity": "contact",
        "key": "id",
        "fields": {"customer": "account_id", "email": "email"},
    }
    return rulebook_from_documents([customer, CONTACT], [crm, BILLING, ERP], {}, RANKS)


RULES = rules()


class Stage:
    """Three systems whose changes are told one at a time, each wholly decided before the next."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.now = NOON
        self.hub = PostgresHub(dsn, clock=lambda: self.now)
        self.targets = {name: MemoryTarget(name) for name in RULES.systems}
        self.told: dict[str, list[RawChange]] = {name: [] for name in RULES.systems}

    async def say(
        self, system: str, stream: str, key: str, operation: Any = "update", parent: str | None = None, **values: Value
    ) -> None:
        """A row now holds these values besides those it held; a minute passes."""
        self.now += MINUTE
        rows = self.targets[system].rows.setdefault(stream, {})
        row = rows.setdefault(key, TargetRow({}, parent=parent))
        row.values |= values
        mapped = RULES.systems[system].streams[stream]
        columns: dict[str, RawValue] = {"id": key}
        if mapped.external_id:
            columns[mapped.external_id] = None
        columns |= dict.fromkeys(mapped.parent_columns, parent)
        for name, each in mapped.fields.items():
            columns[each.column or name] = UNKNOWN if operation == "delete" else row.values.get(name, UNKNOWN)
        if operation == "delete":
            del rows[key]
        relation = Relation(stream, tuple(columns), ("text",) * len(columns))
        told = self.told[system]
        told.append(RawChange(relation, operation, tuple(columns.values()), f"{len(told) + 1:08}", self.now))
        source = ScriptedSource(system, told)
        stop = asyncio.Event()

        async def acknowledge(batch: Batch) -> None:
            if int(reached(batch)) == len(told):
                stop.set()

        source.acknowledge = acknowledge  # type: ignore[method-assign]
        await Pipeline(RULES, source, self.hub, Telemetry(), clock=lambda: self.now).run(stop)

    async def deliver(self, *systems: str) -> None:
        for name in systems or RULES.systems:
            delivery = Delivery(RULES, name, self.targets[name], self.hub, Telemetry(), clock=lambda: self.now / 1e6)
            while await delivery.step():
                pass

    async def trail(self, key: str, entity: str = "customer", **more: Any) -> Trail:
        return await trailing.trail(LiveHub(self.dsn, SCHEMA, RULES), entity, key, **more)

    async def why(self, field: str, key: str, **more: Any) -> str:
        found = await explaining.explain(LiveHub(self.dsn, SCHEMA, RULES), "customer", field, key, **more)
        assert explain_words.text(found)
        return found.text
