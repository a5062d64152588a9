"""A server that answers as a test says, over real HTTP, and keeps what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec


@dataclass(frozen=True)
class Asked:
    """One request. `path` is as it came over the wire, without the query."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""

    def one(self, name: str) -> str | None:
        return self.query.get(name, [None])[0]


@dataclass(frozen=True)
class Reply:
    """What is sent back. `told` becomes JSON, bytes stay. `cut`: the connection ends after so many bytes of it."""

    told: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


Answering = Callable[[Asked], Reply]


@dataclass
class Served:
    url: str
    asked: list[Asked] = field(default_factory=list)
    now: int = 0
    most: int = 0
    """How many requests were under way at once."""


@contextmanager
def serving(answering: Answering, beside: int = 1) -> Iterator[Served]:
    """The server at its `url`, until the end. `answering` is called by one request at a time. Each waits a moment for
    as many `beside` it as would show that more come at once than may."""
    served, turn, beginning = Served(""), threading.Lock(), threading.Condition()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, parse_qs(parts.query, keep_blank_values=True), headers, body)
            with beginning:
                served.now += 1
                served.most = max(served.most, served.now)
                beginning.notify_all()
                beginning.wait_for(lambda: served.most >= beside, timeout=0.2 if beside > 1 else 0)
            with turn:
                served.asked.append(asked)
                reply = answering(asked)
            content = reply.told if isinstance(reply.told, bytes) else msgspec.json.encode(reply.told)
            if "Date" in reply.headers:
                self.send_response_only(reply.status)
            else:
                self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with beginning:
                served.now -= 1  # before its last byte: whoever has the answer may ask again at once
            self.wfile.write(content[: reply.cut])
            if reply.cut is not None:
                self.close_connection = True

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
