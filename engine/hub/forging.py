"""Marks that are not ours, as the hub notes them: one row a system, and an act in the ledger now and then.

Whoever forges one can forge a million, so that neither the table nor the ledger grows with their number.
"""

from __future__ import annotations

from fieldwarden.engine.hub.acts import append
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Connection
from fieldwarden.engine.ledger.entries import Act
from fieldwarden.engine.ports.forged import ACT, AGAIN_AFTER, Forged, Noted

_WHY = "carried a mark that says Fieldwarden wrote it, and that Fieldwarden did not make: decided like any other edit"


async def note_forged(connection: Connection, source: str, forged: Forged, now: int, rulebook: str) -> Noted:
    """See `Hub.forged`; durable with the caller's commit. `rulebook`: the hash of the rules in force."""
    values = [source, forged.number, forged.position, forged.transaction, forged.at]
    row = await (await connection.execute(QUERIES["note_forged"], values)).fetchone()
    if row is None:
        return Noted()
    number, told, told_at = row
    if told_at is not None and now - told_at < AGAIN_AFTER:
        return Noted(forged.number)
    details = {"system": source, "transactions": str(number - told), "last": forged.transaction}
    await append(connection, Act(ACT, f"unknown, in {source}", _WHY, now, details), rulebook)
    await connection.execute(QUERIES["told_forged"], [now, source])
    return Noted(forged.number, number - told)
