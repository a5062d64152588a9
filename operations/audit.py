"""Is the ledger whole, and what does it say: for people and for other programs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fieldwarden.engine.hub.names import mask_of
from fieldwarden.engine.hub.reading import snapshot
from fieldwarden.engine.hub.views.audit import NAMED, VerifyReport
from fieldwarden.engine.hub.views.audit import verify as verify_ledger
from fieldwarden.engine.hub.views.export import ExportedRow, Filters, check
from fieldwarden.engine.hub.views.export import export as decisions
from fieldwarden.operations.hub import LiveHub
from fieldwarden.rules.secret import Secretive


async def verify(hub_dsn: Secretive, schema: str, *, named: int = NAMED) -> VerifyReport:
    """Check chain and replay. Reads one moment; replication may go on meanwhile. Raises EnvironmentUnfit."""
    async with snapshot(hub_dsn, schema) as connection:
        return await verify_ledger(connection, named=named)


async def exported(hub: LiveHub, filters: Filters, *, unmask: bool = False) -> AsyncGenerator[ExportedRow, None]:
    """The decisions and acts, in order of time: one moment of the ledger, read as it is asked for.

    Raises UnknownName for a filter that names nothing, LedgerBroken, EnvironmentUnfit."""
    async with snapshot(hub.dsn, hub.schema) as connection:
        await check(connection, hub.rulebook, filters)
        mask = await mask_of(connection, hub.rulebook, unmask=unmask)
        async with aclosing(decisions(connection, hub.rulebook, filters, mask)) as rows:
            async for row in rows:
                yield row
