"""A small HTTP server that answers as Kafka Connect does on a bad day: real HTTP, scripted answers."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any] | Callable[[Any], tuple[int, Any]] | None
"""Status and body, or what makes them of the request's body. None: the connection is cut without an answer."""

REBALANCE: Answer = (
    409,
    {"error_code": 409, "message": "Cannot complete request momentarily due to no known leader URL"},
)
TIMED_OUT: Answer = (
    500,
    {"error_code": 500, "message": "Request timed out. The worker is currently polling the group"},
)


@dataclass
class ConnectServer:
    """`script[method, path]` are the answers in turn; the last one stays. `asked` is what came, in order."""

    url: str = ""
    script: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def answers(self, method: str, path: str, *answers: Answer) -> None:
        self.script[method, path] = list(answers)

    def answer(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any] | None:
        self.asked.append((method, path))
        self.bodies.append(body)
        self.headers.append(headers)
        left = self.script.get((method, path))
        if not left:
            return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}
        chosen = left.pop(0) if len(left) > 1 else left[0]
        return chosen(body) if callable(chosen) else chosen


@contextlib.contextmanager
def connect_server() -> Iterator[ConnectServer]:
    server = ConnectServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            answer = server.answer(self.command, self.path, body, dict(self.headers))
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            content = answer[1].encode() if isinstance(answer[1], str) else json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
