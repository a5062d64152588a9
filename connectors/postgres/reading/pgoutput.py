"""The pgoutput wire format, protocols 1 to 4, decoded purely: bytes in, messages out, no I/O.

A row is decoded only in the columns its stream wants: `Decoder.announce` folds each R message into a `RowLayout`, whose
masks say column by column what to do, so that a change costs one pass over its bytes. Inside a stream (between S
and E) rows carry a transaction id after the kind byte. Whatever is wrong with the bytes is a `DecodeError`, never
another exception: a frame that is passed over would be a change that is lost. Only a text that is not UTF-8 (which a
database in SQL_ASCII may hold) is one row's trouble, an `Illegible`.

Source: PostgreSQL documentation, "Logical Replication Message Formats".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from fieldwarden.connectors.postgres.reading.messages import READERS, Announcement, Column, Plain, expect
from fieldwarden.engine.change import Operation, Relation
from fieldwarden.engine.errors import DecodeError, SchemaDrift
from fieldwarden.engine.wanted import Wanted
from fieldwarden.rules.values import UNKNOWN, RawValue

SKIP, TEXT, PADDED, ABSENT = range(4)
"""What to do with one wire column: leave out, take, take without trailing blanks, say UNKNOWN."""

BPCHAR = 1042

_FIRST_USER_OID = 16384

_CHANGES = b"IUD"
_INSERT, _UPDATE, _DELETE = _CHANGES
_NEW, _OLD_KEY, _OLD_ROW = b"NKO"
_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"

_u16 = struct.Struct(">H").unpack_from
_u32 = struct.Struct(">I").unpack_from


class RowMessage(NamedTuple):
    """One row change. `shape` is None, and values empty, for a relation that no stream wants.

    `old` is set for an update whose key changed; a delete's key is in `values`.
    """

    shape: RowLayout | None
    operation: Operation
    values: tuple[RawValue, ...]
    old: tuple[RawValue, ...] | None
    xid: int


class Illegible(NamedTuple):
    """A row change of which some text is not UTF-8. `key` holds the columns of the row's key, UNKNOWN what cannot be
    read of it; `relation` is of these columns alone."""

    relation: Relation
    key: tuple[RawValue, ...]
    message: bytes


Message: TypeAlias = Plain | RowMessage | Illegible
Payload: TypeAlias = bytes | memoryview


@dataclass(frozen=True, slots=True, eq=False)
class RowLayout:
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
        self.shapes: dict[int, RowLayout | None] = {}
        self.unknown_types: set[int] = set()
        self._readers: dict[int, Callable[[Any, int, bool], Message]] = {
            **{ord(kind): reader for kind, reader in READERS.items()},
            **dict.fromkeys((_INSERT, _UPDATE, _DELETE), self._read_row),
        }

    def decode(self, data: Payload, start: int = 0, *, streamed: bool = False) -> Message:
        """The message that begins at `data[start]` and ends with the data. Raises DecodeError. Rows may come as a view.

        `streamed`: the message stands inside a stream, where row and schema messages carry a transaction id."""
        try:
            return self._readers[data[start]](data, start, streamed)
        except KeyError:
            raise DecodeError(f"unknown pgoutput message kind {bytes(data[start : start + 1])!r}") from None
        except UnicodeDecodeError as error:
            if data[start] not in _CHANGES:
                raise _malformed(data, start, error) from None
            try:
                return self._illegible(bytes(data[start:]), streamed)
            except (struct.error, IndexError) as other:
                raise _malformed(data, start, other) from None
        except DecodeError:
            raise
        except Exception as error:  # struct.error, IndexError, ValueError, or MemoryError: none of them may escape
            raise _malformed(data, start, error) from error

    def announce(self, message: Announcement) -> RowLayout | None:
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

    def _illegible(self, data: bytes, streamed: bool) -> RowMessage | Illegible:
        """A row whose lengths are right, but not its texts. Raises struct.error, IndexError, DecodeError."""
        pos = 5 if streamed else 1
        shape = self.shapes[_u32(data, pos)[0]]
        assert shape is not None, "of a relation that nobody wants no text is read"
        pos += 4
        texts: list[bytes | None] = []
        while pos < len(data):  # an update's old row, then its new one, which counts
            texts, pos = _raw_tuple(data, pos + 1)
        expect(pos == len(data), "the row does not end with the message")
        expect(len(texts) == len(shape.mask), "a row of another number of columns than was announced")
        wanted = self._wanted[f"{shape.announced.schema}.{shape.announced.name}"]
        columns = shape.announced.columns
        held = {column.name: _legible(text, column) for column, text in zip(columns, texts, strict=True)}
        relation = wanted.relation(wanted.key, ("text",) * len(wanted.key))
        return Illegible(relation, tuple(held[name] for name in wanted.key), data)

    def _read_row(self, data: Payload, pos: int, streamed: bool) -> RowMessage:
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
                return RowMessage(None, "insert", (), None, xid)
            expect(data[pos] == _NEW, "an insert without its new row")
            values, pos = _read_tuple(data, pos + 1, shape.mask)
            expect(pos == len(data), "the row does not end with the message")
            return RowMessage(shape, "insert", tuple(values), None, xid)
        if kind == _UPDATE:
            return _read_update(data, pos, shape, xid)
        if shape is None:
            return RowMessage(None, "delete", (), None, xid)
        expect(data[pos] in (_OLD_KEY, _OLD_ROW), "a delete without its old row")
        values, pos = _read_tuple(data, pos + 1, shape.key_mask)
        expect(pos == len(data), "the row does not end with the message")
        return RowMessage(shape, "delete", tuple(values), None, xid)


def _read_tuple(data: Payload, pos: int, mask: tuple[int, ...]) -> tuple[list[RawValue], int]:
    (count,) = _u16(data, pos)
    if count != len(mask):
        raise DecodeError(f"a row of {count} columns where {len(mask)} were announced")
    pos += 2
    decode: Callable[..., str] = _text if type(data) is memoryview else bytes.decode
    values: list[RawValue] = []
    for code in mask:
        kind = data[pos]
        if kind == _TEXT:
            start = pos + 5
            pos = start + _u32(data, pos + 1)[0]
            if code == TEXT:
                values.append(decode(data[start:pos]))
            elif code == PADDED:
                values.append(decode(data[start:pos]).rstrip(" "))
            elif code == ABSENT:
                values.append(UNKNOWN)
            continue
        if kind == _BINARY:
            expect(code in (SKIP, ABSENT), "a binary value, which was not asked for")
            pos += 4 + _u32(data, pos + 1)[0]
        elif kind != _NULL and kind != _UNCHANGED:
            raise DecodeError(f"unknown kind {kind} of a column's value")
        pos += 1
        if code != SKIP:
            values.append(None if kind == _NULL and code != ABSENT else UNKNOWN)
    return values, pos


def _raw_tuple(data: bytes, pos: int) -> tuple[list[bytes | None], int]:
    """The texts of a row as they came; None for what has none."""
    (count,) = _u16(data, pos)
    pos += 2
    texts: list[bytes | None] = []
    for _ in range(count):
        kind, start = data[pos], pos + 5
        pos = start + _u32(data, pos + 1)[0] if kind in (_TEXT, _BINARY) else pos + 1
        texts.append(data[start:pos] if kind == _TEXT else None)
    return texts, pos


def _legible(text: bytes | None, column: Column) -> RawValue:
    try:
        known = UNKNOWN if text is None else text.decode()
    except UnicodeDecodeError:
        return UNKNOWN
    return known.rstrip(" ") if isinstance(known, str) and _take(column) == PADDED else known


def _malformed(data: Payload, start: int, error: Exception) -> DecodeError:
    """What the error says may quote a row's bytes, so only its type is told."""
    kind, size = bytes(data[start : start + 1]), len(data) - start
    return DecodeError(f"malformed pgoutput message {kind!r} of {size} bytes ({type(error).__name__})")


def _text(data: memoryview) -> str:
    return str(data, "utf-8")


def _read_update(data: Payload, pos: int, shape: RowLayout | None, xid: int) -> RowMessage:
    """The old row, if any, tells the old key, and what an unchanged TOAST value was (REPLICA IDENTITY FULL)."""
    if shape is None:
        return RowMessage(None, "update", (), None, xid)
    old: list[RawValue] | None = None
    identity, before = data[pos], pos + 1
    if identity in (_OLD_KEY, _OLD_ROW):
        old, pos = _read_tuple(data, before, shape.key_mask)
    expect(data[pos] == _NEW, "an update without its new row")
    values, pos = _read_tuple(data, pos + 1, shape.mask)
    expect(pos == len(data), "the row does not end with the message")
    if old is None:
        return RowMessage(shape, "update", tuple(values), None, xid)
    if UNKNOWN in values:
        whole = _read_tuple(data, before, shape.mask)[0] if identity == _OLD_ROW else old
        values = [was if value is UNKNOWN else value for value, was in zip(values, whole, strict=True)]
    rekeyed = any(old[place] != values[place] for place in shape.key)
    return RowMessage(shape, "update", tuple(values), tuple(old) if rekeyed else None, xid)


def _shape(message: Announcement, wanted: Wanted, types: Mapping[int, str]) -> RowLayout:
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
    relation = wanted.relation(names, tuple(types.get(column.type, "other") for column in taken))
    return RowLayout(
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
