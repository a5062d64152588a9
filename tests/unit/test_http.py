"""The HTTP server by real sockets: what strangers send, or do not send, costs little and keeps nobody out."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client import Metric
from structlog.testing import capture_logs

from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.operations.run import server as http
from fieldwarden.operations.run.health import Health, is_loopback, serving
from fieldwarden.operations.run.server import Answer, Bounds, Request
from tests.patience import Patience, eventually

TOKEN = "a-long-random-token"
DRIPPING = 700


@pytest.fixture
def health() -> Health:
    telemetry = Telemetry()
    telemetry.connector_state("source", "crm", "streaming")
    return Health(telemetry)


@contextlib.contextmanager
def answering(body: bytes = b"here", bounds: Bounds | None = None) -> Iterator[str]:
    def answer(request: Request) -> Answer:
        if request.path == "/bug":
            raise ValueError("ada@example.org")
        return Answer(200, body if request.path == "/" else request.path.encode())

    with http.serving(answer, "127.0.0.1", 0, bounds) as url:
        yield url


def connect(url: str) -> socket.socket:
    place = urlsplit(url)
    return socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=30)


def said(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            pieces.append(piece)
    return b"".join(pieces)


def ask(url: str, *lines: str, path: str = "/", method: str = "GET", version: str = "1.1") -> tuple[int, bytes, bytes]:
    """One request that asks the server to close: status, head, body."""
    head = "\r\n".join([f"{method} {path} HTTP/{version}", "Host: here", "Connection: close", *lines, "", ""])
    with connect(url) as connection:
        connection.sendall(head.encode("latin-1"))
        head_, _, body = said(connection).partition(b"\r\n\r\n")
    return int(head_.split()[1]), head_, body


# --- many, slow, silent -------------------------------------------------------------------------------------------


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for both ends of all connections, for this test alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_seven_hundred_that_drip_leave_scraping_as_it_was(health: Health) -> None:
    with serving(health, "127.0.0.1", 0) as url, contextlib.ExitStack() as open_ones:
        threads = threading.active_count()
        dripping = []
        for number in range(DRIPPING):
            connection = open_ones.enter_context(connect(url))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nX-Drip: ")
            dripping.append(connection)
            if number % 100 == 0:
                assert ask(url, path="/metrics")[0] == 200, f"after {number}"
        for connection in dripping:
            with contextlib.suppress(OSError):
                connection.sendall(b"a")
        assert ask(url, path="/metrics")[0] == 200
        assert ask(url, path="/livez")[0] == 200
        assert threading.active_count() == threads
        kept = sum(1 for connection in dripping if is_open(connection))
        assert kept <= Bounds().connections


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_a_request_that_does_not_come_to_its_end_is_given_up(health: Health) -> None:
    with answering(bounds=Bounds(request=0.2)) as url, connect(url) as connection:
        patience = Patience(30)
        with contextlib.suppress(OSError):
            while not patience.over():  # a letter now and then does not prolong it
                connection.sendall(b"G")
                connection.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(1):
                        break
        assert not patience.over()


def test_a_connection_that_says_no_more_is_closed() -> None:
    with answering(bounds=Bounds(idle=0.2)) as url, connect(url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert said(connection).endswith(b"here")


def is_dropped(url: str, connection: socket.socket) -> bool:
    """Whether the other end has given it up. This end cannot know before it has read all that came, so the kernel is
    asked: of the server's socket, which is at this connection's other end, and 01 while it is open (proc_net_tcp)."""
    ports = [f"{port:04X}" for port in (urlsplit(url).port, connection.getsockname()[1])]
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return [each[3] for each in sockets if [place.rpartition(":")[2] for place in each[1:3]] == ports] != ["01"]


def test_a_reader_that_does_not_read_is_dropped_and_others_are_served() -> None:
    with (
        answering(b"x" * 30_000_000, Bounds(connections=4, answer=0.3)) as url,
        contextlib.ExitStack() as open_ones,
    ):
        slow = [open_ones.enter_context(connect(url)) for _ in range(6)]
        for connection in slow:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert ask(url, path="/quick")[2] == b"/quick"
        eventually(lambda: all(is_dropped(url, each) for each in slow), "all six are dropped, though none has read")
        assert ask(url, path="/quick")[2] == b"/quick"
        for connection in slow:
            assert len(said(connection)) < 30_000_000


# --- what the protocol allows, and what not -----------------------------------------------------------------------


def test_head_has_the_length_and_no_body() -> None:
    with answering() as url:
        status, head, body = ask(url, method="HEAD")
    assert (status, body) == (200, b"")
    assert b"content-length: 4" in head.lower()


def test_http_1_0_is_answered_and_closed() -> None:
    with answering() as url, connect(url) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert said(connection).endswith(b"\r\n\r\nhere")


def test_pipelined_requests_are_answered_in_their_order() -> None:
    with answering() as url, connect(url) as connection:
        requests = [f"GET /{n} HTTP/1.1\r\nHost: here\r\n\r\n" for n in range(50)]
        connection.sendall("".join(requests).encode() + b"GET /end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        bodies = [part.rpartition(b"\r\n\r\n")[2] for part in said(connection).split(b"HTTP/1.1 200 ")[1:]]
    assert bodies == [b"/%d" % n for n in range(50)] + [b"/end"]


def test_a_connection_is_kept_for_the_next_request_but_not_for_ever() -> None:
    with answering(bounds=Bounds(requests=3)) as url, connect(url) as connection:
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert said(connection).count(b"HTTP/1.1 200") == 3


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),  # TLS
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\nabc", b"413"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", b"400"),
    ],
)
def test_what_is_too_large_or_no_request_is_refused_and_the_next_one_served(sent: bytes, status: bytes) -> None:
    with answering() as url:
        with connect(url) as connection:
            with contextlib.suppress(OSError):  # it need not take all of it
                connection.sendall(sent)
            assert said(connection).startswith(b"HTTP/1.1 " + status)
        assert ask(url)[0] == 200


def test_a_bug_is_one_line_of_the_log_without_the_errors_words(capfd: pytest.CaptureFixture[str]) -> None:
    with capture_logs() as lines, answering() as url:
        assert ask(url, path="/bug")[0] == 500
        assert ask(url)[0] == 200
        with connect(url) as connection:  # gone in the middle of its request
            connection.sendall(b"GET / HT")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert ask(url)[0] == 200
    assert [(line["event"], line["error"]) for line in lines] == [("http.bug", "ValueError")]
    assert "ada@" not in str(lines)
    assert capfd.readouterr().err == ""


# --- who is told what ---------------------------------------------------------------------------------------------


def test_a_token_is_asked_for_where_something_is_told(health: Health) -> None:
    good = f"Authorization: Bearer {TOKEN}"
    with serving(health, "127.0.0.1", 0, TOKEN) as url:
        for path in ("/readyz", "/metrics"):
            assert ask(url, good, path=path)[0] == 200
            for wrong in (
                "X: y",
                "Authorization: Bearer",
                f"Authorization: Basic {TOKEN}",
                f"{good}x",
                f"{good[:-1]}é",
            ):
                status, head, body = ask(url, wrong, path=path)
                assert (status, b"crm" in body) == (401, False), wrong
                assert b"www-authenticate: bearer" in head.lower()
        for path in ("/livez", "/healthz"):
            assert ask(url, path=path)[0] == 200


def test_unknown_paths_and_methods(health: Health) -> None:
    with serving(health, "127.0.0.1", 0) as url:
        assert ask(url, path="/livez?now=1")[0] == 200
        assert ask(url, path="/LIVEZ")[0] == 404
        assert ask(url, path="//metrics/../livez")[0] == 404
        assert ask(url, path="/livez", method="DELETE")[0] == 405
        assert ask(url, path="/livez", method="BREW")[0] == 405


def test_a_busy_engine_does_not_hold_up_the_answers_which_say_so(health: Health) -> None:
    health.beat -= 60  # as of a loop that has not turned for a minute: this very thread is in nobody's way
    with serving(health, "127.0.0.1", 0) as url:
        status, _, body = ask(url, path="/livez")
        assert (status, json.loads(body)["live"]) == (503, False)
        assert ask(url, path="/metrics")[0] == 200


def test_the_metrics_are_made_no_more_often_than_is_of_use(health: Health) -> None:
    made: list[int] = []

    class Counted:
        def collect(self) -> list[Metric]:
            made.append(1)
            return []

    health.telemetry.registry.register(Counted())
    made.clear()
    with serving(health, "127.0.0.1", 0) as url:
        begun = time.monotonic()
        for number in range(100):  # nor for whoever names another version each time, or one that is none
            accept = f"Accept: application/openmetrics-text; version=1.0.{number or 'a'}"
            assert ask(url, accept, path="/metrics")[0] == 200
        seconds = time.monotonic() - begun
    assert len(made) <= seconds / 0.2 + 1


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.7", "db.example.org")),
    ],
)
def test_what_only_this_machine_reaches(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours


def test_outside_loopback_a_process_warns_without_a_token(health: Health) -> None:
    with capture_logs() as lines:
        with serving(health, "0.0.0.0", 0):
            pass
        with serving(health, "0.0.0.0", 0, TOKEN), serving(health, "127.0.0.1", 0):
            pass
    assert [(line["event"], line["log_level"]) for line in lines] == [("run.open", "warning")]
