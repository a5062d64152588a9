"""A proxy in front of a PostgreSQL server that can make a COMMIT's outcome unknown.

It speaks just enough of the protocol to find a session's application_name and its COMMIT statements. A session that it
is told to cut loses its connection either before the server sees the COMMIT, or after the server has carried it out
and before the client hears of it. To the client both look the same.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

When = Literal["before", "after"]
"""Before the server commits, or after it."""


class CommitCutter:
    """Cuts the sessions whose application_name begins with `whose`, at each of their COMMITs for which `choose`,
    called with their number from 1, says when."""

    def __init__(self, dsn: str, whose: str, choose: Callable[[int], When | None]) -> None:
        given = conninfo_to_dict(dsn)
        self._server = f"{given['host']}/.s.PGSQL.{given['port']}"
        self._dsn = dsn
        self._whose = whose.encode()
        self._choose = choose
        self._lock = threading.Lock()
        self._commits = 0
        self.cut = 0
        """Sessions cut so far."""

    @contextlib.contextmanager
    def listening(self) -> Iterator[str]:
        """The DSN that leads through here. Sessions still open at the end are closed."""
        with tempfile.TemporaryDirectory(prefix="fw-proxy-") as folder, contextlib.ExitStack() as stack:
            Path(folder).chmod(0o755)
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(f"{folder}/.s.PGSQL.5432")
            listener.listen()
            threading.Thread(target=self._accept, args=(listener, stack), daemon=True).start()
            yield make_conninfo(self._dsn, host=folder, port=5432)
            listener.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket, stack: contextlib.ExitStack) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self._server)
                except OSError:
                    client.close()
                    continue
                for end in (client, server):
                    stack.callback(_hang_up, end)
                session = _Session(self, client, server)
                for work in (session.requests, session.answers):
                    threading.Thread(target=work, daemon=True).start()

    def verdict(self, startup: bytes) -> When | None:
        """What to do at a COMMIT of the session that began with this packet."""
        name = startup.partition(b"application_name\0")[2].partition(b"\0")[0]
        if not name.startswith(self._whose):
            return None
        with self._lock:
            self._commits += 1
            when = self._choose(self._commits)
            self.cut += when is not None
            return when


class _Session:
    """One client's connection: two threads that copy bytes, whole messages on the client's side."""

    def __init__(self, cutter: CommitCutter, client: socket.socket, server: socket.socket) -> None:
        self._cutter = cutter
        self._client = client
        self._server = server
        self._mute = threading.Event()

    def requests(self) -> None:
        with contextlib.suppress(OSError), self._client.makefile("rb") as stream:
            startup = self._startup(stream.read)
            while kind := stream.read(1):
                length = stream.read(4)
                body = stream.read(struct.unpack("!I", length)[0] - 4)
                if kind in b"QP" and b"commit" in body.lower().split(b"\0"):
                    when = self._cutter.verdict(startup)
                    if when == "before":
                        break
                    if when == "after":
                        self._mute.set()
                self._server.sendall(kind + length + body)
        self._end()

    def _startup(self, read: Callable[[int], bytes]) -> bytes:
        length = read(4)
        body = read(struct.unpack("!I", length)[0] - 4)
        self._server.sendall(length + body)
        return body

    def answers(self) -> None:
        """Whatever the server answers to a COMMIT that is to be cut, nobody hears; it means that it is done."""
        with contextlib.suppress(OSError):
            while data := self._server.recv(65536):
                if self._mute.is_set():
                    break
                self._client.sendall(data)
        self._end()

    def _end(self) -> None:
        for end in (self._client, self._server):
            _hang_up(end)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
