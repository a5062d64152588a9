"""The one HTTP server of a process: asynchronous, bounded, on a thread and an event loop of its own.

    accept -> read a request's head -> ask `answering` [-> read its body -> ask again] -> send -> the next, or close

It shares no loop with the engine: what the engine does for seconds holds up no answer (which says so: `Health.live`),
and whoever asks a thousand times a second holds up no batch. The protocol is h11's; what is here is what a stranger
may cost. Every connection has a deadline for each thing it does, every buffer a size. There is room for `Bounds.
connections`; one more takes the place of the one that has waited longest for its peer, so that peers which say nothing,
one letter a second, or never read, keep nobody out: a true request is answered in milliseconds, long before it is the
oldest.

A body is read where `answering` says that it wants it, and as far as it wants it; whatever else comes with a body is
not read any further.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    body: float = 10.0
    """From a request's head to the end of its body."""
    bodies: int = 32 * 1024 * 1024
    """Of all connections together: past it, the one that has been sending one for the longest time is dropped."""
    head: int = 16 * 1024
    requests: int = 1000
    """On one connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """`path` without its `query`; names of headers in lower case, the last of a name counts."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Sequence[tuple[str, str]] = field(default=())
    bodiless: bool = True
    """It is for a request without a body, and another is told that none is taken."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The body is wanted, if it has at most `limit` bytes: `then` gives the answer. `otherwise` gives it where the body
    is larger (413), does not come to its end (408), or `then` meets a bug (500)."""

    limit: int
    then: Callable[[bytes], Awaitable[Answer]]
    otherwise: Callable[[int], Answer]


Answering = Callable[[Request], Answer | Wanted]
"""Called on the server's thread, for one request at a time."""

Beside = Callable[[], Coroutine[Any, Any, None]]
"""What goes on beside the answers, on the same loop, until it is cancelled."""


async def nothing() -> None:
    """Beside the answers."""


@contextlib.contextmanager
def serving(
    answering: Answering, host: str, port: int, bounds: Bounds | None = None, beside: Beside = nothing
) -> Iterator[str]:
    """Serve while the context lasts; yields the base URL (with `port` 0, of the port that was free).

    Raises EnvironmentUnfit where the port cannot be had."""
    listening = _listening(host, port)
    server = _Server(answering, listening, bounds or Bounds(), beside)
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


_OWN_BUG = Answer(500, b"a bug in Fieldwarden; its log names the place\n", bodiless=False)
_CLOSE = ("Connection", "close")


class _Server:
    """All connections, those first that have waited longest for their peer."""

    def __init__(self, answering: Answering, listening: socket.socket, bounds: Bounds, beside: Beside) -> None:
        self.answering = answering
        self.bounds = bounds
        self._listening = listening
        self._beside = beside
        self._connections: dict[_Connection, None] = {}
        self._bodies: dict[_Connection, int] = {}
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
        beside = asyncio.create_task(self._beside())
        server = await asyncio.start_server(self._accepted, sock=self._listening, limit=self.bounds.head)
        if not self._ending.is_set():
            await stop.wait()
        server.close()
        for connection in list(self._connections):
            connection.drop()
        beside.cancel()
        for error in await asyncio.gather(beside, return_exceptions=True):
            if isinstance(error, Exception):
                _bug(error)

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
            self._bodies.pop(connection, None)
            connection.drop()

    def holds(self, connection: _Connection, size: int) -> None:
        """So many bytes of a body are in memory; 0: none any more."""
        if not size:
            self._bodies.pop(connection, None)
            return
        self._bodies[connection] = size
        while len(self._bodies) > 1 and sum(self._bodies.values()) > self.bounds.bodies:
            oldest = next(each for each in self._bodies if each is not connection)
            del self._bodies[oldest]
            oldest.drop()

    def moved_on(self, connection: _Connection) -> None:
        """It begins to wait anew, and is the youngest again."""
        if connection in self._connections:
            del self._connections[connection]
            self._connections[connection] = None

    def answer(self, request: Request) -> Answer | Wanted:
        try:
            return self.answering(request)
        except Exception as error:
            _bug(error)
            return _last(_OWN_BUG)

    async def answer_to(self, wanted: Wanted, body: bytes) -> Answer:
        try:
            return await wanted.then(body)
        except Exception as error:
            _bug(error)
            return wanted.otherwise(500)


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
                await self._send(event.method == b"HEAD", await self._answer(event), close=last)
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

    async def _answer(self, event: h11.Request) -> Answer:
        """What is not wanted of a request is not read any further."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        path, _, query = event.target.decode("latin-1").partition("?")
        first = self._http.next_event()
        found = self._server.answer(Request(event.method.decode("latin-1"), path, headers, query))
        if isinstance(found, Wanted):
            return await self._answer_to_body(found, headers.get("content-length", "0"), first)
        if isinstance(first, h11.EndOfMessage):
            return found
        if found.bodiless:
            found = Answer(413, b"a request with a body is not taken\n")
        return _last(found)

    async def _answer_to_body(self, wanted: Wanted, declared: str, first: Any) -> Answer:
        if int(declared) > wanted.limit:  # h11 has let through nothing but digits
            return _last(wanted.otherwise(413))
        try:
            body = await self._body(wanted.limit, first)
        except TimeoutError:
            return _last(wanted.otherwise(408))
        if body is None:
            return _last(wanted.otherwise(413))
        try:
            return await self._server.answer_to(wanted, body)
        finally:
            self._server.holds(self, 0)

    async def _body(self, limit: int, event: Any) -> bytes | None:
        """All of it; None: it is larger than the limit. Raises TimeoutError, RemoteProtocolError."""
        if self._http.they_are_waiting_for_100_continue:
            self._put(h11.InformationalResponse(status_code=100, headers=[]))
        body = bytearray()
        async with asyncio.timeout(self._bounds.body):
            while not isinstance(event, h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    self._http.receive_data(await self._reader.read(_PIECE))
                elif len(body) + len(event.data) > limit:
                    return None
                else:
                    body += event.data
                    self._server.holds(self, len(body))
                event = self._http.next_event()
        return bytes(body)

    async def _send(self, bare: bool, answer: Answer, *, close: bool) -> None:
        headers = [
            ("Date", formatdate(time.time(), usegmt=True)),
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *answer.headers,
            *([_CLOSE] if close and _CLOSE not in answer.headers else []),
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


def _last(answer: Answer) -> Answer:
    """The last one of its connection, since what follows the request was not read."""
    return replace(answer, headers=[*answer.headers, _CLOSE])


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
