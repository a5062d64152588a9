"""The pgoutput wire format, protocols 1 to 4, decoded purely: bytes in, messages out, no I/O.

    v1  B C O R Y I U D T M     v2 (PG 14)  S E c A     v3 (PG 15)  b P K r p     v4 (PG 16)  A with its LSN

Inside a stream (between S and E) R Y I U D T M carry a transaction id after the kind byte. A row is decoded only
in the columns its stream wants: `Decoder.announce` folds each R message into a `Shape`, whose masks say column by
column what to do, so that a change costs one pass over its bytes. Whatever is wrong with the bytes is a
`DecodeError`, never another exception.

Source: PostgreSQL documentation, "Logical Replication Message Formats".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from engine.change import Operation, Relation
from engine.errors import EngineError, SchemaDrift
from rules.values import UNKNOWN, RawValue

EPOCH_MICROS = 946_684_800_000_000
"""2000-01-01 UTC, PostgreSQL's epoch, in microseconds since 1970."""

SKIP, TEXT, PADDED, ABSENT = range(4)
"""What to do with one wire column: leave out, take, take without trailing blanks, say UNKNOWN."""

BPCHAR = 1042

_FIRST_USER_OID = 16384

_INSERT, _UPDATE, _DELETE = b"IUD"
_NEW, _OLD_KEY, _OLD_ROW = b"NKO"
_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"

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


class DecodeError(EngineError):
    """Bytes that are not what the protocol says: a bug here or there, never guessed around."""

    code = "decode"


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


class Row(NamedTuple):
    """One row change. `shape` is None, and values empty, for a relation that no stream wants.

    `old` is set for an update whose key changed; a delete's key is in `values`.
    """

    shape: Shape | None
    operation: Operation
    values: tuple[RawValue, ...]
    old: tuple[RawValue, ...] | None
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


Message: TypeAlias = (
    Begin
    | Commit
    | Origin
    | Announcement
    | TypeName
    | Row
    | Truncate
    | LogicalMessage
    | StreamStart
    | StreamStop
    | StreamCommit
    | StreamAbort
    | Prepared
    | RolledBackPrepared
)


class Wanted(NamedTuple):
    """What one stream reads of its table: the key's columns, and every column (the key's among them)."""

    stream: str
    key: tuple[str, ...]
    columns: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """How to read the rows of one relation as last announced.

    `mask` is for new rows, `key_mask` for old ones, one code per wire column; `key` are the key's places in the
    values. `announced` is the R message it was made from.
    """

    relation: Relation
    mask: tuple[int, ...]
    key_mask: tuple[int, ...]
    key: tuple[int, ...]
    announced: Announcement


class Decoder:
    """Decodes one connection's messages. Holds the relation cache, which lives as long as the connection.

    `wanted` is keyed by "schema.table"; `types` maps type OIDs to portable names (`rules.expressions.COLUMN_TYPES`).
    `unknown_types` gathers those of wanted columns that were not in it: made since the catalogue was read.
    """

    def __init__(self, wanted: Mapping[str, Wanted], types: Mapping[int, str]) -> None:
        self._wanted = wanted
        self._types = types
        self.shapes: dict[int, Shape | None] = {}
        self.unknown_types: set[int] = set()
        self._readers: dict[int, Callable[[bytes, int, bool], Message]] = {
            ord(kind): reader
            for kind, reader in (
                ("B", _read_begin),
                ("C", _read_commit),
                ("O", _read_origin),
                ("R", _read_relation),
                ("Y", _read_type),
                ("I", self._read_row),
                ("U", self._read_row),
                ("D", self._read_row),
                ("T", _read_truncate),
                ("M", _read_message),
                ("S", _read_stream_start),
                ("E", _read_stream_stop),
                ("c", _read_stream_commit),
                ("A", _read_stream_abort),
                ("b", _read_prepared),
                ("P", _read_prepared),
                ("K", _read_prepared),
                ("p", _read_prepared),
                ("r", _read_rolled_back),
            )
        }

    def decode(self, data: bytes, start: int = 0, *, streamed: bool = False) -> Message:
        """The message that begins at `data[start]` and ends with the data. Raises DecodeError.

        `streamed`: the message stands inside a stream, where row and schema messages carry a transaction id."""
        try:
            return self._readers[data[start]](data, start, streamed)
        except KeyError:
            raise DecodeError(f"unknown pgoutput message kind {data[start : start + 1]!r}") from None
        except (struct.error, IndexError, ValueError) as error:
            kind = data[start : start + 1]
            raise DecodeError(f"malformed pgoutput message {kind!r} of {len(data) - start} bytes: {error}") from error

    def announce(self, message: Announcement) -> Shape | None:
        """Take in an R message. None if no stream wants the relation; raises SchemaDrift if it lost something."""
        wanted = self._wanted.get(f"{message.schema}.{message.name}")
        if wanted is None:
            self.shapes[message.oid] = None
            return None
        known = self.shapes.get(message.oid)
        if known is None or known.announced[:5] != message[:5]:
            known = self.shapes[message.oid] = _shape(message, wanted, self._types)
            self.unknown_types |= {
                column.type
                for column in message.columns
                if column.name in wanted.columns and column.type not in self._types and column.type >= _FIRST_USER_OID
            }
        return known

    def _read_row(self, data: bytes, pos: int, streamed: bool) -> Row:
        kind = data[pos]
        pos += 1
        xid = 0
        if streamed:
            (xid,) = _u32(data, pos)
            pos += 4
        (oid,) = _u32(data, pos)
        try:
            shape = self.shapes[oid]
        except KeyError:
            raise DecodeError(f"a row of relation {oid}, which was never announced") from None
        pos += 4
        if kind == _INSERT:
            if shape is None:
                return Row(None, "insert", (), None, xid)
            _expect(data[pos] == _NEW, "an insert without its new row")
            values, pos = _read_tuple(data, pos + 1, shape.mask)
            _expect(pos == len(data), "the row does not end with the message")
            return Row(shape, "insert", tuple(values), None, xid)
        if kind == _UPDATE:
            return _read_update(data, pos, shape, xid)
        if shape is None:
            return Row(None, "delete", (), None, xid)
        _expect(data[pos] in (_OLD_KEY, _OLD_ROW), "a delete without its old row")
        values, pos = _read_tuple(data, pos + 1, shape.key_mask)
        _expect(pos == len(data), "the row does not end with the message")
        return Row(shape, "delete", tuple(values), None, xid)


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise DecodeError(f"malformed pgoutput message: {otherwise}")


def _read_tuple(data: bytes, pos: int, mask: tuple[int, ...]) -> tuple[list[RawValue], int]:
    (count,) = _u16(data, pos)
    if count != len(mask):
        raise DecodeError(f"a row of {count} columns where {len(mask)} were announced")
    pos += 2
    values: list[RawValue] = []
    for code in mask:
        kind = data[pos]
        if kind == _TEXT:
            start = pos + 5
            pos = start + _u32(data, pos + 1)[0]
            if code == TEXT:
                values.append(data[start:pos].decode())
            elif code == PADDED:
                values.append(data[start:pos].decode().rstrip(" "))
            elif code == ABSENT:
                values.append(UNKNOWN)
            continue
        if kind == _BINARY:
            _expect(code in (SKIP, ABSENT), "a binary value, which was not asked for")
            pos += 4 + _u32(data, pos + 1)[0]
        elif kind != _NULL and kind != _UNCHANGED:
            raise DecodeError(f"unknown kind {kind} of a column's value")
        pos += 1
        if code != SKIP:
            values.append(None if kind == _NULL and code != ABSENT else UNKNOWN)
    return values, pos


def _read_update(data: bytes, pos: int, shape: Shape | None, xid: int) -> Row:
    """The old row, if any, tells the old key, and what an unchanged TOAST value was (REPLICA IDENTITY FULL)."""
    if shape is None:
        return Row(None, "update", (), None, xid)
    old: list[RawValue] | None = None
    identity, before = data[pos], pos + 1
    if identity in (_OLD_KEY, _OLD_ROW):
        old, pos = _read_tuple(data, before, shape.key_mask)
    _expect(data[pos] == _NEW, "an update without its new row")
    values, pos = _read_tuple(data, pos + 1, shape.mask)
    _expect(pos == len(data), "the row does not end with the message")
    if old is None:
        return Row(shape, "update", tuple(values), None, xid)
    if UNKNOWN in values:
        whole = _read_tuple(data, before, shape.mask)[0] if identity == _OLD_ROW else old
        values = [was if value is UNKNOWN else value for value, was in zip(values, whole, strict=True)]
    rekeyed = any(old[place] != values[place] for place in shape.key)
    return Row(shape, "update", tuple(values), tuple(old) if rekeyed else None, xid)


def _shape(message: Announcement, wanted: Wanted, types: Mapping[int, str]) -> Shape:
    present = {column.name: column for column in message.columns}
    for name in sorted(wanted.columns):
        if name not in present:
            raise SchemaDrift(
                f"{wanted.stream} has no column {name} any more, or it is not published",
                suggestion=f"bring the column back, or mend the mapping of {wanted.stream}",
                path=f"{wanted.stream}.{name}",
            )
    if message.identity != "f":
        for name in wanted.key:
            if not present[name].key:
                raise SchemaDrift(
                    f"{wanted.stream}: the replica identity does not cover the key column {name}",
                    suggestion=f"make {', '.join(wanted.key)} the primary key or the replica identity",
                    path=f"{wanted.stream}.{name}",
                )
    taken = [column for column in message.columns if column.name in wanted.columns]
    names = tuple(column.name for column in taken)
    relation = Relation(wanted.stream, names, tuple(types.get(column.type, "other") for column in taken))
    return Shape(
        relation,
        tuple(_take(column) if column.name in wanted.columns else SKIP for column in message.columns),
        tuple(
            _take(column) if column.name in wanted.key else ABSENT if column.name in wanted.columns else SKIP
            for column in message.columns
        ),
        tuple(names.index(name) for name in wanted.key),
        message,
    )


def _take(column: Column) -> int:
    return PADDED if column.type == BPCHAR else TEXT


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
    _expect(pos == len(data), "the relation does not end with the message")
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
    _expect(len(data) == pos + 5 + 4 * count, "a truncate of another number of relations than it says")
    oids = struct.unpack_from(f">{count}I", data, pos + 5)
    return Truncate(oids, bool(options & 1), bool(options & 2), xid)


def _read_message(data: bytes, pos: int, streamed: bool) -> LogicalMessage:
    xid, pos = _xid(data, pos + 1, streamed)
    flags, lsn = _message(data, pos)
    prefix, pos = _string(data, pos + 9)
    (size,) = _u32(data, pos)
    _expect(len(data) == pos + 4 + size, "a logical message of another length than it says")
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
