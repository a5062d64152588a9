"""An address of the test's own that takes webhooks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

from tests.patience import eventually


class Inbox:
    """`taken` are the raw bodies with their headers; `statuses` what the next ones are answered with, then 200."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, dict[str, str]]] = []
        self.statuses: list[int] = []
        self.url = ""

    def bodies(self) -> list[Any]:
        return [json.loads(body) for body, _ in self.taken]

    def wait(self, count: int) -> None:
        eventually(lambda: len(self.taken) >= count, f"{count} webhooks come")


@contextlib.contextmanager
def listening() -> Iterator[Inbox]:
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            inbox.taken.append((body, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(inbox.statuses.pop(0) if inbox.statuses else 200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    inbox.url = f"http://127.0.0.1:{server.server_port}/hooks"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield inbox
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
