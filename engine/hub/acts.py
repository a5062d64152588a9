"""What people do, in the ledger: each act one block of the people's lane, in the transaction that does what it says."""

from __future__ import annotations

from fieldwarden.engine.hub.blocks import append_block, hold_lane
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Connection
from fieldwarden.engine.ledger.entries import NO_RECORD, PEOPLE, Act, encode_act
from fieldwarden.engine.ports.durable import Entry


async def append(connection: Connection, act: Act, rulebook: str) -> int:
    """Note an act; its running number. It is durable with the caller's commit, and gone with its rollback.

    `rulebook` is the hash of the rules in force. The search path is the hub's schema. Acts are appended one after the
    other: a second one waits for the first one's commit."""
    await hold_lane(connection, PEOPLE)
    row = await (await connection.execute(QUERIES["last_act"], [PEOPLE])).fetchone()
    number: int = row[0] + 1 if row else 1
    await append_block(connection, PEOPLE, [Entry(NO_RECORD, number, encode_act(act))], rulebook, act.at)
    return number
