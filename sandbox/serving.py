"""A sandbox behind a real port, on loopback only."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn

from fieldwarden.sandbox.frame.app import Protocol, app
from fieldwarden.sandbox.frame.faults import SandboxRefused
from fieldwarden.sandbox.frame.stage import Stage

HOST = "127.0.0.1"
_BACKLOG = 128


def bound(port: int) -> socket.socket:
    """A listening socket; with `port` 0, of one that is free. Raises SandboxRefused where it is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        taken = "is taken" if error.errno == errno.EADDRINUSE else "needs more rights than this user has"
        raise SandboxRefused(
            f"port {port} of {HOST} {taken}", suggestion="name another with --port, or 0 for any that is free"
        ) from error
    return listening


def address(listening: socket.socket) -> str:
    return f"http://{HOST}:{listening.getsockname()[1]}"


def server(stage: Stage) -> uvicorn.Server:
    """Its `serve(sockets=[...])` ends by a signal or by `should_exit`."""
    config = uvicorn.Config(
        app(stage),
        http=Protocol,
        loop="asyncio",
        ws="none",
        log_level="warning",
        access_log=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


async def serve(stage: Stage, listening: socket.socket, ready: Callable[[str], object]) -> None:
    """Until a signal. `ready` is told the address."""
    ready(address(listening))
    await server(stage).serve(sockets=[listening])
