"""A look at a Debezium source from outside its stream: how far Kafka is ahead, and what the database holds back.

"Everything committed in the database by now has come" has three parts. Debezium must have read it, Kafka must hold it
(a producer may be behind in one topic and not in another), and we must have read that. Kafka Connect stores a
connector's offsets only once all records before them are acknowledged, and only then does Debezium confirm the
position to PostgreSQL: so a mark is written to the WAL, and when the slot's confirmed_flush_lsn has passed it, the ends
of the topics are what we have to reach.
Facts: Debezium's PostgreSQL connector, `PostgresStreamingChangeEventSource.commitOffset`; KIP-618, `SubmittedRecords`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.connectors.debezium.kafka.ends import Ends
from fieldwarden.connectors.debezium.kafka.parts import PartitionPosition, partition_name
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.connectors.postgres.catalog import describe, table_name
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.reading.slots import SlotHealth, slot_health
from fieldwarden.connectors.postgres.session import connect, translated
from fieldwarden.engine.errors import FieldwardenError, TransientError
from fieldwarden.rules.connections import debezium_names
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.secret import Secretive

Connection = psycopg.AsyncConnection[TupleRow]

MARK = "fieldwarden-watermark"
_CONFIRMED_WITHIN = 90.0
"""Kafka Connect stores offsets every 60 s by default (offset.flush.interval.ms)."""
_POLL = 0.1


class KafkaLag:
    """Connections are made when needed and given up after any failure. `dsn` is the database's, if it is PostgreSQL."""

    def __init__(self, system: System, brokers: Brokers, dsn: Secretive | None = None) -> None:
        self._system = system
        self._dsn = dsn
        self._topics = Topics(system).streams.keys()
        self._ends = Ends(system.name, brokers)
        self._connection: Connection | None = None
        self._asking = asyncio.Lock()

    @property
    def confirms(self) -> bool:
        """Whether `end` can be sure, because the database says what Debezium has confirmed."""
        return self._dsn is not None

    async def lags(self, positions: Mapping[str, str | None]) -> dict[str, int]:
        """Records not yet read, by partition of the mapped topics that exist, given the hub's positions.

        A partition that nobody has read counts from offset 0. Raises EnvironmentUnfit, TransientError."""
        ends = await self._ends.of(self._topics)
        return {name: max(0, end - _offset(positions.get(name))) for name, end in _named(ends).items()}

    async def end(self) -> dict[str, int]:
        """What to reach for everything committed by now to have come; see `reached`. May take as long as Kafka Connect
        takes to store offsets (`offset.flush.interval.ms`). Raises EnvironmentUnfit, TransientError."""
        if self._dsn is not None:
            await self._confirmed(self._dsn)
        return await self.ends()

    async def ends(self) -> dict[str, int]:
        """Where the mapped topics end now, by partition. Raises EnvironmentUnfit, TransientError."""
        return _named(await self._ends.of(self._topics))

    def reached(self, positions: Mapping[str, str | None], end: Mapping[str, int]) -> bool:
        """Whether the hub's positions are at or past `end`."""
        return all(_offset(positions.get(name)) >= offset for name, offset in end.items())

    async def columns(self, table: str) -> dict[str, str]:
        """The columns that a table has now, with portable types; none where the database is not asked.

        Raises EnvironmentUnfit, TransientError."""
        if self._dsn is None:
            return {}
        async with self._open(self._dsn) as connection:
            name = table_name(table)
            found = await describe(connection, [name])
        return {column.name: column.type for column in found[name].columns.values()} if name in found else {}

    async def slot(self) -> SlotHealth | None:
        """How Debezium's replication slot fares; None where there is none. Raises EnvironmentUnfit, TransientError."""
        if self._dsn is None:
            return None
        async with self._open(self._dsn) as connection:
            return await slot_health(self._system.name, connection, debezium_names(self._system).slot)

    async def close(self) -> None:
        await self._ends.close()
        await self._give_up()

    async def _confirmed(self, dsn: Secretive) -> None:
        """Debezium has confirmed a mark that is written now."""
        slot = debezium_names(self._system).slot
        async with self._open(dsn) as connection:
            mark = await _write_mark(connection) if await _confirms(connection, slot, "0/0") else None
        deadline = asyncio.get_running_loop().time() + _CONFIRMED_WITHIN
        while True:
            if mark is None:  # a slot that is made after the mark starts past it
                raise TransientError(
                    f"{self._system.name}: Debezium has no replication slot {slot} in the database",
                    suggestion=f"register the connector: `fieldwarden connector register {self._system.name}`",
                )
            async with self._open(dsn) as connection:
                confirmed = await _confirms(connection, slot, mark)
            if confirmed:
                return
            if confirmed is None:
                mark = None
            elif asyncio.get_running_loop().time() > deadline:
                raise TransientError(
                    f"{self._system.name}: Debezium has confirmed nothing for {_CONFIRMED_WITHIN:.0f} s",
                    suggestion=f"does it run? See `fieldwarden connector status {self._system.name}`",
                )
            else:
                await asyncio.sleep(_POLL)

    @contextlib.asynccontextmanager
    async def _open(self, dsn: Secretive) -> AsyncIterator[Connection]:
        async with self._asking:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self._system.name, dsn)
            try:
                with translated(self._system.name):
                    yield self._connection
            except FieldwardenError:
                await self._give_up()
                raise

    async def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def _write_mark(connection: Connection) -> str:
    """Two transactions: with the second, Debezium knows that the first is complete, and waits for no heartbeat."""
    marks = []
    for _ in range(2):
        cursor = await connection.execute(QUERIES["send_message"], [MARK])
        marks += [str(mark) for (mark,) in await cursor.fetchall()]
    return marks[0]


async def _confirms(connection: Connection, slot: str, mark: str) -> bool | None:
    """Whether the slot is confirmed past the mark; None: there is no such slot."""
    cursor = await connection.execute(QUERIES["confirmed_past"], [mark, slot])
    row = await cursor.fetchone()
    return None if row is None else bool(row[0])


def _named(ends: Mapping[tuple[str, int], int]) -> dict[str, int]:
    return {partition_name(*partition): end for partition, end in ends.items()}


def _offset(position: str | None) -> int:
    try:
        return PartitionPosition.decode(position or "").offset
    except ValueError:
        return 0
