"""The one HTTP server of a process: asynchronous, bounded, on a thread and an event loop of its own.

    accept -> read the request's head -> ask `answering` -> send -> the same connection again, or close

It shares no loop with the engine: what the engine does for seconds holds up no answer (which says so: `Health.live`),
and whoever asks a thousand times a second holds up no batch. The protocol is h11's; what is here is what a stranger
may cost. Every connection has a deadline for each thing it does, every buffer a size. There is room for `Bounds.
connections`; one more takes the place of the one that has waited longest for its peer, so that peers which say nothing,
one letter a second, or never read, keep nobody out: a true request is answered in milliseconds, long before it is the
oldest.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import h11
import structlog

from fieldwarden.engine.bugs import bug_of
from fieldwarden.engine.errors import EnvironmentUnfit

log = structlog.get_logger("fieldwarden.http")

_PIECE = 4096
_BACKLOG = 128
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process spends on whoever connects. Seconds, bytes, numbers."""

    connections: int = 64
    request: float = 5.0
    """From a request's first byte (of a connection's first one: from its opening) to the end of its head."""
    idle: float = 30.0
    """Between two requests of one connection."""
    answer: float = 10.0
    head: int = 16 * 1024
    requests: int = 1000
    """On one connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """`path` without its query; names of headers in lower case, the last of a name counts."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Sequence[tuple[str, str]] = field(default=())


Answering = Callable[[Request], Answer]
"""Called on the server's thread, for one request at a time."""


@contextlib.contextmanager
def serving(answering: Answering, host: str, port: int, bounds: Bounds | None = None) -> Iterator[str]:
    """Serve while the context lasts; yields the base URL (with `port` 0, of the port that was free).

    Raises EnvironmentUnfit where the port cannot be had."""
    listening = _listening(host, port)
    server = _Server(answering, listening, bounds or Bounds())
    thread = threading.Thread(target=server.work, name="http", daemon=True)
    thread.start()
    try:
        bound_host, bound_port = listening.getsockname()[:2]
        yield f"http://[{bound_host}]:{bound_port}" if ":" in bound_host else f"http://{bound_host}:{bound_port}"
    finally:
        server.end()
        thread.join()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        raise EnvironmentUnfit(
            f"the port {port} on {host} is taken" if taken else f"cannot listen on {host}:{port}",
            suggestion="another `fieldwarden run` may hold it; choose one with --port or `run: {port: ...}`",
            path=f"{host}:{port}",
        ) from error


class _Server:
    """All connections, those first that have waited longest for their peer."""

    def __init__(self, answering: Answering, listening: socket.socket, bounds: Bounds) -> None:
        self.answering = answering
        self.bounds = bounds
        self._listening = listening
        self._connections: dict[_Connection, None] = {}
        self._ending = threading.Event()
        self._wake: Callable[[], object] = lambda: None

    def work(self) -> None:
        """The thread: until `end` is called."""
        asyncio.run(self._main())

    def end(self) -> None:
        self._ending.set()
        with contextlib.suppress(RuntimeError):  # its loop may be gone already
            self._wake()

    async def _main(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(_tell)
        self._wake = lambda: loop.call_soon_threadsafe(stop.set)
        server = await asyncio.start_server(self._accepted, sock=self._listening, limit=self.bounds.head)
        if not self._ending.is_set():
            await stop.wait()
        server.close()
        for connection in list(self._connections):
            connection.drop()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self.bounds.connections:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.drop()
        connection = _Connection(self, reader, writer)
        self._connections[connection] = None
        try:
            await connection.serve()
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # the peer is gone, or was too slow, or we end: there is nobody to tell
        except Exception as error:
            _bug(error)
        finally:
            self._connections.pop(connection, None)
            connection.drop()

    def moved_on(self, connection: _Connection) -> None:
        """It begins to wait anew, and is the youngest again."""
        if connection in self._connections:
            del self._connections[connection]
            self._connections[connection] = None

    def answer(self, request: Request) -> Answer:
        try:
            return self.answering(request)
        except Exception as error:
            _bug(error)
            return Answer(500, b"a bug in Fieldwarden; its log names the place\n")


class _Connection:
    def __init__(self, server: _Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._bounds = server.bounds
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=server.bounds.head)
        writer.transport.set_write_buffer_limits(0)  # to drain is to have handed all to the kernel

    def drop(self) -> None:
        """Close it without a word, whatever it waits for."""
        self._writer.transport.abort()

    async def serve(self) -> None:
        """Request by request; a connection that pipelines them gets its answers in order, one at a time."""
        for number in range(self._bounds.requests):
            last = number + 1 == self._bounds.requests
            try:
                event = await self._head(fresh=number == 0)
                if event is None:
                    return
                await self._send(event.method == b"HEAD", self._answer(event), close=last)
            except h11.RemoteProtocolError as error:
                await self._refuse(error)
                return
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                break
            self._http.start_next_cycle()
            self._server.moved_on(self)
        await self._linger()

    async def _head(self, *, fresh: bool) -> h11.Request | None:
        """The next request; None: the peer has closed. Raises TimeoutError, RemoteProtocolError."""
        loop, begun = asyncio.get_running_loop(), fresh or bool(self._http.trailing_data[0])
        async with asyncio.timeout(self._bounds.request if begun else self._bounds.idle) as limit:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                piece = await self._reader.read(_PIECE)
                if not begun:
                    begun = True
                    limit.reschedule(loop.time() + self._bounds.request)
                self._http.receive_data(piece)
        return event if isinstance(event, h11.Request) else None

    def _answer(self, event: h11.Request) -> Answer:
        """Nobody here takes a body: a request that has one is not read any further."""
        if not isinstance(self._http.next_event(), h11.EndOfMessage):
            return Answer(413, b"a request with a body is not taken\n", headers=[("Connection", "close")])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        path = event.target.decode("latin-1").partition("?")[0]
        return self._server.answer(Request(event.method.decode("latin-1"), path, headers))

    async def _send(self, bare: bool, answer: Answer, *, close: bool) -> None:
        headers = [
            ("Date", formatdate(time.time(), usegmt=True)),
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *answer.headers,
            *([("Connection", "close")] if close else []),
        ]
        self._put(h11.Response(status_code=answer.status, headers=headers))
        if not bare:
            self._put(h11.Data(data=answer.body))
        self._put(h11.EndOfMessage())
        async with asyncio.timeout(self._bounds.answer):
            await self._writer.drain()

    def _put(self, event: Any) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send(
                False, Answer(error.error_status_hint, b"this is no request that can be read\n"), close=True
            )
            await self._linger()

    async def _linger(self) -> None:
        """Close once the peer has our answer: what it still sends, unread, would make its kernel throw that away."""
        with contextlib.suppress(OSError, TimeoutError):
            self._writer.write_eof()
            async with asyncio.timeout(_LINGER_SECONDS):
                for _ in range(_LINGER_BYTES // _PIECE):
                    if not await self._reader.read(_PIECE):
                        break


def _bug(error: BaseException) -> None:
    """In one line, and without the error's own text."""
    bug = bug_of(error)
    where = bug.places[-1] if bug.places else "an unknown place"
    log.error("http.bug", error=bug.kind, message=f"an unexpected {bug.kind} at {where}")


def _tell(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, BaseException):
        _bug(error)
    else:
        log.warning("http.trouble", message=str(context.get("message", "")))
