"""The registry's client against a real HTTP server that answers as one is told."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connectors.debezium.registry import Registry
from engine.errors import EnvironmentUnfit, TransientError

SCHEMA = '{"type":"string"}'


class Answering(ThreadingHTTPServer):
    """Answers every request with `status` and `body`, and notes the paths asked for."""

    status = 200
    body = json.dumps({"schema": SCHEMA}).encode()

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/apis/ccompat/v7/"


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Answering]:
    answering = Answering()
    thread = threading.Thread(target=answering.serve_forever)
    thread.start()
    yield answering
    answering.shutdown()
    thread.join()
    answering.server_close()


async def test_a_schema_is_fetched_once(server: Answering) -> None:
    async with Registry(server.url, username="ann", password="secret") as registry:
        assert registry.known(7) is None
        assert await registry.fetch(7) == SCHEMA
        assert registry.known(7) == await registry.fetch(7) == SCHEMA
    authorization = f"Basic {b64encode(b'ann:secret').decode()}"
    assert server.asked == [("/apis/ccompat/v7/schemas/ids/7", authorization)]


async def test_an_id_the_registry_does_not_know_is_asked_for_again(server: Answering) -> None:
    server.status = 404
    async with Registry(server.url) as registry:
        assert await registry.fetch(7) is None
        server.status = 200
        assert await registry.fetch(7) == SCHEMA


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, b"", TransientError),
        (503, b"", TransientError),
        (429, b"", TransientError),
        (401, b"", EnvironmentUnfit),
        (403, b"", EnvironmentUnfit),
        (302, b"", EnvironmentUnfit),
        (200, b"<html>", EnvironmentUnfit),
        (200, b"[]", EnvironmentUnfit),
        (200, b"{}", EnvironmentUnfit),
    ],
)
async def test_other_answers(server: Answering, status: int, body: bytes, error: type[Exception]) -> None:
    server.status, server.body = status, body
    async with Registry(server.url, username="ann", password="secret") as registry:
        with pytest.raises(error) as caught:
            await registry.fetch(7)
    assert "secret" not in str(caught.value)


async def test_a_registry_that_is_not_there(server: Answering) -> None:
    url = server.url
    server.server_close()
    async with Registry(url) as registry:
        with pytest.raises(TransientError, match="does not answer"):
            await registry.fetch(7)
