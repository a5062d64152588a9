"""What the contract of hubs is written in: records and rows, and what a pipeline or a delivery does with a hub."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.ports.durable import Duplicate, IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Hub, Pending, Settlement
from fieldwarden.engine.ports.parts import LOG, Part
from fieldwarden.engine.record import Contribution, Record, Stamp

AWKWARD = 'tab\t line\n back\\slash "quote" {brace} ünïcødé \u2028'


def ident(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


A, B, C = ident(1), ident(2), ident(3)
ACCOUNT = RowRef("crm", "public.account", "1")
PARTY = RowRef("erp", "public.party", "P-1")


def said(row: RowRef, position: str = "p1", **fields: Value) -> Contribution:
    return Contribution(*row, position, Stamp(position, 1), dict(fields))


def record(id: str = A, *rows: Contribution, version: int = 1, **golden: Value) -> Record:
    return Record(id, "customer", version, dict(golden), list(rows))


async def commit(
    hub: Hub, source: str = "crm", *, position: str | None = "1", state: str | None = None, **outcome: Any
) -> list[Duplicate]:
    """One ingest transaction of a source of one part that loads what it changes, as the pipeline does."""
    made = IngestOutcome(**outcome)
    lease = await hub.lease(Lane(source))
    part = (await hub.take(source, [LOG]))[LOG]
    async with hub.ingest(lease) as tx:
        await tx.records([each.id for each in made.records])
        parts = {LOG: replace(part, position=position)}
        return list(await tx.commit(made, rulebook="book", state=state, parts=parts))


async def log(hub: Hub, source: str = "crm") -> Part:
    """Where the part of a source of one part is durable; whoever had it has it no more."""
    return (await hub.take(source, [LOG]))[LOG]


async def load(hub: Hub, *ids: str) -> dict[str, Record]:
    lease = await hub.lease(Lane("reader"))
    async with hub.ingest(lease) as tx:
        return await tx.records(ids)


def settled(claim: Pending, status: str = "done", **more: Any) -> Settlement:
    """`learnt` as (row, field, value)."""
    learnt: dict[RowRef, dict[str, Any]] = {}
    for row, name, value in more.pop("learnt", ()):
        learnt.setdefault(row, {})[name] = value
    more["learnt"] = learnt
    return Settlement(claim.record.id, claim.mark, claim.revision, status, **more)  # type: ignore[arg-type]


CHILD = RowRef("crm", "public.contact", "9")


def aside(kind: str, row: RowRef = CHILD, **more: Any) -> SetAside:
    return SetAside(row, "contact", kind, AWKWARD, b'{"stream":"s","n":"\\u0000"}', "p1", **more)  # type: ignore[arg-type]


async def may_go_on(hub: Hub, source: str, limit: int) -> list[SetAside]:
    """Of the first `limit` that wait in a source."""
    found, _ = await hub.releasable(source, limit)
    return found


async def due(hub: Hub, target: str = "erp") -> list[str]:
    return [claim.record.id for claim in await hub.claim(target, 10)]


def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    """Of the tables of a hub in PostgreSQL."""
    with psycopg.connect(dsn, autocommit=True, options="-c search_path=fieldwarden") as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []
