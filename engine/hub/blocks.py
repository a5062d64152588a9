"""Appending to the ledger: the entries of one commit become one block of their lane, in the caller's transaction.

Whoever appends to a lane holds something that keeps others from it until the commit: ingest the lane's fence, everybody
else `hold_lane`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.rows import entry_row
from fieldwarden.engine.hub.session import Connection, copied
from fieldwarden.engine.ledger.entries import GENESIS, block_hash, leaf, merkle_root
from fieldwarden.engine.ports.durable import Entry


async def hold_lane(connection: Connection, lane: str) -> None:
    """Until the transaction ends, nobody else who asks gets this lane."""
    await connection.execute(QUERIES["hold_lane"], [lane])


async def append_block(connection: Connection, lane: str, entries: Sequence[Entry], rulebook: str, at: int) -> None:
    """The lane's next block. `rulebook`: the hash of the rules by which was decided; `at` in µs since 1970 UTC."""
    cursor = await connection.execute(QUERIES["last_block"], [lane], prepare=True)
    last = await cursor.fetchone()
    height, previous = (last[0] + 1, bytes(last[1])) if last else (0, GENESIS)
    leaves = [leaf(entry.record, entry.version, entry.body) for entry in entries]
    root = merkle_root(leaves)
    count = len(entries)
    hashed = block_hash(lane, height, previous, root, rulebook, count, at)
    block = [lane, height, previous, root, hashed, rulebook, count, at, b"".join(leaves)]
    await connection.execute(QUERIES["add_block"], block, prepare=True)
    head = f"{lane}\t{height}\t".encode()
    await copied(
        connection,
        "copy_entries",
        [entry_row(head, n, entry.record, entry.version, entry.body) for n, entry in enumerate(entries)],
    )
