"""The registry's client against a real HTTP server that answers as one is told."""

from __future__ import annotations

import asyncio
import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fieldwarden.connectors.debezium.decoding.avro_format import Avro
from fieldwarden.connectors.debezium.kafka.registry import Registry
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from tests.patience import within

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
    registry = Registry(server.url, username="ann", password="secret")
    assert registry.known(7) is None
    assert await registry.fetch(7) == SCHEMA
    assert registry.known(7) == await registry.fetch(7) == SCHEMA
    authorization = f"Basic {b64encode(b'ann:secret').decode()}"
    assert server.asked == [("/apis/ccompat/v7/schemas/ids/7", authorization)]


async def test_an_id_the_registry_does_not_know_is_asked_for_again(server: Answering) -> None:
    server.status = 404
    registry = Registry(server.url)
    assert await registry.fetch(7) is None
    server.status = 200
    assert await registry.fetch(7) == SCHEMA


async def test_no_connection_is_kept_that_somebody_would_have_to_close() -> None:
    body = json.dumps({"schema": SCHEMA}).encode()
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await reader.read()
        left.set()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        registry = Registry(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        assert await registry.fetch(7) == SCHEMA
        async with within():
            await left.wait()


@pytest.mark.long
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
    with pytest.raises(error) as caught:
        await Registry(server.url, username="ann", password="secret").fetch(7)
    assert "secret" not in str(caught.value)


async def test_a_registry_that_is_not_there(server: Answering) -> None:
    url = server.url
    server.server_close()
    with pytest.raises(TransientError, match="does not answer"):
        await Registry(url).fetch(7)


@pytest.mark.parametrize("status", [400, 422])
async def test_an_id_that_cannot_be_one_is_the_trouble_of_the_record_that_names_it(
    server: Answering, status: int
) -> None:
    server.status = status
    assert await Registry(server.url).fetch(4_294_967_295) is None


async def test_a_schema_too_long_for_any_table_is_not_kept(server: Answering) -> None:
    server.body = json.dumps({"schema": " " * (9 << 20)}).encode()
    registry = Registry(server.url)
    assert await registry.fetch(7) == ""
    with pytest.raises(Unreadable):
        Avro(registry.known(7) or "")
