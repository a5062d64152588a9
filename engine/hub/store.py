"""The hub in PostgreSQL: the engine's memory, behind the port `engine.ports.Hub`.

One connection per lease (its ingest transactions), one per target (its claims and settlements) and one for all small
reads, so that no loop waits for another's transaction. `engine.hub.ingest` and `engine.hub.deliveries` hold the two
hot paths; what a transaction must guarantee is said there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.errors import Fenced
from fieldwarden.engine.hub import acts
from fieldwarden.engine.hub.deliveries import Deliveries
from fieldwarden.engine.hub.forging import note_forged
from fieldwarden.engine.hub.ingest import PostgresIngest
from fieldwarden.engine.hub.migrate import SCHEMA
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.rows import contributions_of, notes_of, plain_array, record_of
from fieldwarden.engine.hub.session import Session
from fieldwarden.engine.hub.waiting import releasable
from fieldwarden.engine.ledger.entries import Act
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.ports.durable import AlikePair
from fieldwarden.engine.ports.duties import SHARDS, Lane
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.engine.ports.forged import Forged, Noted
from fieldwarden.engine.ports.hub import ANNOUNCED_FOR, AT_ONCE, MANY_ALIKE, Lease, Pending, Settlement
from fieldwarden.engine.ports.parts import FIRST_BASELINE, Baseline, Begun, Part
from fieldwarden.engine.ports.target import Intent
from fieldwarden.engine.process import PROCESS
from fieldwarden.engine.record import Record
from fieldwarden.rules.secret import Secretive


def now_us() -> int:
    return time.time_ns() // 1000


class PostgresHub:
    """`dsn` names a database that `engine.hub.migrate` has brought up to date. Nothing connects before it must.

    `clock` gives the time of ledger blocks (µs since 1970 UTC). Every method raises TransientError when the
    database cannot be reached or gave way; whether a commit that failed so took effect, the positions of the
    parts tell whoever takes them next.
    """

    def __init__(self, dsn: Secretive, schema: str = SCHEMA, clock: Callable[[], int] = now_us) -> None:
        self._dsn = dsn
        self._schema = schema
        self._clock = clock
        self._reading = Session(dsn, schema, "hub")
        self._ingesting: dict[Lease, Session] = {}
        self._deliveries: dict[str, tuple[Deliveries, Session]] = {}
        self._announcing: dict[str, Session] = {}
        self.rulebook = ""

    async def project(self) -> str:
        async with self._reading.transaction() as connection:
            row = await (await connection.execute(QUERIES["project"])).fetchone()
        assert row is not None, "the migration that makes the table fills it"
        return str(row[0])

    async def mark_key(self) -> bytes:
        async with self._reading.transaction() as connection:
            row = await (await connection.execute(QUERIES["mark_key"])).fetchone()
        assert row is not None, "the migration that makes the table fills it"
        return bytes(row[0])

    async def sealed_from(self, source: str, end: int) -> int:
        async with self._reading.transaction() as connection:
            await connection.execute(QUERIES["seal_from"], [end, source])
            row = await (await connection.execute(QUERIES["sealed_from"], [source])).fetchone()
            await connection.commit()
        return int(row[0]) if row else 0

    async def forged(self, source: str, forged: Forged, now: int) -> Noted:
        async with self._reading.transaction() as connection:
            noted = await note_forged(connection, source, forged, now, self.rulebook)
            await connection.commit()
        return noted

    async def followed(self, source: str) -> Followed | None:
        async with self._reading.transaction() as connection:
            row = await (await connection.execute(QUERIES["followed"], [source])).fetchone()
        return Followed(*row) if row else None

    async def follow(self, source: str, followed: Followed) -> None:
        async with self._reading.transaction() as connection:
            await connection.execute(QUERIES["follow"], [source, followed.slot, followed.publication])
            await connection.commit()

    async def lease(self, lane: Lane) -> Lease:
        for old in [lease for lease in self._ingesting if lease.lane == lane]:
            if not self._ingesting[old].busy:
                await self._ingesting.pop(old).close()
        async with self._reading.transaction() as connection:
            found = await (await connection.execute(QUERIES["lease"], [str(lane), lane.source])).fetchone()
            assert found is not None
            epoch, baseline, begun = found
            await connection.execute(QUERIES["see_anew"], [lane.source, lane.source])
            await connection.commit()
        return Lease(lane, epoch, baseline, begun)

    async def take(self, source: str, parts: Sequence[str]) -> dict[str, Part]:
        async with self._reading.transaction() as connection:
            cursor = await connection.execute(QUERIES["take"], [source, PROCESS, list(parts)])
            rows = await cursor.fetchall()
            await connection.commit()
        return {name: Part(epoch, position, baseline=baseline) for name, epoch, position, baseline in rows}

    async def baseline(self, source: str) -> Baseline:
        async with self._reading.transaction() as connection:
            row = await (await connection.execute(QUERIES["baseline"], [source])).fetchone()
        if row is None:
            return Baseline()
        number, told, swept, heard, streams, parts, numbers = row
        return Baseline(number, told, swept, heard, tuple(streams), dict(zip(parts, numbers, strict=True)))

    async def begin_again(self, source: str, number: int, positions: Mapping[str, str] | None, begun: Begun) -> bool:
        begins = {"source": source, "baseline": number, "itself": positions is None, "why": begun.why}
        async with self._reading.transaction() as connection:
            cursor = await connection.execute(QUERIES["begin_again"], begins)
            if await cursor.fetchone() is None:
                return False
            await connection.execute(QUERIES["fence_lanes"], [source])
            await connection.execute(QUERIES["forget_seen"], [source])
            await connection.execute(QUERIES["forget_until"], [source])
            if positions is not None:
                parts = {"source": source, "names": list(positions), "positions": list(positions.values())}
                await connection.execute(QUERIES["forget_other_parts"], parts)
                await connection.execute(QUERIES["begin_parts_again"], {**parts, "baseline": number})
            details = {"system": source, "baseline": str(number)}
            act = Act("rebaselined", begun.who, begun.why, begun.at, details, begun.known_by)
            await acts.append(connection, act, self.rulebook)
            await connection.commit()
        return True

    async def read_until(
        self, source: str, ends: Mapping[str, str], number: int = FIRST_BASELINE, streams: Collection[str] = ()
    ) -> None:
        told = {"source": source, "baseline": number, "streams": sorted(streams)}
        async with self._reading.transaction() as connection:
            cursor = await connection.execute(QUERIES["begin_reading"], told)
            if await cursor.fetchone() is None:
                await connection.execute(QUERIES["note_streams"], told)
            else:
                await connection.execute(QUERIES["forget_until"], [source])
                await connection.execute(QUERIES["read_until"], [source, list(ends), list(ends.values())])
            await connection.commit()

    async def swept(self, source: str, number: int) -> None:
        async with self._reading.transaction() as connection:
            cursor = await connection.execute(QUERIES["swept"], [source, number])
            if await cursor.fetchone() is not None:
                await connection.execute(QUERIES["forget_seen"], [source])
            await connection.commit()

    async def reconsider(self, source: str) -> None:
        async with self._reading.transaction() as connection:
            await connection.execute(QUERIES["reconsider"], [source])
            await connection.commit()

    async def announce(self, system: str, transaction: str, at: int) -> None:
        session = self._announcing.get(system)
        if session is None:
            session = self._announcing[system] = Session(self._dsn, self._schema, f"announce {system}", hot=True)
        async with session.transaction() as connection:
            await connection.execute(QUERIES["announce"], [system, transaction, at])
            await connection.execute(QUERIES["forget_announced"], [system, at - ANNOUNCED_FOR])
            await connection.commit()

    async def note(self, lane: Lane, state: str, message: str) -> None:
        async with self._reading.transaction() as connection:
            await connection.execute(QUERIES["note"], [str(lane), lane.source, state, message])
            await connection.commit()

    @contextlib.asynccontextmanager
    async def ingest(self, lease: Lease) -> AsyncIterator[PostgresIngest]:
        """Raises Fenced if the source was leased again; the check holds until the transaction ends."""
        session = self._ingesting.get(lease)
        if session is None:
            session = self._ingesting[lease] = Session(self._dsn, self._schema, f"ingest {lease.lane}", hot=True)
        async with session.transaction() as connection:
            cursor = await connection.execute(QUERIES["fence"], [str(lease.lane)], prepare=True)
            row = await cursor.fetchone()
            if row is None or row[0] != lease.epoch:
                raise Fenced(
                    f"another worker took over {str(lease.lane)!r}",
                    suggestion="nothing of this batch was stored; the other worker goes on from the last position",
                )
            yield PostgresIngest(
                connection, lease, self._clock, self._tell, applying=row[1], joins=row[2], parted=row[3]
            )

    async def releasable(self, source: str, limit: int, after: int = 0) -> tuple[list[SetAside], int | None]:
        async with self._reading.transaction() as connection:
            return await releasable(connection, source, limit, after, AT_ONCE)

    async def alike(self, limit: int) -> list[AlikePair]:
        async with self._reading.transaction() as connection:
            asked = {"limit": limit, "many": MANY_ALIKE}
            rows = await (await connection.execute(QUERIES["alike"], asked, prepare=True)).fetchall()
        return [AlikePair(entity, key, value, tuple(ids)) for entity, key, value, ids in rows]

    async def following(self, limit: int) -> list[str]:
        async with self._reading.transaction() as connection:
            rows = await (await connection.execute(QUERIES["following"], [limit], prepare=True)).fetchall()
        return [id for (id,) in rows]

    async def unread(self, sources: Sequence[str], mapped: Mapping[str, Collection[str]] | None = None) -> list[str]:
        pairs = [(source, stream) for source, streams in (mapped or {}).items() for stream in streams]
        async with self._reading.transaction() as connection:
            found = await (await connection.execute(QUERIES["unread"], [list(sources)])).fetchall()
            if pairs:
                names, streams = map(list, zip(*pairs, strict=True))
                found += await (await connection.execute(QUERIES["mapped_later"], [names, streams])).fetchall()
        return [name for name in sources if (name,) in found]

    async def claim(
        self, target: str, limit: int, shards: Collection[int] = SHARDS, but: Collection[str] = ()
    ) -> list[Pending]:
        return await self._delivery(target).claim(limit, shards, self.rulebook, but)

    async def held_up(self, rows: Sequence[RowRef]) -> dict[RowRef, int]:
        found: dict[RowRef, int] = {}
        async with self._reading.transaction() as connection:
            for system, stream in sorted({(row.system, row.stream) for row in rows}):
                keys = [row.key for row in rows if (row.system, row.stream) == (system, stream)]
                cursor = await connection.execute(QUERIES["held_up"], [system, stream, keys])
                found.update((RowRef(system, stream, key), id) for key, id in await cursor.fetchall())
        return found

    async def standing_for(self, rows: Sequence[RowRef]) -> dict[RowRef, tuple[Record, int]]:
        async with self._reading.transaction() as connection:
            links: dict[RowRef, str] = {}
            for system, stream in sorted({(row.system, row.stream) for row in rows}):
                keys = [row.key for row in rows if (row.system, row.stream) == (system, stream)]
                cursor = await connection.execute(QUERIES["links"], [system, stream, keys])
                links.update((RowRef(system, stream, key), id) for key, id in await cursor.fetchall())
            ids = [plain_array(sorted(set(links.values())))]
            notes = notes_of(await (await connection.execute(QUERIES["notes"], ids, prepare=True)).fetchall())
            found = await (await connection.execute(QUERIES["read_records"], ids, prepare=True)).fetchall()
        records = {row[0]: (record_of(row, notes.get(row[0], ())), int(row[6])) for row in found}
        return {row: records[id] for row, id in links.items() if id in records}

    async def keys(self, records: Sequence[str], system: str) -> dict[str, list[RowRef]]:
        if not records:
            return {}
        async with self._reading.transaction() as connection:
            asked = await (await connection.execute(QUERIES["joined"], [plain_array(records)], prepare=True)).fetchall()
            joined: dict[str, str] = dict(asked)
            ids = [plain_array({joined.get(id, id) for id in records})]
            notes = notes_of(await (await connection.execute(QUERIES["notes"], ids, prepare=True)).fetchall())
            rows = dict(await (await connection.execute(QUERIES["rows_of_records"], ids, prepare=True)).fetchall())
        found: dict[str, list[RowRef]] = {}
        for id in records:
            now = joined.get(id, id)
            if now not in rows:
                continue
            known = contributions_of(rows[now], notes.get(now, ()))
            refs = [row.ref for row in known if row.system == system and row.live]
            if refs:
                found[id] = refs
        return found

    async def settle(self, target: str, settlements: Sequence[Settlement]) -> None:
        if settlements:
            await self._delivery(target).settle(settlements)

    async def intend(self, target: str, intents: Sequence[Intent]) -> None:
        if intents:
            await self._delivery(target).intend(intents)

    async def intents(self, target: str, records: Sequence[str]) -> dict[str, list[Intent]]:
        return await self._delivery(target).intents(records)

    async def close(self) -> None:
        sessions = [self._reading, *self._ingesting.values(), *(session for _, session in self._deliveries.values())]
        sessions += self._announcing.values()
        self._announcing.clear()
        self._ingesting.clear()
        self._deliveries.clear()
        for session in sessions:
            await session.close()

    def _tell(self, records: Mapping[str, tuple[Record, int]], dirty: Sequence[tuple[str, str]]) -> None:
        """What was committed here need not be read again by the deliveries of this process."""
        for target, (deliveries, _) in self._deliveries.items():
            deliveries.tell(records, {id for name, id in dirty if name == target})

    def _delivery(self, target: str) -> Deliveries:
        if target not in self._deliveries:
            session = Session(self._dsn, self._schema, f"delivery {target}", hot=True)
            self._deliveries[target] = (Deliveries(target, session), session)
        return self._deliveries[target][0]
