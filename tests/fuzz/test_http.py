"""Requests without end, to the HTTP server of `fieldwarden run`. Other hostile ones are in `tests.fuzz.asking`."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import pytest

from tests.fuzz.asking import connected, heard, served

PIECE = 1 << 16
FAR_TOO_MUCH = 64 << 20
"""More than the buffers of both kernels hold, so that all of it is sent only if somebody takes it."""
LITTLE = 4 << 20


@pytest.mark.parametrize(
    ("head", "piece", "refusal"),
    [
        (b"GET /livez HTTP/1.1\r\nX: ", b"y" * PIECE, b"431"),
        (b"GET /livez HTTP/1.1\r\n", b"X: y\r\n" * (PIECE // 6), b"431"),
        (b"GET /livez HTTP/1.1\r\nX: y\r\n", b" folded\r\n" * (PIECE // 9), b"431"),
        (b"GET /", b"a" * PIECE, b"431"),
        (b"", b"\r\n" * (PIECE // 2), b"400"),
        (b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"y" * PIECE, b"413"),
        (
            b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\ny\r\n" * (PIECE // 6),
            b"413",
        ),
    ],
    ids=["header", "headers", "folded", "path", "blank lines", "body", "chunks"],
)
def test_a_request_without_end_is_cut_off_and_takes_no_memory(head: bytes, piece: bytes, refusal: bytes) -> None:
    sent = 0
    with served() as url, connected(url) as connection:
        tracemalloc.start()
        try:
            with suppress(ConnectionError):
                connection.sendall(head)
                while sent < FAR_TOO_MUCH:
                    connection.sendall(piece)
                    sent += len(piece)
            answer = heard(connection)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert sent < FAR_TOO_MUCH, "the server closes long before the end"
    assert not answer or answer.startswith(b"HTTP/1.1 " + refusal), "which a kernel may throw away with the connection"
    assert peak < LITTLE
