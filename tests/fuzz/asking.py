"""Hostile requests to the HTTP server of `fieldwarden run`, over real connections: by what it does to be seen from
outside, whatever it is made of. `served` is all that is known of it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from urllib.parse import urlsplit

from structlog.testing import capture_logs

from fieldwarden.connectors.rest.receiving import Receiver, challenge, parsed, validation_token
from fieldwarden.connectors.rest.signatures import Unsigned
from fieldwarden.engine.ports.inbound import HookRequest
from fieldwarden.engine.ports.inbox import Hint, Item
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing.inbox import MemoryInbox
from fieldwarden.operations.run.health import Health, serving
from fieldwarden.operations.run.hooks import Hooks, Taking
from fieldwarden.rules.settings import Webhooks
from tests.fuzz.measuring import Input
from tests.fuzz.mutating import spoiled

_PATHS = (
    "/livez",
    "/readyz",
    "/metrics",
    "/",
    "/metrics?name[]=x",
    "/hooks/shop",
    "/hooks/shop",
    "/hooks/shop?validationToken=%ff%00&challenge",
    "/hooks/",
    "//",
    "/..%2f..%00",
    "/" + "a" * 70_000,
    "*",
    "x:y",
)
_METHODS = ("GET", "GET", "HEAD", "POST", "OPTIONS", "GE T", "\xff", "PRI", "G" * 5_000)
_PROTOCOLS = ("HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1.1", "HTTP/x", "")
_OPENMETRICS = "Accept: application/openmetrics-text; version="
_HEADERS = (
    "Host: x",
    "Host: x",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Expect: 100-continue",
    "Connection: Upgrade",
    "Connection: keep-alive",
    "Upgrade: h2c",
    "Accept-Encoding: gzip;q=nan, *;q=1e999",
    "Accept: application/openmetrics-text; version=1.0.0; charset=\xff",
    "Accept: text/plain; version=1.0.0; escaping=allow-utf-8; escaping=x",
    "X: " + "y" * 70_000,
    "no colon",
    ": no name",
    " folded",
    "Authorization: Basic \x00",
)
_VERSIONS = (
    "",
    "x",
    "1",
    "1.",
    "1.0.0.0",
    "-1",
    "1e9",
    "nan",
    "0.0.4",
    "2.0.0",
    "1.0.0-rc",
    '"1.0.0"',
    "9" * 5_000,
    "\xb2",
)
_BODIES = ("", "x" * 5, "5\r\nhello\r\n0\r\n\r\n", "ffffffffffffffff\r\nx")
_PIECES = (
    *(
        "GET ",
        "HEAD ",
        "/",
        "/metrics",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\n",
        "\r\n\r\n",
        " ",
        "\0",
        "\xff",
        "7",
        "0\r\n\r\n",
    ),
    *("PRI * HTTP/2.0", "x" * 20_000, "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n", *_HEADERS),
)
_STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)


@contextmanager
def served() -> Iterator[str]:
    """A server as `run` starts it, of a process that always lives; its base URL."""
    telemetry = Telemetry(lambda: 1_000.0)
    telemetry.connector_state("source", "crm", "streaming")
    shop = Receiver(Unsigned(), _hinted, [validation_token, challenge], methods=("GET", "POST"))
    hooks = Hooks(MemoryInbox(), telemetry, lambda _: None)
    hooks.take({"shop": Taking(shop, Webhooks(limit=2000), "http://x/hooks/shop")})
    with serving(Health(telemetry, pulse=1e9, clock=lambda: 1_000.0), "127.0.0.1", 0, hooks=hooks) as url:
        yield url


def _hinted(request: HookRequest) -> list[Item]:
    """Every body that is JSON is a hint of what it says."""
    return [Hint("people", str(parsed(request.body)))]


def make_request(random: Random) -> Input:
    if random.random() < 0.3:
        return ("".join(random.choices(_PIECES, k=random.randint(0, 12))).encode("latin-1"),)
    lines = [f"{random.choice(_METHODS)} {random.choice(_PATHS)} {random.choice(_PROTOCOLS)}"]
    lines += random.choices(_HEADERS, k=random.randint(0, 5))
    if random.random() < 0.3:
        lines = ["GET /metrics HTTP/1.1", "Host: x", _OPENMETRICS + _version(random)]
    if random.random() < 0.05:
        lines += _HEADERS * 40
    data = "\r\n".join([*lines, "", random.choice(_BODIES)]).encode("latin-1")
    return (spoiled(random, data) if random.random() < 0.4 else data,)


def _version(random: Random) -> str:
    """Of a format: another one each time, and what is none."""
    if random.random() < 0.5:
        return random.choice(_VERSIONS)
    return ".".join(str(random.randrange(-1, 1_000)) for _ in range(random.randint(1, 4)))


def answered(url: str, data: bytes) -> bytes:
    """What comes back until the server has nothing more to say."""
    with connected(url) as connection:
        with suppress(ConnectionError):  # it need not read all of what it refuses
            connection.sendall(data)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        return heard(connection)


def connected(url: str) -> socket.socket:
    place = urlsplit(url)
    return socket.create_connection((place.hostname or "", place.port or 0), timeout=30)


def heard(connection: socket.socket) -> bytes:
    found = b""
    with suppress(ConnectionError):
        while some := connection.recv(1 << 16):
            found += some
    return found


def run_request(url: str, data: Input) -> None:
    """It is answered in HTTP or not at all, is nobody's bug, and the next one is served."""
    with capture_logs() as lines:
        answer = answered(url, data[0])
        alive = answered(url, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert not answer or _STATUS.match(answer), answer[:200]
    for status in map(int, _STATUS.findall(answer)):
        assert status < 500 or status in (501, 503, 505), answer[:200]
    assert alive.startswith(b"HTTP/1.1 200 "), alive[:200]
    assert not [line for line in lines if line["event"] != "hooks.turned_away"], lines
