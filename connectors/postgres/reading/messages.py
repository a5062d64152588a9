"""pgoutput's messages but for the rows: what each says, and its reader.

    v1  B C O R Y T M     v2 (PG 14)  S E c A     v3 (PG 15)  b P K r p     v4 (PG 16)  A with its LSN

Inside a stream (between S and E) R Y T M carry a transaction id after the kind byte. LSNs are integers, times
microseconds since 1970 UTC. Source: PostgreSQL documentation, "Logical Replication Message Formats".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from fieldwarden.engine.errors import DecodeError

EPOCH_MICROS = 946_684_800_000_000
"""2000-01-01 UTC, PostgreSQL's epoch, in microseconds since 1970."""

_u16 = struct.Struct(">H").unpack_from
_u32 = struct.Struct(">I").unpack_from
_begin = struct.Struct(">QqI").unpack_from
_commit = struct.Struct(">BQQq").unpack_from
_stream_commit = struct.Struct(">IBQQq").unpack_from
_message = struct.Struct(">BQ").unpack_from
_column_type = struct.Struct(">Ii").unpack_from
_abort = struct.Struct(">II").unpack_from
_abort_at = struct.Struct(">Qq").unpack_from
_prepared = struct.Struct(">QQqI").unpack_from
_rollback = struct.Struct(">BQQqqI").unpack_from


class Begin(NamedTuple):
    final_lsn: int
    at: int
    xid: int


class Commit(NamedTuple):
    final_lsn: int
    end_lsn: int
    at: int


class Origin(NamedTuple):
    lsn: int
    name: str


class Column(NamedTuple):
    name: str
    key: bool
    type: int
    modifier: int


class Announcement(NamedTuple):
    """An R message: the relation's shape from here on. `identity`: d default, i index, f full, n nothing."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[Column, ...]
    xid: int


class TypeName(NamedTuple):
    oid: int
    schema: str
    name: str
    xid: int


class Truncate(NamedTuple):
    oids: tuple[int, ...]
    cascade: bool
    restart_identity: bool
    xid: int


class LogicalMessage(NamedTuple):
    transactional: bool
    lsn: int
    prefix: str
    content: bytes
    xid: int


class StreamStart(NamedTuple):
    xid: int
    first: bool


class StreamStop(NamedTuple):
    pass


class StreamCommit(NamedTuple):
    xid: int
    final_lsn: int
    end_lsn: int
    at: int


class StreamAbort(NamedTuple):
    """`subxid` equals `xid` when all of the transaction is aborted. LSN and time only with parallel streaming."""

    xid: int
    subxid: int
    lsn: int | None
    at: int | None


class Prepared(NamedTuple):
    """b, P, K or p: one step of a two-phase transaction (`step` is the kind's letter)."""

    step: str
    lsn: int
    end_lsn: int
    at: int
    xid: int
    gid: str


class RolledBackPrepared(NamedTuple):
    prepare_end_lsn: int
    end_lsn: int
    prepared_at: int
    at: int
    xid: int
    gid: str


Plain: TypeAlias = (
    Begin
    | Commit
    | Origin
    | Announcement
    | TypeName
    | Truncate
    | LogicalMessage
    | StreamStart
    | StreamStop
    | StreamCommit
    | StreamAbort
    | Prepared
    | RolledBackPrepared
)


def expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise DecodeError(f"malformed pgoutput message: {otherwise}")


# --- one reader per kind; each raises struct.error, IndexError or ValueError on truncated bytes -----------------


def _string(data: bytes, pos: int) -> tuple[str, int]:
    end = data.index(0, pos)
    return data[pos:end].decode(), end + 1


def _xid(data: bytes, pos: int, streamed: bool) -> tuple[int, int]:
    return (_u32(data, pos)[0], pos + 4) if streamed else (0, pos)


def _read_begin(data: bytes, pos: int, _: bool) -> Begin:
    final_lsn, at, xid = _begin(data, pos + 1)
    return Begin(final_lsn, at + EPOCH_MICROS, xid)


def _read_commit(data: bytes, pos: int, _: bool) -> Commit:
    _flags, final_lsn, end_lsn, at = _commit(data, pos + 1)
    return Commit(final_lsn, end_lsn, at + EPOCH_MICROS)


def _read_origin(data: bytes, pos: int, _: bool) -> Origin:
    lsn = int.from_bytes(data[pos + 1 : pos + 9], "big")
    return Origin(lsn, _string(data, pos + 9)[0])


def _read_relation(data: bytes, pos: int, streamed: bool) -> Announcement:
    xid, pos = _xid(data, pos + 1, streamed)
    (oid,) = _u32(data, pos)
    schema, pos = _string(data, pos + 4)
    name, pos = _string(data, pos)
    identity = data[pos : pos + 1].decode()
    (count,) = _u16(data, pos + 1)
    pos += 3
    columns = []
    for _ in range(count):
        flags = data[pos]
        column, pos = _string(data, pos + 1)
        type_oid, modifier = _column_type(data, pos)
        pos += 8
        columns.append(Column(column, bool(flags & 1), type_oid, modifier))
    expect(pos == len(data), "the relation does not end with the message")
    # The catalogue's own schema is sent as an empty name.
    return Announcement(oid, schema or "pg_catalog", name, identity, tuple(columns), xid)


def _read_type(data: bytes, pos: int, streamed: bool) -> TypeName:
    xid, pos = _xid(data, pos + 1, streamed)
    (oid,) = _u32(data, pos)
    schema, pos = _string(data, pos + 4)
    return TypeName(oid, schema or "pg_catalog", _string(data, pos)[0], xid)


def _read_truncate(data: bytes, pos: int, streamed: bool) -> Truncate:
    xid, pos = _xid(data, pos + 1, streamed)
    (count,) = _u32(data, pos)
    options = data[pos + 4]
    expect(len(data) == pos + 5 + 4 * count, "a truncate of another number of relations than it says")
    oids = struct.unpack_from(f">{count}I", data, pos + 5)
    return Truncate(oids, bool(options & 1), bool(options & 2), xid)


def _read_message(data: bytes, pos: int, streamed: bool) -> LogicalMessage:
    xid, pos = _xid(data, pos + 1, streamed)
    flags, lsn = _message(data, pos)
    prefix, pos = _string(data, pos + 9)
    (size,) = _u32(data, pos)
    expect(len(data) == pos + 4 + size, "a logical message of another length than it says")
    return LogicalMessage(bool(flags & 1), lsn, prefix, data[pos + 4 :], xid)


def _read_stream_start(data: bytes, pos: int, _: bool) -> StreamStart:
    return StreamStart(_u32(data, pos + 1)[0], bool(data[pos + 5]))


def _read_stream_stop(_data: bytes, _pos: int, _: bool) -> StreamStop:
    return StreamStop()


def _read_stream_commit(data: bytes, pos: int, _: bool) -> StreamCommit:
    xid, _flags, final_lsn, end_lsn, at = _stream_commit(data, pos + 1)
    return StreamCommit(xid, final_lsn, end_lsn, at + EPOCH_MICROS)


def _read_stream_abort(data: bytes, pos: int, _: bool) -> StreamAbort:
    xid, subxid = _abort(data, pos + 1)
    if len(data) == pos + 9:
        return StreamAbort(xid, subxid, None, None)
    lsn, at = _abort_at(data, pos + 9)
    return StreamAbort(xid, subxid, lsn, at + EPOCH_MICROS)


def _read_prepared(data: bytes, pos: int, _: bool) -> Prepared:
    step = chr(data[pos])
    pos += 1 if step == "b" else 2
    lsn, end_lsn, at, xid = _prepared(data, pos)
    return Prepared(step, lsn, end_lsn, at + EPOCH_MICROS, xid, _string(data, pos + 28)[0])


def _read_rolled_back(data: bytes, pos: int, _: bool) -> RolledBackPrepared:
    _flags, prepare_end, end, prepared_at, at, xid = _rollback(data, pos + 1)
    gid = _string(data, pos + 38)[0]
    return RolledBackPrepared(prepare_end, end, prepared_at + EPOCH_MICROS, at + EPOCH_MICROS, xid, gid)


READERS: dict[str, Callable[[bytes, int, bool], Plain]] = {
    "B": _read_begin,
    "C": _read_commit,
    "O": _read_origin,
    "R": _read_relation,
    "Y": _read_type,
    "T": _read_truncate,
    "M": _read_message,
    "S": _read_stream_start,
    "E": _read_stream_stop,
    "c": _read_stream_commit,
    "A": _read_stream_abort,
    "b": _read_prepared,
    "P": _read_prepared,
    "K": _read_prepared,
    "p": _read_prepared,
    "r": _read_rolled_back,
}
