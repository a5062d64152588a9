"""pgoutput messages written by hand, byte by byte, from the protocol's documentation."""

from __future__ import annotations

import struct

from fieldwarden.connectors.postgres.reading.messages import EPOCH_MICROS
from fieldwarden.connectors.postgres.reading.pgoutput import Decoder
from fieldwarden.engine.wanted import Wanted

UNCHANGED = object()
ACCOUNT = 16400
WANTED = {"public.account": Wanted("public.account", ("id",), frozenset({"id", "name", "code"}))}
TYPES = {23: "integer", 25: "text", 1042: "text", 1700: "numeric"}


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def tuple_(*values: object, binary: bool = False) -> bytes:
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif value is UNCHANGED:
            parts.append(b"u")
        else:
            data = str(value).encode()
            parts.append((b"b" if binary else b"t") + struct.pack(">I", len(data)) + data)
    return b"".join(parts)


def relation(
    *columns: tuple[str, int, bool], oid: int = ACCOUNT, name: str = "account", identity: bytes = b"d", xid: int = 0
) -> bytes:
    columns = columns or (("id", 23, True), ("secret", 25, False), ("name", 25, False), ("code", 1042, False))
    body = b"".join(
        struct.pack(">B", key) + text(column) + struct.pack(">Ii", oid_, -1) for column, oid_, key in columns
    )
    head = struct.pack(">I", oid) + text("public") + text(name) + identity + struct.pack(">H", len(columns))
    return b"R" + in_stream(xid) + head + body


def in_stream(xid: int) -> bytes:
    return struct.pack(">I", xid) if xid else b""


def begin(final: int, xid: int = 7, at: int = 1_700_000_000_000_000) -> bytes:
    return b"B" + struct.pack(">QqI", final, at - EPOCH_MICROS, xid)


def commit(final: int, end: int, at: int = 1_700_000_000_000_000) -> bytes:
    return b"C" + struct.pack(">BQQq", 0, final, end, at - EPOCH_MICROS)


def insert(*values: object, oid: int = ACCOUNT, xid: int = 0) -> bytes:
    return b"I" + in_stream(xid) + struct.pack(">I", oid) + b"N" + tuple_(*values)


def update(*values: object, old: tuple[object, ...] | None = None, kind: bytes = b"K", xid: int = 0) -> bytes:
    before = kind + tuple_(*old) if old is not None else b""
    return b"U" + in_stream(xid) + struct.pack(">I", ACCOUNT) + before + b"N" + tuple_(*values)


def delete(*values: object, kind: bytes = b"K", xid: int = 0) -> bytes:
    return b"D" + in_stream(xid) + struct.pack(">I", ACCOUNT) + kind + tuple_(*values)


def truncate(*oids: int, options: int = 0, xid: int = 0) -> bytes:
    return b"T" + in_stream(xid) + struct.pack(f">IB{len(oids)}I", len(oids), options, *oids)


def message(prefix: str, content: bytes, *, transactional: bool = True, xid: int = 0) -> bytes:
    flags = struct.pack(">BQ", transactional, 5)
    return b"M" + in_stream(xid) + flags + text(prefix) + struct.pack(">I", len(content)) + content


def stream_start(xid: int, first: bool = True) -> bytes:
    return b"S" + struct.pack(">IB", xid, first)


def stream_commit(xid: int, final: int, end: int, at: int = 1_700_000_000_000_000) -> bytes:
    return b"c" + struct.pack(">IBQQq", xid, 0, final, end, at - EPOCH_MICROS)


def stream_abort(xid: int, subxid: int) -> bytes:
    return b"A" + struct.pack(">II", xid, subxid)


def frame(payload: bytes, lsn: int = 1) -> bytes:
    return b"w" + struct.pack(">QQq", lsn, lsn, 0) + payload


def keepalive(end: int, reply: bool = False) -> bytes:
    return b"k" + struct.pack(">QqB", end, 0, reply)


def decoder() -> Decoder:
    return Decoder(WANTED, TYPES)


def announced() -> Decoder:
    """A decoder that knows `account`: id (the key), secret (unwanted), name, code (bpchar)."""
    made = decoder()
    made.announce(made.decode(relation()))  # type: ignore[arg-type]
    return made
