"""Hostile requests to the HTTP server of `fieldwarden run`, over real connections: by what it does to be seen from
outside, whatever it is made of. `start` is all that is known of it."""

from __future__ import annotations

import json
import re
import socket
import time
import tracemalloc
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from urllib.parse import urlsplit

from engine.telemetry import Telemetry
from operations.ops import Health, serving
from tests.fuzz.mutating import spoiled

INPUTS = 150
PATHS = ("/livez", "/readyz", "/metrics", "/", "/metrics?name[]=x", "//", "/..%2f..%00", "/" + "a" * 70_000, "*", "x:y")
HEADERS = (
    "Host: x",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Expect: 100-continue",
    "Connection: Upgrade",
    "Accept-Encoding: gzip;q=nan, *;q=1e999",
    "Accept: application/openmetrics-text; version=1.0.0; charset=\xff",
    "X: " + "y" * 70_000,
    "no colon",
    ": no name",
    " folded",
    "Authorization: Basic \x00",
)
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@contextmanager
def start() -> Iterator[str]:
    """A server as `run` starts it; its base URL."""
    telemetry = Telemetry(lambda: 1_000.0)
    telemetry.connector_state("source", "crm", "streaming")
    with serving(Health(telemetry, clock=lambda: 1_000.0), "127.0.0.1", 0) as url:
        yield url


def request(random: Random) -> bytes:
    method = random.choice(("GET", "GET", "HEAD", "POST", "OPTIONS", "GE T", "\xff", "PRI", "G" * 5_000))
    version = random.choice(("HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1.1", "HTTP/x", ""))
    lines = [f"{method} {random.choice(PATHS)} {version}", *random.choices(HEADERS, k=random.randint(0, 5))]
    if random.random() < 0.05:
        lines += HEADERS * 40
    data = "\r\n".join([*lines, "", random.choice(("", "x" * 5, "5\r\nhello\r\n0\r\n\r\n", "ffffffffffffffff\r\nx"))])
    return spoiled(random, data.encode("latin-1")) if random.random() < 0.4 else data.encode("latin-1")


def answered(url: str, data: bytes) -> bytes:
    """What comes back until the server has nothing more to say."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as connection:
        with suppress(OSError):  # it need not read all of what it refuses
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        found = b""
        with suppress(ConnectionError):
            while some := connection.recv(1 << 16):
                found += some
        return found


def test_whatever_is_sent_is_answered_in_http_or_not_at_all_and_the_next_one_is_served() -> None:
    with start() as url:
        for number in range(INPUTS):
            data = request(Random(f"http {number}"))
            began = time.process_time()
            answer = answered(url, data)
            assert time.process_time() - began < 1, "seconds of both ends, on a busy machine"
            status = STATUS.match(answer)
            if answer and status is not None:
                assert int(status[1]) < 500 or int(status[1]) in (501, 503, 505), (data[:200], answer[:200])
            if number % 10 == 0:
                with urllib.request.urlopen(f"{url}/livez", timeout=30) as alive:
                    assert json.load(alive)["live"] is True


def test_a_request_without_end_is_cut_off_and_takes_no_memory() -> None:
    with start() as url:
        tracemalloc.start()
        try:
            answered(url, b"GET /livez HTTP/1.1\r\n" + b"X: " + b"y" * (8 << 20))
            assert tracemalloc.get_traced_memory()[1] < 64 << 20
        finally:
            tracemalloc.stop()
