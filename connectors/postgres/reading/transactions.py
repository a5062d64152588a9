"""From decoded messages to committed changes with exact positions: the sans-I/O heart of the source.

Frames go in, changes and the position that makes them durable come out. A cut may fall anywhere, also inside a
transaction; whoever restarts from `position` gets every later change once. The rule: a transaction whose commit
stands before `end` is done; of the partial one the first `ordinal` changes are. (A commit's end LSN may equal the
next transaction's LSNs, so `end` itself is not done.) Every row change counts, mapped or not, or else a new mapping
would shift the ordinals.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import replace

from fieldwarden.connectors.postgres.marks import Marks
from fieldwarden.connectors.postgres.reading.messages import (
    Announcement,
    Begin,
    Commit,
    LogicalMessage,
    Prepared,
    RolledBackPrepared,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
)
from fieldwarden.connectors.postgres.reading.pgoutput import Decoder, Illegible, Payload, RowMessage
from fieldwarden.connectors.postgres.reading.position import WalPosition, lsn_text, row_prefix
from fieldwarden.connectors.postgres.reading.spill import Spool
from fieldwarden.engine.change import RawChange, Undecoded
from fieldwarden.engine.errors import DecodeError, EnvironmentUnfit, FieldwardenError, SchemaDrift
from fieldwarden.engine.ports.forged import NONE, Forged
from fieldwarden.engine.record import LARGE

_HEADER = 25
"""Bytes of an XLogData frame before the message: 'w', start, end, send time."""

_DATA = ord("w")
_SPOOLED = frozenset(b"RYIUDTM")
_EVERY = 1 << 62
_LATEST = 1 << 62
"""A commit time (µs since 1970) past which no server's clock is: beyond the year 148,000."""

_wal_end = struct.Struct(">Q").unpack_from


class Transactions:
    """Assembles one connection's frames (CopyBoth payloads: XLogData 'w' and keepalives 'k'). Tables in `anew` were
    read again as of the LSN `read_anew`.

    `marks`: our own writes carry a transactional logical message that these judge to be ours, before their rows."""

    def __init__(
        self,
        system: str,
        decoder: Decoder,
        start: WalPosition,
        spool: Spool,
        *,
        marks: Marks,
        max_changes: int,
        max_bytes: int,
        read_anew: int = 0,
        anew: Collection[str] = (),
    ) -> None:
        self._system = system
        self._decoder = decoder
        self._position = start
        self._end = start.end
        self._spool = spool
        self._marks = marks
        self._streaming: int | None = None
        self._replay: Iterator[Payload] | None = None
        self._replayed: StreamCommit | None = None
        self._in_transaction = False
        self._final = 0
        self._prefix = ""
        self._at = 0
        self._label = ""
        self._echo = self._doubtful = False
        self._xid = 0
        self.forged = NONE
        """Transactions that carried a mark which is not ours, since these were last asked for."""
        self._ordinal = 0
        self._skip = 0
        self._max_changes = max_changes
        self._max_bytes = max_bytes
        self._read_anew = read_anew
        self._anew = anew
        self._changes: list[RawChange] = []
        self._bytes = 0

    @property
    def settled(self) -> bool:
        """No committed transaction is half taken: what it lacks is not on its way already."""
        return not self._in_transaction

    @property
    def full(self) -> bool:
        return len(self._changes) >= self._max_changes or self._bytes >= self._max_bytes

    @property
    def replaying(self) -> bool:
        """There is more to take without any new frame."""
        return self._replay is not None

    def __len__(self) -> int:
        """How many changes wait to be cut."""
        return len(self._changes)

    def cut(self) -> list[RawChange]:
        """Hand over what was taken; `position`, read before the next `take`, makes it durable."""
        changes, self._changes, self._bytes = self._changes, [], 0
        return changes

    def found_forged(self) -> Forged:
        """Hand over what is `forged`."""
        forged, self.forged = self.forged, NONE
        return forged

    @property
    def position(self) -> WalPosition:
        """Durable with everything handed over so far."""
        start = self._position
        delivered = max(self._ordinal, self._skip) if self._in_transaction and self._skip != _EVERY else 0
        if delivered:
            return replace(start, end=self._end, final=self._final, ordinal=delivered)
        if start.ordinal and start.final >= self._end:
            return replace(start, end=self._end)
        return replace(start, end=self._end, final=0, ordinal=0)

    def take(self, frames: deque[Payload]) -> int:
        """Work off `frames` from the left until a batch is full, or enough was done for one turn of the event loop.

        Returns the bytes of the frames taken. Raises EnvironmentUnfit, SchemaDrift, TransientError, and DecodeError
        for whatever else goes wrong: a frame that was passed over would be a change that is lost."""
        try:
            return self._take(frames)
        except DecodeError as error:
            raise self._halted(error.message) from error
        except FieldwardenError:
            raise
        except Exception as error:
            raise self._halted(f"a frame of the stream cannot be read ({type(error).__name__})") from error

    def _halted(self, message: str) -> DecodeError:
        return DecodeError(
            f"{self._system}: {message}, behind {lsn_text(self._end)} of its log",
            suggestion="nothing was acknowledged; start `fieldwarden run` again, and if it halts there once more: "
            f"`fieldwarden run --rebaseline {self._system}`",
            path=self._system,
        )

    def _take(self, frames: deque[Payload]) -> int:
        decode, worked, taken = self._decoder.decode, 0, 0
        while not self.full and worked < self._max_bytes:
            if self._replay is not None:
                worked += self._replay_one()
                continue
            if not frames:
                break
            frame = frames.popleft()
            taken += len(frame)
            worked += len(frame)
            if frame[0] != _DATA:
                self._keepalive(frame)
            elif self._streaming is not None and frame[_HEADER] in _SPOOLED:
                self._spool.append(self._streaming, frame[_HEADER:])
            else:
                message = decode(frame, _HEADER)
                if type(message) is RowMessage:
                    self._row(message, len(frame))
                else:
                    self._other(message)
        return taken

    def _row(self, row: RowMessage, size: int) -> None:
        self._ordinal += 1
        if self._ordinal <= self._skip or row.shape is None:
            return
        self._bytes += size
        change = RawChange(
            row.shape.relation,
            row.operation,
            row.values,
            self._prefix + format(self._ordinal, "08X"),
            self._at,
            row.old,
            self._echo,
            self._label,
        )
        if size > LARGE:
            change.large = True
        self._changes.append(change)

    def _illegible(self, message: Illegible) -> None:
        """Set aside by its row: everything else goes on."""
        self._ordinal += 1
        if self._ordinal <= self._skip:
            return
        place = f"{lsn_text(self._final)} #{self._ordinal}"
        reason = f"{place}: a text in it is not valid UTF-8 (the database's encoding does not ask for it)"
        position = self._prefix + format(self._ordinal, "08X")
        kept = Undecoded(reason, None, message.message)
        self._bytes += len(message.message)
        self._changes.append(
            RawChange(message.relation, "update", message.key, position, None, place=place, undecoded=kept)
        )

    def _other(self, message: object) -> None:
        match message:
            case Begin(final_lsn, at, xid):
                self._begin(final_lsn, at, xid)
            case Commit(_, end_lsn, _):
                self._finish(end_lsn)
            case Announcement():
                self._announce(message)
            case Truncate():
                self._truncate(message)
            case Illegible():
                self._illegible(message)
            case LogicalMessage(transactional=True, prefix=prefix) if prefix in self._marks.prefixes:
                self._mark(message.content)
            case StreamStart(xid, _):
                self._streaming = xid
            case StreamStop():
                self._streaming = None
            case StreamAbort(xid, subxid):
                self._spool.abort(xid, subxid)
            case StreamCommit(xid, final_lsn, _, at):
                self._begin(final_lsn, at, xid)
                self._replay, self._replayed = self._spool.replay(xid), message
            case Prepared() | RolledBackPrepared():
                raise EnvironmentUnfit(
                    f"{self._system}: the replication slot decodes two-phase transactions at PREPARE",
                    suggestion="let Fieldwarden create its own slot, or create one without two_phase",
                )

    def _mark(self, content: bytes) -> None:
        """Believe a mark that is ours. One that is not decides nothing, and its transaction is told of once: not again
        if the part of it that holds the mark was handed over before."""
        verdict = self._marks.judge(content, self._xid, self._at, self._final)
        if verdict == "ours":
            self._echo = True
        elif verdict == "forged" and not self._doubtful and self._ordinal >= self._skip:
            self._doubtful = True
            self.forged = self.forged.and_one_more(self._prefix, self._label, self._at)

    def _announce(self, message: Announcement) -> None:
        """What a table looked like before its rows were read anew does not matter: they are newer."""
        try:
            self._decoder.announce(message)
        except SchemaDrift:
            if f"{message.schema}.{message.name}" not in self._anew or self._final > self._read_anew:
                raise
            self._decoder.shapes[message.oid] = None

    def _begin(self, final_lsn: int, at: int, xid: int) -> None:
        if at > _LATEST:
            raise DecodeError("a transaction's commit time is beyond all bounds")
        start = self._position
        self._in_transaction = True
        self._final, self._at, self._xid, self._ordinal = final_lsn, at, xid, 0
        self._echo = self._doubtful = False
        self._prefix = row_prefix(start.baseline, final_lsn)
        self._label = f"{self._system} xid {xid}"
        if final_lsn < start.end:
            self._skip = _EVERY
        else:
            self._skip = start.ordinal if final_lsn == start.final else 0

    def _finish(self, end_lsn: int) -> None:
        self._in_transaction = False
        self._end = max(self._end, end_lsn)

    def _replay_one(self) -> int:
        assert self._replay is not None
        assert self._replayed is not None
        payload = next(self._replay, None)
        if payload is None:
            self._spool.forget(self._replayed.xid)
            self._finish(self._replayed.end_lsn)
            self._replay = None
            return 0
        message = self._decoder.decode(payload, streamed=True)
        if type(message) is RowMessage:
            self._row(message, len(payload))
        else:
            self._other(message)
        return len(payload)

    def _truncate(self, message: Truncate) -> None:
        for oid in message.oids:
            self._row(RowMessage(self._decoder.shapes.get(oid), "truncate", (), None, message.xid), 0)

    def _keepalive(self, frame: Payload) -> None:
        """Between transactions, the server has nothing for us before its WAL end."""
        if not self._in_transaction:
            (end,) = _wal_end(frame, 1)
            self._end = max(self._end, end)
