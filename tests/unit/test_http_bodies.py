"""Bodies of requests, by real sockets: read where they are wanted, as far as they are wanted, and never for ever."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from fieldwarden.operations.run import server as http
from fieldwarden.operations.run.server import Answer, Bounds, Request, Wanted
from tests.patience import eventually
from tests.unit.test_http import ask, connect, said

LIMIT = 10_000


@contextlib.contextmanager
def taking(bounds: Bounds | None = None) -> Iterator[str]:
    """A server that gives back the size of a body that is sent to `/hooks/...`."""

    async def then(body: bytes) -> Answer:
        if body == b"bug":
            raise ValueError("ada@example.org")
        return Answer(200, b"%d" % len(body))

    def answer(request: Request) -> Answer | Wanted:
        if request.path == "/hooks/none":
            return Answer(404, b"none", bodiless=False)
        if request.path.startswith("/hooks/"):
            return Wanted(LIMIT, then, lambda status: Answer(status, b"not read", bodiless=False))
        return Answer(200, f"{request.path} {request.query}".encode())

    with http.serving(answer, "127.0.0.1", 0, bounds) as url:
        yield url


def post(body: bytes, *lines: str, path: str = "/hooks/shop", close: bool = True) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: here", *(["Connection: close"] if close else []), *lines, "", ""]
    return "\r\n".join(head).encode() + body


def sent(url: str, request: bytes) -> tuple[int, bytes]:
    with connect(url) as connection:
        with contextlib.suppress(OSError):  # it may be turned away before it has sent all
            connection.sendall(request)
        head, _, body = said(connection).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def sized(size: int) -> bytes:
    return post(b"x" * size, f"Content-Length: {size}")


def chunked(*sizes: int) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (size, b"x" * size) for size in sizes)
    return post(chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked")


@pytest.mark.parametrize("request_", [sized(LIMIT), chunked(1, LIMIT - 1), chunked(*[1] * 500), post(b"")])
def test_a_body_that_is_wanted_is_read_to_its_end(request_: bytes) -> None:
    size = request_.count(b"x")
    with taking() as url:
        assert sent(url, request_) == (200, b"%d" % size)


@pytest.mark.parametrize("request_", [sized(LIMIT + 1), chunked(LIMIT, 1), chunked(*[100] * 200)])
def test_a_larger_one_is_turned_away(request_: bytes) -> None:
    with taking() as url:
        assert sent(url, request_) == (413, b"not read")


def test_one_that_says_it_is_larger_is_turned_away_before_any_of_it_was_sent() -> None:
    with taking() as url:
        assert sent(url, post(b"", f"Content-Length: {LIMIT + 1}", "Expect: 100-continue")) == (413, b"not read")


def test_who_waits_to_be_asked_for_the_body_is_asked() -> None:
    with taking() as url, connect(url) as connection:
        connection.sendall(post(b"", "Content-Length: 3", "Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert said(connection).endswith(b"\r\n\r\n3")


def test_a_body_that_does_not_come_to_its_end_is_given_up() -> None:
    with taking(Bounds(body=0.2)) as url:
        assert sent(url, post(b"abc", "Content-Length: 100")) == (408, b"not read")


def test_one_that_breaks_off_or_breaks_the_protocol_is_no_request() -> None:
    with taking() as url:
        assert sent(url, post(b"zz\r\n", "Transfer-Encoding: chunked"))[0] == 400
        with connect(url) as connection:
            connection.sendall(post(b"abc", "Content-Length: 100"))
            connection.shutdown(1)
            assert said(connection).split()[1] == b"400"


def test_the_next_request_of_a_connection_is_read_behind_the_body() -> None:
    with taking() as url, connect(url) as connection:
        first, second = post(b"abc", "Content-Length: 3", close=False), chunked(2, 2)
        connection.sendall(first + second)
        bodies = [part.rpartition(b"\r\n\r\n")[2] for part in said(connection).split(b"HTTP/1.1 200 ")[1:]]
    assert bodies == [b"3", b"4"]


def test_nothing_else_takes_a_body_whatever_it_answers() -> None:
    with taking() as url:
        assert sent(url, post(b"abc", "Content-Length: 3", path="/livez"))[0] == 413
        assert sent(url, post(b"abc", "Content-Length: 3", path="/hooks/none")) == (404, b"none")
        assert ask(url, path="/here?validationToken=a%20b")[2] == b"/here validationToken=a%20b"


def test_a_bug_in_what_is_made_of_a_body_is_told_without_its_words() -> None:
    with taking() as url, capture_logs() as logs:
        assert sent(url, post(b"bug", "Content-Length: 3"))[0] == 500
    (told,) = logs
    assert (told["event"], "ada" in str(told)) == ("http.bug", False)


def test_all_bodies_together_are_bounded_and_one_that_waits_makes_room() -> None:
    """Three that send half of theirs and wait: there is room for two and a half."""
    with contextlib.ExitStack() as open_ones, taking(Bounds(bodies=12_500, body=600)) as url:
        heard: list[bytes] = []
        for _ in range(3):
            connection = open_ones.enter_context(connect(url))
            connection.sendall(post(b"x" * 5_000, "Content-Length: 10000"))
            listening = threading.Thread(target=lambda it=connection: heard.append(said(it)))
            listening.start()
            open_ones.callback(listening.join)
        eventually(lambda: heard, "one is dropped")
        assert heard == [b""]
        assert sent(url, sized(100)) == (200, b"100")
        assert heard == [b""], "the others wait"
