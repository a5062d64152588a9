"""A small vendor's server: objects of fields, changes by number, one token, and a bound on how fast it may be asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "desk-token-of-the-tests"


@dataclass
class Desk:
    """All that the vendor holds. `pause`: seconds that must lie between an answer and the next request."""

    types: tuple[str, ...] = ("people",)
    pause: float = 0.005
    url: str = ""
    number: int = 0
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    tells: Callable[[dict[str, Any]], object] = lambda _: None
    """Called with each object as it has become."""
    hasty: int = 0
    """Requests that came too soon after another, or beside it."""
    _under_way: int = 0
    _answered: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, type: str, id: str, fields: dict[str, str | None], *, deleted: bool = False) -> dict[str, Any]:
        """As a person at the desk does, or a request."""
        with self._lock:
            self.number += 1
            known = self.objects.setdefault(type, {}).get(id, {"fields": {}})
            made = {"id": id, "type": type, "number": self.number, "at": time.time_ns() // 1000, "deleted": deleted}
            self.objects[type][id] = made | {"fields": known["fields"] | fields}
            self.tells(dict(self.objects[type][id]))
            return self.objects[type][id]

    def held(self, type: str) -> dict[str, dict[str, str | None]]:
        """What people see there: fields by id."""
        with self._lock:
            return {id: dict(each["fields"]) for id, each in self.objects.get(type, {}).items() if not each["deleted"]}

    def answer(self, method: str, path: str, headers: Any, body: Any) -> tuple[int, Any, str]:
        """Status, body, ETag."""
        with self._lock:
            parts, query = urlsplit(path), parse_qs(urlsplit(path).query)
            if headers.get("Authorization") != f"Bearer {TOKEN}":
                return 401, {}, ""
            match [method, *parts.path.strip("/").split("/")]:
                case ["GET", "desk"]:
                    return 200, {"types": self.types, "number": self.number}, ""
                case ["GET", "changes"]:
                    all_ = (each for objects in self.objects.values() for each in objects.values())
                    found = sorted((e for e in all_ if e["number"] > int(query["after"][0])), key=lambda e: e["number"])
                    return 200, found[: int(query["limit"][0])], ""
                case ["GET", "objects", type]:
                    return 200, [each for each in self.objects.get(type, {}).values() if not each["deleted"]], ""
                case ["POST", "objects", type]:
                    same = (e for e in self.objects.get(type, {}).values() if e.get("external") == body["external_id"])
                    made = next(same, None) or self.put(type, f"d{self.number + 1}", body["fields"])
                    made["external"] = body["external_id"]
                    return 201, made, ""
                case [_, "objects", type, id]:
                    return self._one(method, type, id, headers.get("If-Match"), body)
        return 404, {}, ""

    def _one(self, method: str, type: str, id: str, match: str | None, body: Any) -> tuple[int, Any, str]:
        row = self.objects.get(type, {}).get(id)
        if row is None or row["deleted"]:
            return 404, {}, ""
        if match not in (None, str(row["number"])):
            return 412, {}, ""
        if method == "PATCH":
            external = row.get("external")
            row = self.put(type, id, body["fields"])
            row["external"] = external
        elif method == "DELETE":
            row = self.put(type, id, {}, deleted=True)
        return 200, row, str(row["number"])

    @contextmanager
    def request(self, what: str) -> Iterator[None]:
        with self._lock:
            self.requests.append(what)
            self.hasty += self._under_way > 0 or time.monotonic() - self._answered < self.pause
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                self._answered = time.monotonic()


@contextmanager
def serving(desk: Desk) -> Iterator[Desk]:
    """The desk at its `url`, over real HTTP, until the end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            with desk.request(f"{self.command} {self.path}"):
                status, answer, version = desk.answer(self.command, self.path, self.headers, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if version:
                self.send_header("ETag", version)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    desk.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield desk
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
