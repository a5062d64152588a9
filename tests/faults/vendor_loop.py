"""A process that delivers to the vendor's service from the hub, until nothing is pending: `python -m ... DSN PORT`.

It dies by SIGKILL where FIELDWARDEN_FAILPOINT says so.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence

import httpx
import psycopg

from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.target import Capabilities, Found, Intent, Write, WriteResult
from fieldwarden.engine.running.delivery import Delivery
from fieldwarden.engine.running.telemetry import Telemetry
from tests.simulation.vendor_world import RULES

PATIENCE = 0.2
PENDING = """
select exists (select from fieldwarden.pending where target = 'shop') or exists (select from fieldwarden.intent)
"""


class HttpTarget:
    """`engine.ports.Target` for that service: whatever goes wrong on the line is an unknown outcome."""

    system = "shop"
    capabilities = Capabilities(batch=1, concurrency=2, compares=False, creates_once=False, settles_within=2.0)

    def __init__(self, port: int) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)
        base = f"http://127.0.0.1:{port}"
        self._client = httpx.AsyncClient(base_url=base, timeout=PATIENCE, limits=limits, trust_env=False)

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        for write in writes:
            try:
                key = await self._call(write)
            except httpx.HTTPError:
                yield WriteResult(write.token, "unknown")
            else:
                yield WriteResult(write.token, "applied", key)

    async def _call(self, write: Write) -> str:
        asked = {"ext": write.record, "values": write.values}
        if write.operation == "create":
            headers = {"idempotency-key": write.idempotency_key}
            return str((await self._client.post("/rows", json=asked, headers=headers)).json()["key"])
        return str((await self._client.put(f"/rows/{write.key}", json=asked)).json()["key"])

    async def look_up(self, intents: Sequence[Intent]) -> Sequence[Found]:
        found = []
        for each in intents:
            path = f"/rows?ext={each.record}" if each.operation == "create" else f"/rows/{each.row}"
            try:
                rows = (await self._client.get(path)).json()
            except httpx.HTTPError:
                continue
            row = rows[0] if rows else {"key": None, "values": {}}
            found.append(Found(each.key, row["key"], row["values"]))
        return found

    async def close(self) -> None:
        await self._client.aclose()


async def main(dsn: str, port: int) -> None:
    hub, stop = PostgresHub(dsn), asyncio.Event()
    running = asyncio.create_task(Delivery(RULES, "shop", HttpTarget(port), hub, Telemetry()).run(stop))
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        while (await (await connection.execute(PENDING)).fetchone() or (True,))[0] and not running.done():
            await asyncio.wait({running}, timeout=0.05)
    stop.set()
    await running
    await hub.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
