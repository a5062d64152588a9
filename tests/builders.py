"""The one builder of rulebooks and changes for tests: three systems that share customers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fieldwarden.engine.change import Change, RawChange, RawValue, Relation, RowRef, Value
from fieldwarden.engine.ports.parts import FIRST_BASELINE, LOG, Begun, Part
from fieldwarden.engine.ports.source import Batch, Start
from fieldwarden.rules.connections import DebeziumConnector, PostgresConnector
from fieldwarden.rules.loading import rulebook_from_documents
from fieldwarden.rules.rulebook import Rulebook

BEGUN = Begun("steward@desk", "a test", 1)
"""Who begins a new baseline, where that does not matter."""


def postgres(dsn: str = "x", **given: Any) -> PostgresConnector:
    """The settings of a system that is read directly."""
    return PostgresConnector(kind="postgres", dsn=dsn, **given)


def debezium(dsn: str = "x", **given: Any) -> DebeziumConnector:
    """The settings of a system that Debezium reads."""
    return DebeziumConnector(kind="debezium", dsn=dsn, **given)


CUSTOMER: dict[str, Any] = {
    "entity": "customer",
    "identity": {"match": [{"tax_id": "alphanumeric"}]},
    "delete": {"authority": ["crm"]},
    "fields": {
        "tax_id": {"type": "text", "strategy": "source_priority", "order": ["erp", "billing", "crm"]},
        "name": {"type": "text", "owner": "erp", "seed_from": ["crm"]},
        "phone": {"type": "text", "strategy": "recency", "among": ["crm", "billing"]},
        "segment": {"type": "text", "strategy": "first_non_null", "order": ["crm", "billing", "erp"]},
        "credit_limit": {"type": "decimal(14,2)", "owner": "erp", "protected": True, "seed_from": ["billing"]},
        "terms": {"type": "text", "owner": "erp", "protected": True, "approval": "finance"},
        "street": {"type": "text"},
        "city": {"type": "text"},
    },
    "groups": {
        "address": {"fields": ["street", "city"], "strategy": "source_priority", "order": ["billing", "erp", "crm"]}
    },
}

ALL = {name: name for name in CUSTOMER["fields"]}
FLAT = {"entity": "customer", "key": "id", "external_id": "ext", "create": True, "fields": ALL}
CRM: dict[str, Any] = {
    "system": "crm",
    "connector": {"kind": "postgres", "dsn": "x"},
    "streams": {"public.account": FLAT},
}
BILLING: dict[str, Any] = {
    "system": "billing",
    "connector": {"kind": "postgres", "dsn": "x"},
    "on_null": "value",
    "streams": {"public.customer": FLAT},
}
ERP: dict[str, Any] = {
    "system": "erp",
    "connector": {"kind": "postgres", "dsn": "x"},
    "streams": {
        "public.party": {
            **FLAT,
            "on_retire": "delete",
            "fields": {name: name for name in ALL if name not in ("street", "city")},
        },
        "public.address": {
            "entity": "customer",
            "key": "id",
            "parent": {"public.party": "party_id"},
            "create": True,
            "unique": ["party_id"],
            "fields": {"street": "street", "city": "city"},
        },
    },
}
RANKS = ["erp", "billing", "crm"]


def rulebook(entity: dict[str, Any] | None = None, **systems: dict[str, Any]) -> Rulebook:
    """The three systems' rulebook; hand in another entity or another system's document to vary it."""
    documents = {"crm": CRM, "billing": BILLING, "erp": ERP} | systems
    return rulebook_from_documents([entity or CUSTOMER], list(documents.values()), {}, RANKS)


def said(row: RowRef, position: int, at: int | None = None, **fields: Value) -> Change:
    """An upsert of a customer's row at a position; `at` in µs, by default the position itself."""
    return Change(row, "customer", "upsert", f"{position:08}", position if at is None else at, dict(fields))


def deleted(row: RowRef, position: int) -> Change:
    return Change(row, "customer", "delete", f"{position:08}", position)


def raw(stream: str, operation: Any, position: int, **columns: RawValue) -> RawChange:
    """A raw change whose columns are all text."""
    relation = Relation(stream, tuple(columns), ("text",) * len(columns))
    return RawChange(relation, operation, tuple(columns.values()), f"{position:08}", position)


def whole(stream: str, position: int, key: str, *without: str, **columns: RawValue) -> RawChange:
    """A row told with all its columns, null unless given."""
    names = [name for name in ALL if name not in without]
    return raw(stream, "update", position, id=key, ext=None, **(dict.fromkeys(names) | columns))


ACCOUNT = RowRef("crm", "public.account", "C-1")
SUBSCRIBER = RowRef("billing", "public.customer", "B-1")
PARTY = RowRef("erp", "public.party", "P-1")
ADDRESS = RowRef("erp", "public.address", "A-1")


def starting(position: str | None = None, baseline: int = FIRST_BASELINE, *, read_in: int | None = None) -> Start:
    """With what a source of one part is opened that is durable up to `position`, in this baseline, or one before."""

    async def take(names: Sequence[str]) -> dict[str, Part]:
        return {name: Part(1, position, baseline=baseline if read_in is None else read_in) for name in names}

    return Start(take, baseline)


def reached(batch: Batch) -> str:
    """Where the part of a source of one part is with a batch."""
    position = batch.parts[LOG].position
    assert position is not None, "it moves on with every batch"
    return position
