"""A PostgreSQL database as a source: a consistent baseline, then its committed changes, each once.

open      check server, tables, publication and slot; a baseline makes a new slot, else the stored position
          must still be inside the slot (or there is a declared gap); streams that came into the mapping since are
          read by themselves first
batches   the baseline's rows, then whatever has queued from the walsender, across transactions
acknowledge   only then does the slot's confirmed LSN move
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, describe, table_name, tables_of, type_names
from fieldwarden.connectors.postgres.following import Memory, check_unread, prefixes_of, resolved
from fieldwarden.connectors.postgres.marks import Marks, Seal
from fieldwarden.connectors.postgres.reading.at_rows import look_at
from fieldwarden.connectors.postgres.reading.pace import IDLE_SECONDS, SETTLING, patience, until_worth, worth_confirming
from fieldwarden.connectors.postgres.reading.pgoutput import Decoder
from fieldwarden.connectors.postgres.reading.position import WalPosition, row_position
from fieldwarden.connectors.postgres.reading.publications import check_publication, ensure_publication
from fieldwarden.connectors.postgres.reading.renewal import Renewal, renewed
from fieldwarden.connectors.postgres.reading.replication import ReplicationConnection
from fieldwarden.connectors.postgres.reading.server import (
    Server,
    check_readable,
    check_server,
    check_tables,
    gap,
    stored_position,
    troubles,
)
from fieldwarden.connectors.postgres.reading.slots import SlotHealth, check_same, check_slot, slot_health, take_place
from fieldwarden.connectors.postgres.reading.snapshot import Snapshot
from fieldwarden.connectors.postgres.reading.spill import Spool
from fieldwarden.connectors.postgres.reading.transactions import Transactions
from fieldwarden.connectors.postgres.session import connect, translated
from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.errors import SchemaDrift, TransientError
from fieldwarden.engine.failpoints import hit
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.engine.ports.kinds import Room
from fieldwarden.engine.ports.parts import FIRST_BASELINE, LOG, Part
from fieldwarden.engine.ports.source import Batch, Observation, Phase, Start
from fieldwarden.engine.process import PROCESS
from fieldwarden.engine.wanted import wanted_tables
from fieldwarden.rules.connections import database_settings
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.secret import Secretive

LOOK_SECONDS = 5.0
"""How often it is looked whether the tables can still be followed, and their applications still write to them."""


class PostgresSource:
    """`engine.ports.Source` over logical replication.

    `max_changes` and `max_bytes` bound a batch, `spill_bytes` what open streamed transactions keep in memory.
    `project` is the project's id, and `memory` where it is noted what is followed on the server, before it is made.
    While there is no `room`, reading waits a moment.
    """

    def __init__(
        self,
        system: System,
        dsn: Secretive,
        project: str,
        memory: Memory,
        *,
        max_changes: int = 2000,
        max_bytes: int = 8 << 20,
        spill_bytes: int = 64 << 20,
        idle_seconds: float = IDLE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        room: Room | None = None,
    ) -> None:
        self.system = system.name
        self._system = system
        self._dsn = dsn
        self._project = project
        self._memory = memory
        self._followed = Followed()
        self._marks = Marks(self.system, (), Seal(b""))
        self._names = Followed()
        self._max_changes = max_changes
        self._max_bytes = max_bytes
        self._spill_bytes = spill_bytes
        self._idle_seconds = idle_seconds
        self._look_seconds = look_seconds
        self._room = room
        self._catalog: psycopg.AsyncConnection[TupleRow] | None = None
        self._server: Server | None = None
        self._tables: dict[str, Table] = {}
        self._odd_types: set[int] = set()
        self._reading = system
        """The system without the streams that are parked, which cannot be followed for the moment."""
        self._parked: dict[str, str] = {}
        self._drifted: set[str] = set()
        """Streams that lost what is mapped in mid-stream: to be read anew, if they can be."""
        self._read_anew = 0
        self._part = Part(0, None)
        """The one part, as it was taken."""
        self._start: WalPosition | None = None
        self._snapshot: Snapshot | None = None
        self._unread: tuple[str, ...] = ()
        """Streams to be read before the stream goes on, where that is not all of them."""
        self._stream: ReplicationConnection | None = None
        self._spool: Spool | None = None

    async def open(self, start: Start) -> None:
        part = self._part = (await start.take([LOG]))[LOG]
        position = part.position
        after = None if start.is_new_to(part) else stored_position(self._system, position)
        if position is None:
            await check_unread(self._system, self._memory)
        try:
            connection = self._catalog = await connect(self.system, self._dsn)
            server = self._server = await check_server(self._system, connection)
            with translated(self.system):
                self._tables = await describe(connection, tables_of(self._system))
            if after is not None and after.phase == "stream":
                await self._resume(connection, server, after)
            else:
                if after is not None:  # a baseline was interrupted: its rows have this number in front as well
                    check_same(self._system, after, server)
                await self._begin(connection, server, position, start.baseline)
            self._marks = await self._known_marks(server)
        except BaseException:
            await self.close()
            raise

    async def _known_marks(self, server: Server) -> Marks:
        prefixes, seal = prefixes_of(self._project, self._followed), Seal(await self._memory.mark_key())
        return Marks(self.system, prefixes, seal, await self._memory.sealed_from(self.system, server.end))

    async def _resume(self, connection: psycopg.AsyncConnection[TupleRow], server: Server, start: WalPosition) -> None:
        followed = await self._memory.followed(self.system)
        if followed is None:
            raise gap(self._system, "this project follows no replication slot there")
        self._followed, self._names = followed, resolved(self._system, followed)
        named = database_settings(self._system).slot
        if named not in (None, self._names.slot):
            raise gap(self._system, f"the files name the slot {named}, but it was read by {self._names.slot}")
        await check_slot(self._system, connection, self._names.slot, start, server)
        streams = self._system.read_streams
        # A stream that left the mapping is forgotten, or what it missed until it comes back would go unnoticed.
        kept = tuple(name for name in start.streams if name in streams)
        missed = tuple(name for name in kept if name in start.parked or name in self._drifted)
        self._park(kept, server)
        names, reading = self._names, self._reading
        self._unread = tuple(name for name in reading.read_streams if name not in kept or name in missed)
        if self._unread:
            await ensure_publication(reading, connection, names.publication, self._tables, server, self._project)
        await check_publication(reading, connection, names.publication, self._tables, server, self._project)
        parked = tuple(name for name in kept if name in missed or name in self._parked)
        self._start = replace(start, streams=kept, server=server.server, parked=parked, timeline=server.timeline)
        if self._unread:
            # Positions of these rows compare with those of the stream: whichever is newer stands.
            await self._export(f"{names.slot[:50]}_{PROCESS}", start.baseline, temporary=True)

    def _park(self, read: Collection[str], server: Server) -> None:
        """Leave out streams whose tables cannot be followed, and go on with the others. Raises what is wrong with one
        that has never been read: of its rows nothing is known, and they could be created a second time; or with all."""
        wrong = troubles(self._system, self._tables, server)
        streams = self._system.streams
        for name, trouble in wrong.items():
            if name not in read or len(wrong) == len(self._system.read_streams):
                raise trouble
        self._parked = {name: f"{each.message} ({each.suggestion})" for name, each in wrong.items()}
        self._reading = replace(self._system, streams={name: streams[name] for name in streams if name not in wrong})

    async def _look_at_tables(self) -> None:
        """Whether the tables are as they were when reading began. Raises TransientError: to be opened anew."""
        connection, server = self._catalog, self._server
        assert server is not None
        if connection is None or connection.closed:
            connection = self._catalog = await connect(self.system, self._dsn)
        with translated(self.system):
            tables = await describe(connection, tables_of(self._system))
        changed = sorted(troubles(self._system, tables, server).keys() ^ self._parked.keys())
        if changed:
            raise TransientError(
                f"{self.system}: {', '.join(changed)} changed: it cannot be followed any more, or again",
                suggestion="it is looked at anew",
            )

    def _drift(self, drift: SchemaDrift) -> None:
        """A table lost what is mapped, at this place of the stream. Raises TransientError: its stream is left out, or
        read anew, and the others go on; the drift itself where they cannot."""
        streams = self._reading.read_streams
        tables = {streams[name].table for name in streams if drift.path.startswith(f"{name}.")}
        names = [name for name, stream in streams.items() if stream.table in tables]
        if not names or len(names) == len(streams):
            raise drift
        self._drifted.update(names)
        raise TransientError(drift.message, suggestion=drift.suggestion) from drift

    async def _begin(
        self, connection: psycopg.AsyncConnection[TupleRow], server: Server, position: str | None, baseline: int
    ) -> None:
        self._reading, self._parked = self._system, {}
        check_tables(self._system, self._tables, server)
        names = await take_place(self._system, connection, server, self._memory, self._project, position)
        self._followed = self._names = names
        await ensure_publication(self._system, connection, names.publication, self._tables, server, self._project)
        point = await self._export(names.slot, baseline)
        streams = tuple(self._system.read_streams)
        self._start = WalPosition(
            "stream", point, streams=streams, server=server.server, baseline=baseline, timeline=server.timeline
        )

    async def _export(self, slot: str, baseline: int, *, temporary: bool = False) -> int:
        """Make a slot, and a snapshot of the point where it begins; that point."""
        creator = await ReplicationConnection.connect(self.system, self._dsn, high_water=0)
        try:
            point, exported = await creator.create_slot(slot, temporary=temporary)
            hit("snapshot.slot_created")
            self._read_anew = point
            self._snapshot = await Snapshot.adopt(self._reading, self._dsn, self._tables, point, exported, baseline)
        finally:
            await creator.close()
        return point

    async def batches(self) -> AsyncGenerator[Batch, None]:
        if self._start is None:
            raise TransientError(f"{self.system}: the source is not open")
        if self._snapshot is not None:
            reading = self._partly if self._unread else self._baseline
            async with aclosing(reading(self._snapshot, self._start)) as baseline:
                async for batch in baseline:
                    yield batch
                    del batch  # it may be long until the next one, and this one large
        assert self._start is not None
        async with aclosing(self._live(self._start)) as live:
            async for batch in live:
                yield batch
                del batch

    async def _baseline(self, snapshot: Snapshot, start: WalPosition) -> AsyncGenerator[Batch, None]:
        running = replace(start, phase="snapshot").encode()
        # Before any row: with it the baseline is begun, so that one after a crash finds what has gone since.
        yield self._batch([], running, "running")
        waiting: list[RawChange] | None = None
        async with aclosing(snapshot.chunks(self._max_changes, self._max_bytes)) as chunks:
            async for chunk in chunks:
                if waiting is not None:
                    yield self._batch(waiting, running, "running")
                    hit("snapshot.running")
                waiting = chunk
        await snapshot.close()
        self._snapshot = None
        hit("snapshot.done")
        assert waiting is not None, "a snapshot has at least one chunk"
        yield self._batch(waiting, start.encode(), "done")

    async def _partly(self, snapshot: Snapshot, start: WalPosition) -> AsyncGenerator[Batch, None]:
        """The rows of the unread streams; only with all of them durable do these count as read."""
        begun, unread = start.encode(), self._unread
        waiting: list[RawChange] = []
        async with aclosing(snapshot.chunks(self._max_changes, self._max_bytes, unread)) as chunks:
            async for chunk in chunks:
                yield self._batch(waiting, begun, "running", unread)
                hit("partial.running")
                waiting = chunk
        await snapshot.close()
        self._snapshot = None
        self._start = replace(start, streams=tuple(self._system.read_streams), parked=tuple(self._parked))
        self._drifted.difference_update(unread)
        yield self._batch(waiting, self._start.encode(), "done", unread)

    def _batch(self, changes: list[RawChange], at: str, phase: Phase = None, streams: tuple[str, ...] = ()) -> Batch:
        """With which the one part is at this position."""
        return Batch(changes, {LOG: replace(self._part, position=at)}, phase, None, streams, self._parked)

    async def _live(self, start: WalPosition) -> AsyncGenerator[Batch, None]:
        stream = await self._connect(start)
        spool = self._spool = Spool(self._spill_bytes)
        decoder = self._decoder()
        transactions = self._transactions(decoder, start, spool)
        clock, renewal = asyncio.get_running_loop().time, Renewal()
        handed_over, handed_over_at, looked = start, 0.0, clock()
        soon = looked + SETTLING
        if self._parked:
            yield self._batch([], start.encode())
        while True:
            if clock() - looked >= self._look_seconds:
                await self._look_at_tables()
                looked = clock()
            try:
                stream.consumed(transactions.take(stream.frames))
            except SchemaDrift as drift:
                self._drift(drift)
            self._notice_types(decoder)
            drained = not (stream.frames or transactions.replaying) and transactions.settled
            if transactions.full or (drained and (transactions or transactions.forged.number)):
                ready = True
            else:
                at, idle = transactions.position, clock() - handed_over_at
                patient = patience(self._idle_seconds, beginning=clock() < soon)
                ready = drained and at != handed_over and worth_confirming(at.end - handed_over.end, idle, patient)
            if ready:
                handed_over, handed_over_at = transactions.position, clock()
                lag = max(0, stream.newest - handed_over.end)
                partial, position, forged = handed_over.ordinal > 0, handed_over.encode(), transactions.found_forged()
                yield replace(self._batch(transactions.cut(), position), lag_bytes=lag, partial=partial, forged=forged)
            elif stream.frames or transactions.replaying:
                await asyncio.sleep(0)
            elif drained and not at.ordinal and not spool and renewal.due(stream.largest, clock()):
                again = (await self.health()).retained_bytes
                if renewal.allowed(again, clock()):
                    stream = await renewed(self.system, stream, at, self._connect, self.health)
                    decoder = self._decoder()
                    transactions = self._transactions(decoder, at, spool)
            else:
                await stream.arrived(until_worth(idle, patient, unsaid=drained and at != handed_over))

    def _transactions(self, decoder: Decoder, start: WalPosition, spool: Spool) -> Transactions:
        return Transactions(
            self.system,
            decoder,
            start,
            spool,
            marks=self._marks,
            max_changes=self._max_changes,
            max_bytes=self._max_bytes,
            read_anew=self._read_anew,
            anew=self._tables_read_anew(),
        )

    def _tables_read_anew(self) -> set[str]:
        """The tables of which every stream was read again."""
        streams = self._reading.read_streams
        others = {stream.table for name, stream in streams.items() if name not in self._unread}
        return {table_name(streams[name].table) for name in self._unread if streams[name].table not in others}

    def _decoder(self) -> Decoder:
        wanted = wanted_tables(self._reading.read_streams.values(), table_name)
        return Decoder(wanted, type_names(self._tables.values()))

    def _notice_types(self, decoder: Decoder) -> None:
        """Reopen once for a column whose type was made since the catalogue was read."""
        unknown = decoder.unknown_types - self._odd_types
        if unknown:
            self._odd_types |= unknown
            raise TransientError(
                f"{self.system}: a mapped column changed to a type that is new here", suggestion="types are read again"
            )

    async def _connect(self, start: WalPosition) -> ReplicationConnection:
        most = 2 * self._max_bytes
        stream = await ReplicationConnection.connect(self.system, self._dsn, high_water=most, room=self._room)
        if self._stream is not None:
            stream.succeed(self._stream)
        self._stream = stream
        try:
            await stream.start(self._names.slot, self._names.publication, start.end)
        except TransientError:
            await stream.close()
            raise
        return stream

    async def acknowledge(self, batch: Batch) -> None:
        durable = WalPosition.decode(batch.parts[LOG].position or "")
        if durable.phase == "stream" and self._stream is not None:
            self._stream.acknowledge(durable.end)

    async def ends(self, baseline: int) -> None:
        """It reads its rows by itself. Raises what would keep it from that, so that no baseline begins which cannot be
        read: deliveries to all systems would wait for it."""
        del baseline
        async with await connect(self.system, self._dsn) as connection:
            await check_readable(self._system, connection)

    async def again(self, raw: RawChange) -> RawChange:
        return raw  # the server's own output is never undecodable for one row alone

    async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
        baseline = self._start.baseline if self._start is not None else FIRST_BASELINE
        return await look_at(self._system, self._dsn, rows, lambda end: row_position(baseline, end, 0))

    async def health(self) -> SlotHealth:
        """How the slot fares; on a connection of its own, so that it can be asked at any time after `open`."""
        if self._catalog is None or self._catalog.closed:
            self._catalog = await connect(self.system, self._dsn)
        return await slot_health(self.system, self._catalog, self._names.slot)

    async def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
        for part in (self._stream, self._snapshot, self._catalog):
            if part is not None:
                await part.close()
        self._stream = self._snapshot = self._catalog = self._spool = self._start = None
        self._unread = ()
