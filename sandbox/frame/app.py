"""The HTTP around a stage: Starlette's requests become calls, outcomes become responses or closed connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fieldwarden.sandbox.frame import admin, page
from fieldwarden.sandbox.frame.exchange import Call, Endpoint
from fieldwarden.sandbox.frame.stage import Outcome, Stage

CLOSE = "fieldwarden.close"
"""Where a request's scope has the function that closes its connection without a word."""
BODY_BYTES = 64 * 1024 * 1024


class Protocol(H11Protocol):
    """As uvicorn's, and a request can have its connection closed: no ASGI message says that."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = _closable(self.app, transport)


def _closable(app: ASGIApp, transport: asyncio.Transport) -> ASGIApp:
    async def closable(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, CLOSE: transport.abort}, receive, send)

    return closable


def app(stage: Stage) -> Starlette:
    """All that a sandbox answers. Its webhooks are sent as long as it is served."""

    @contextlib.asynccontextmanager
    async def sending(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(stage.world.hooks.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    vendors = [Route(each.path, _answering(stage, each), methods=[each.method]) for each in stage.vendor.endpoints()]
    nothing = _answering(stage, None)

    async def unknown(request: Request, _: Exception) -> Response:
        return await nothing(request)

    made = Starlette(
        routes=[*page.routes(stage), *admin.routes(stage), *vendors],
        lifespan=sending,
        exception_handlers={404: unknown, 405: unknown},
    )
    made.router.redirect_slashes = False  # no vendor sends anybody elsewhere for a slash
    return made


def _answering(stage: Stage, endpoint: Endpoint | None) -> Callable[[Request], Awaitable[Response]]:
    async def answering(request: Request) -> Response:
        outcome = stage.answer(endpoint, await _call(request))
        return await _sent(stage, request, outcome)

    return answering


async def _call(request: Request) -> Call:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES:
            break
    url = request.url
    return Call(
        request.method,
        request.scope["path"],
        url.query,
        dict(request.headers),
        bytes(body),
        f"{url.scheme}://{url.netloc}",
        request.path_params,
    )


async def _sent(stage: Stage, request: Request, outcome: Outcome) -> Response:
    answer = outcome.answer
    if outcome.after:
        with contextlib.suppress(TimeoutError):  # whoever hangs up is not waited for
            await asyncio.wait_for(_hung_up(request), outcome.after)
    if outcome.lost:
        close: Callable[[], Any] = request.scope[CLOSE]
        close()
        await _hung_up(request)
    headers = {"date": formatdate(stage.world.clock.now(), usegmt=True), **answer.headers}
    return Response(answer.body, answer.status, headers, answer.content_type)


async def _hung_up(request: Request) -> None:
    """Returns when the connection is closed."""
    while (await request.receive())["type"] != "http.disconnect":
        pass  # what is left of the request
