"""The streaming replication protocol over psycopg's `pq` layer: the only module that speaks to libpq itself.

psycopg has no replication client, but a connection opened with `replication=database` takes the commands, and
`pq` can pump CopyBoth. Frames are read as the socket becomes readable, all there are per wake-up, up to a bound in
bytes; above it reading pauses, and TCP holds the server back. Feedback does not depend on whoever consumes
the frames: keepalives are answered when they are read, and a timer speaks up well before the server's
`wal_sender_timeout`. What it reports as flushed is only what `acknowledge` was told.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from contextlib import suppress

import psycopg
from psycopg import pq
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.reading.messages import EPOCH_MICROS
from fieldwarden.connectors.postgres.reading.pgoutput import Payload
from fieldwarden.connectors.postgres.reading.position import lsn_text, parse_lsn
from fieldwarden.connectors.postgres.session import connect, take_bytes_as_they_are, translated
from fieldwarden.connectors.postgres.words import words
from fieldwarden.engine.errors import DecodeError, EngineError, TransientError
from fieldwarden.engine.ports.kinds import Room
from fieldwarden.rules.secret import Secretive

_STATUS_SECONDS = 1.0
"""Longest silence of ours; a third of `wal_sender_timeout` if that is less. Each status asks for an answer, which says
how far the log has grown: an idle server says so by itself only every half minute."""

_DEAD_SECONDS = 60.0
"""A server that was asked for a reply and says nothing for so long is gone."""

_PATIENCE_SECONDS = 60.0
"""For no longer a large delivery keeps this from reading: one that hangs holds up nobody else for good."""

_WAKE_UP_BYTES = 1 << 18
"""Read no more than this before giving the event loop its turn."""

_LARGE = 1 << 18
_KIND, _ROWS = 25, b"IUD"
"""Where in a frame of data the kind of its message stands; in a streamed transaction too."""

_DATA, _KEEPALIVE = b"wk"
_status = struct.Struct(">cQQQqB").pack
_lsn_at = struct.Struct(">Q").unpack_from


class ReplicationConnection:
    """One walsender. `frames` holds CopyBoth payloads in order; the consumer takes them off the left and says so."""

    def __init__(
        self,
        system: str,
        connection: psycopg.AsyncConnection[TupleRow],
        high_water: int,
        room: Room | None = None,
    ) -> None:
        self.frames: deque[Payload] = deque()
        self.received = self.largest = 0
        """The LSN up to which everything has come. Bytes of the largest frame so far."""
        self._system = system
        self._connection = connection
        self._pgconn = connection.pgconn
        self._socket = connection.pgconn.socket  # libpq forgets it when the connection is lost
        self._high_water = high_water
        self._room = room
        self._impatient = False
        self._waiting: asyncio.Task[None] | None = None
        self._queued = self._flushed = 0
        self._arrived = asyncio.Event()
        self._failure: EngineError | None = None
        self._reading = self._closed = False
        self._heard = time.monotonic()
        self._timer: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, system: str, dsn: Secretive, *, high_water: int, room: Room | None = None
    ) -> ReplicationConnection:
        """`high_water` in bytes: reading pauses while more than that waits, and for a moment while there is no `room`.
        Raises as `session.connect`."""
        return cls(system, await connect(system, dsn, replication="database"), high_water, room)

    async def command(self, text: str) -> tuple[str | None, ...]:
        """One replication command's only row."""
        with translated(self._system):
            cursor = await self._connection.execute(text.encode())
            row = await cursor.fetchone()
        assert row is not None, "every command used here answers with a row"
        return tuple(row)

    async def create_slot(self, slot: str, *, temporary: bool = False) -> tuple[int, str]:
        """Create a pgoutput slot (a temporary one goes with this connection): its consistent point, and the name of the
        snapshot exported there.

        The snapshot can be taken up only until this connection does anything else."""
        old_grammar = self._connection.info.server_version < 150000
        export = "EXPORT_SNAPSHOT" if old_grammar else "(SNAPSHOT 'export')"
        kind = " TEMPORARY" if temporary else ""
        row = await self.command(f"CREATE_REPLICATION_SLOT {_identifier(slot)}{kind} LOGICAL pgoutput {export}")
        assert row[1] is not None
        assert row[2] is not None
        return parse_lsn(row[1]), row[2]

    async def start(self, slot: str, publication: str, lsn: int) -> None:
        """Begin streaming at `lsn`; what lies before it is taken as flushed (and was acknowledged before)."""
        interval = await self._status_interval()
        await take_bytes_as_they_are(self._system, self._connection)
        version = self._connection.info.server_version
        protocol = 4 if version >= 160000 else 3 if version >= 150000 else 2
        names = _identifier(publication).replace("'", "''")
        command = (
            f"START_REPLICATION SLOT {_identifier(slot)} LOGICAL {lsn_text(lsn)} (proto_version '{protocol}', "
            f"publication_names '{names}', messages 'true', streaming 'on')"
        )
        with translated(self._system):
            self._pgconn.send_query(command.encode())
            await self._until_answered()
            result = self._pgconn.get_result()
            if result is None or result.status != pq.ExecStatus.COPY_BOTH:
                raise psycopg.errors.error_from_result(result) if result else psycopg.OperationalError("no answer")
        self._pgconn.nonblocking = 1
        self.received = lsn
        self._heard = time.monotonic()
        self._resume()
        self._timer = asyncio.create_task(self._speak_up(interval))

    async def arrived(self, seconds: float) -> bool:
        """Wait for frames, at most so many seconds. Once all that came before is taken, raises TransientError where the
        connection was lost, DecodeError where what came is not the protocol's."""
        if not self.frames:
            if self._failure is not None:
                raise self._failure
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()
        return bool(self.frames)

    @property
    def newest(self) -> int:
        """The LSN of the newest frame that waits, 0 if none does."""
        return int(_lsn_at(self.frames[-1], 1)[0]) if self.frames and len(self.frames[-1]) > _KIND else 0

    def consumed(self, size: int) -> None:
        """`size` bytes of frames were taken: read on, if that had been put off."""
        self._queued -= size
        if not self._reading and self._queued < self._high_water // 2 and self._failure is None:
            self._resume()

    def acknowledge(self, lsn: int) -> None:
        """Everything before `lsn` is durable elsewhere. Never moves backwards."""
        if lsn > self._flushed:
            self._flushed = lsn
            self._send_status(reply=False)

    def succeed(self, former: ReplicationConnection) -> None:
        """Begin where another connection of the source ended: with what is durable, and with its patience."""
        self.acknowledge(former._flushed)
        self._impatient = former._impatient

    async def close(self) -> None:
        """Once closed, `acknowledge` only takes note."""
        if self._closed:
            return  # its socket's number may be another's by now
        self._closed = True
        self._pause()
        asyncio.get_running_loop().remove_writer(self._socket)
        tasks = [task for task in (self._timer, self._waiting) if task is not None]
        self._timer = None
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._connection.close()

    # --- reading ---

    def _resume(self) -> None:
        self._reading = True
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._read)
        loop.call_soon(self._read)  # libpq may hold frames already, for which the socket will not become readable

    def _gives_way(self, room: Room) -> bool:
        """Whether reading waits for something large that is being delivered."""
        if room.is_set():
            self._impatient = False
        if room.is_set() or self._impatient:
            return False
        self._pause()
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._until_room(room))
        return True

    async def _until_room(self, room: Room) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await room.wait()
        self._impatient = not room.is_set()
        self._waiting = None
        if self._failure is None:
            self._resume()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._socket)

    def _read(self) -> None:
        if not self._reading:
            return
        if self._room is not None and self._gives_way(self._room):
            return
        try:
            more = self._drain()
        except psycopg.Error as error:
            self._fail(words(error))
            return
        except (IndexError, struct.error, MemoryError) as error:
            self._fail_with(self._garbled(error))
            return
        if self.frames:
            self._arrived.set()
        if self._queued >= self._high_water:
            self._pause()
        elif more:
            asyncio.get_running_loop().call_soon(self._read)

    def _drain(self) -> bool:
        """Take over what has come; True if there may be more."""
        get, append = self._pgconn.get_copy_data, self.frames.append
        limit = min(self._queued + _WAKE_UP_BYTES, self._high_water)
        fresh = False
        while self._queued < limit:
            size, data = get(1)
            if size > 0:
                frame: Payload = bytes(data) if size <= _LARGE else self._large(size, data)
                append(frame)
                self._queued += size
                if frame[0] == _KEEPALIVE:
                    self._answer(frame)
                fresh = False
            elif size == 0:
                if fresh:
                    return False
                self._pgconn.consume_input()
                fresh = True
                self._heard = time.monotonic()
            else:
                result = self._pgconn.get_result()
                failed = result is not None and result.error_message
                said = words(psycopg.errors.error_from_result(result)) if result is not None and failed else ""
                self._fail(said or "the server ended the stream")
                return False
        return True

    def _large(self, size: int, data: memoryview) -> Payload:
        """A large row is read where libpq has put it; anything else is quicker to read as bytes."""
        self.largest = max(self.largest, size)
        return data if data[_KIND] in _ROWS else bytes(data)

    def _answer(self, keepalive: Payload) -> None:
        self.received = max(self.received, _lsn_at(keepalive, 1)[0])
        if keepalive[17]:
            self._send_status(reply=False)

    def _fail(self, reason: str) -> None:
        self._fail_with(
            TransientError(
                f"{self._system}: the replication connection was lost: {' '.join(reason.split())}",
                suggestion=f"check that the server of {self._system} is up; it is tried again",
            )
        )

    def _fail_with(self, failure: EngineError) -> None:
        self._pause()
        if self._failure is None:
            self._failure = failure
        self._arrived.set()

    def _garbled(self, error: Exception) -> DecodeError:
        """Raised inside a callback, where nobody would hear of it."""
        return DecodeError(
            f"{self._system}: a frame of the replication stream cannot be taken over ({type(error).__name__})",
            suggestion=f"nothing was acknowledged; check that what answers is the PostgreSQL server of {self._system}, "
            "and that memory is not short; then start `fieldwarden run` again",
            path=self._system,
        )

    # --- feedback ---

    async def _status_interval(self) -> float:
        (milliseconds,) = await self.command("SHOW wal_sender_timeout")
        seconds = _seconds(milliseconds or "60s")
        return min(_STATUS_SECONDS, seconds / 3) if seconds else _STATUS_SECONDS

    async def _speak_up(self, interval: float) -> None:
        """Say that we live, and ask the same of the server: only then can its silence mean something."""
        while self._failure is None:
            self._send_status(reply=True)
            await asyncio.sleep(interval)
            if self._reading and time.monotonic() - self._heard > max(_DEAD_SECONDS, 3 * interval):
                self._fail(f"nothing was heard for {_DEAD_SECONDS:.0f} seconds")
            elif not self._reading:
                self._heard = time.monotonic()

    def _send_status(self, *, reply: bool) -> None:
        if self._failure is not None or self._timer is None:
            return
        now = time.time_ns() // 1000 - EPOCH_MICROS
        received = max(self.received, self._flushed)
        try:
            self._pgconn.put_copy_data(_status(b"r", received, self._flushed, self._flushed, now, reply))
            self._flush()
        except psycopg.Error as error:
            self._fail(words(error))

    def _flush(self) -> None:
        loop, socket = asyncio.get_running_loop(), self._socket
        try:
            if self._pgconn.flush():
                loop.add_writer(socket, self._flush)
            else:
                loop.remove_writer(socket)
        except psycopg.Error as error:
            loop.remove_writer(socket)
            self._fail(words(error))

    async def _until_answered(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pgconn.is_busy():
            readable = asyncio.Event()
            loop.add_reader(self._socket, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._socket)
            self._pgconn.consume_input()


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _seconds(setting: str) -> float:
    """A duration as SHOW writes it."""
    units = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "": 0.001}
    number = setting.rstrip("abcdefghijklmnopqrstuvwxyz")
    return float(number) * units[setting[len(number) :]]
