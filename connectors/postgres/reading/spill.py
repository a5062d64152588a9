"""Where a large transaction waits that the server streams before it knows whether it will commit.

Chunks of several transactions interleave, and a subtransaction may be aborted when its rows have long been sent, so
nothing may be handed over before the commit. The messages are kept as they came, in memory up to a bound shared by
all open transactions; past it the largest moves to an unnamed temporary file, which vanishes with the process.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from typing import IO

from fieldwarden.connectors.postgres.reading.pgoutput import Payload
from fieldwarden.engine.errors import TransientError

_OVERHEAD = 64
"""What one kept message costs besides its bytes."""

_WRITE_BUFFER = 1 << 18
_length = struct.Struct(">I")
_subtransaction = struct.Struct(">I").unpack_from
_ROWS = b"IUD"
_ALWAYS = b"RY"
"""Schema messages count also when their subtransaction was aborted: the server will not repeat all of them."""


class Spool:
    """The open streamed transactions of one connection."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[int, _Transaction] = {}
        self.memory = 0

    def __len__(self) -> int:
        """How many transactions are open."""
        return len(self._open)

    def append(self, xid: int, message: Payload) -> None:
        """Keep one message (from its kind byte on; a subtransaction's id follows it). Raises TransientError."""
        kept = self._open.get(xid)
        if kept is None:
            kept = self._open[xid] = _Transaction()
        kept.messages.append(message)
        size = len(message) + _OVERHEAD
        kept.memory += size
        self.memory += size
        if self.memory > self._limit:
            self._spill(max(self._open.values(), key=lambda transaction: transaction.memory))
        elif kept.file is not None and kept.memory > _WRITE_BUFFER:
            self._spill(kept)

    def abort(self, xid: int, subxid: int) -> None:
        if subxid == xid:
            self.forget(xid)
        elif xid in self._open:
            self._open[xid].aborted.add(subxid)

    def replay(self, xid: int) -> Iterator[Payload]:
        """The transaction's messages in order, without those of aborted subtransactions."""
        kept = self._open.get(xid)
        if kept is None:
            return
        aborted = kept.aborted
        for message in kept.read():
            if message[0] in _ALWAYS or not aborted or _subtransaction(message, 1)[0] not in aborted:
                yield message

    def forget(self, xid: int) -> None:
        kept = self._open.pop(xid, None)
        if kept is not None:
            self.memory -= kept.memory
            kept.close()

    def close(self) -> None:
        for xid in list(self._open):
            self.forget(xid)

    def _spill(self, kept: _Transaction) -> None:
        try:
            kept.write()
        except OSError as error:
            raise TransientError(
                f"a large transaction cannot be spilled to {tempfile.gettempdir()}: {error.strerror}",
                suggestion="free disk space there, or point TMPDIR elsewhere; nothing is lost, it is read again",
            ) from error
        self.memory -= kept.memory
        kept.memory = 0


class _Transaction:
    def __init__(self) -> None:
        self.messages: list[Payload] = []
        self.memory = 0
        self.aborted: set[int] = set()
        self.file: IO[bytes] | None = None

    def write(self) -> None:
        if self.file is None:
            self.file = tempfile.TemporaryFile(prefix="fieldwarden-")  # noqa: SIM115  (closed with the transaction)
        pack, parts = _length.pack, list[Payload]()
        for message in self.messages:
            parts.append(pack(len(message)))
            if len(message) > _WRITE_BUFFER:
                self.file.write(b"".join(parts))
                self.file.write(message)
                parts.clear()
            else:
                parts.append(message)
        self.file.write(b"".join(parts))
        self.file.flush()
        self.messages.clear()

    def read(self) -> Iterator[Payload]:
        if self.file is not None:
            self.file.seek(0)
            while header := self.file.read(4):
                message = self.file.read(_length.unpack(header)[0])
                yield memoryview(message) if len(message) > _WRITE_BUFFER and message[0] in _ROWS else message
        yield from self.messages

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
