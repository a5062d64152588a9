"""The Pub/Sub API over gRPC on loopback.

Facts: Salesforce's Pub/Sub guide, "Pull Subscription and Flow Control", "Subscribe Keepalive Behavior", "Handle
Errors" (the codes stand in trailers, under `error-code`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import grpc

from fieldwarden.sandbox.pubsub import pubsub_api_pb2 as api
from fieldwarden.sandbox.pubsub.bus import Bus, Kept
from fieldwarden.sandbox.pubsub.faults import Faults

_CODES: Final = "sfdc.platform.eventbus.grpc."
_MOST_ASKED = 100
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(slots=True)
class Logins:
    """Who may come in, as the metadata of a call says it."""

    tokens: set[str] = field(default_factory=lambda: {"token-1"})
    tenant: str = "00Dxx0000001gPLEAY"


@dataclass(slots=True)
class Pace:
    """Seconds: until an empty answer comes, until a stream that asks for nothing is closed, and of a slow answer."""

    keepalive: float = 270.0
    idle: float = 70.0
    slow: float = 1.0


class PubSub:
    """The service. `most` is how many events an answer holds."""

    def __init__(self, bus: Bus, logins: Logins, faults: Faults, pace: Pace, most: int = 50) -> None:
        self._bus = bus
        self._logins = logins
        self._faults = faults
        self._pace = pace
        self._most = most
        self.subscriptions: list[tuple[str, int, bytes]] = []
        self.asked: list[int] = []
        self.calls = 0

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "eventbus.v1.PubSub",
            {
                "Subscribe": grpc.stream_stream_rpc_method_handler(
                    self.subscribe, api.FetchRequest.FromString, api.FetchResponse.SerializeToString
                ),
                "GetSchema": grpc.unary_unary_rpc_method_handler(
                    self.schema, api.SchemaRequest.FromString, api.SchemaInfo.SerializeToString
                ),
                "GetTopic": grpc.unary_unary_rpc_method_handler(
                    self.topic, api.TopicRequest.FromString, api.TopicInfo.SerializeToString
                ),
            },
        )

    async def schema(self, request: api.SchemaRequest, context: Context) -> api.SchemaInfo:
        await self._admit(context)
        text = self._bus.schemas.get(request.schema_id)
        if text is None:
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "schema.validation.failed")
        return api.SchemaInfo(schema_json=text, schema_id=request.schema_id, rpc_id="rpc-1")

    async def topic(self, request: api.TopicRequest, context: Context) -> api.TopicInfo:
        await self._admit(context)
        entities = self._bus.entities(request.topic_name)
        if entities is None:
            await _refuse(context, grpc.StatusCode.NOT_FOUND, "topic.not.found")
        return api.TopicInfo(
            topic_name=request.topic_name,
            tenant_guid=self._logins.tenant,
            can_subscribe=True,
            schema_id=self._bus.objects[min(entities)].schema_id if len(entities) == 1 else "",
            rpc_id="rpc-1",
        )

    async def subscribe(
        self, requests: AsyncIterator[api.FetchRequest], context: Context
    ) -> AsyncIterator[api.FetchResponse]:
        """Answers in turn to what is asked for. Only the first request says where to begin."""
        await self._admit(context)
        first = await anext(aiter(requests))
        place = await self._start(first, context)
        stream = _Stream(first.topic_name, place, first.num_requested)
        asking = asyncio.create_task(self._asks(requests, stream))
        self._bus.listeners.add(stream.woken)
        try:
            while True:
                answer = await self._answer(stream, context)
                if answer is None:
                    return
                yield answer
                if self._faults.now("drop"):
                    await _refuse(context, grpc.StatusCode.UNAVAILABLE, "service.unavailable")
        finally:
            self._bus.listeners.discard(stream.woken)
            asking.cancel()

    async def _admit(self, context: Context) -> None:
        self.calls += 1
        told = dict(context.invocation_metadata() or ())
        if told.get("tenantid") != self._logins.tenant or not str(told.get("instanceurl", "")).startswith("http"):
            await _refuse(context, grpc.StatusCode.UNAUTHENTICATED, "service.auth.headers.invalid")
        if told.get("accesstoken") not in self._logins.tokens:
            await _refuse(context, grpc.StatusCode.UNAUTHENTICATED, "service.auth.error")

    async def _start(self, first: api.FetchRequest, context: Context) -> int:
        self.subscriptions.append((first.topic_name, first.replay_preset, first.replay_id))
        await self._check_asked(first.num_requested, context)
        if self._faults.now("unavailable"):
            await _refuse(context, grpc.StatusCode.UNAVAILABLE, "service.unavailable")
        if self._faults.now("exhausted"):
            await _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "subscription.limit.exceeded")
        if self._bus.entities(first.topic_name) is None:
            await _refuse(context, grpc.StatusCode.NOT_FOUND, "topic.not.found")
        if first.replay_preset != api.CUSTOM:
            return len(self._bus.events) if first.replay_preset == api.LATEST else self._bus.kept_from
        if not first.replay_id:
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replayid.validation.failed")
        place = self._bus.after(first.replay_id)
        if place is None or self._faults.now("corrupted"):
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replayid.corrupted")
        return place

    async def _asks(self, requests: AsyncIterator[api.FetchRequest], stream: _Stream) -> None:
        async for request in requests:
            if request.topic_name not in ("", stream.topic):
                stream.fault = "subscription.fetch.topic.mismatch"
            elif not 0 < request.num_requested <= _MOST_ASKED:
                stream.fault = "subscription.fetch.requested.events.invalid"
            else:
                self.asked.append(request.num_requested)
                stream.pending += request.num_requested
            stream.woken.set()
        stream.over = True
        stream.woken.set()

    async def _check_asked(self, number: int, context: Context) -> None:
        self.asked.append(number)
        if not 0 < number <= _MOST_ASKED:
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.requested.events.invalid")

    async def _answer(self, stream: _Stream, context: Context) -> api.FetchResponse | None:
        """The next answer; None: the stream is over."""
        while True:
            stream.woken.clear()  # before anything is looked at, lest news in between go unheard
            if stream.over:
                return None
            if stream.fault:
                await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, stream.fault)
            if self._faults.now("slow"):
                await asyncio.sleep(self._pace.slow)
            if self._faults.now("empty"):
                return self._empty(stream)
            if stream.pending and (events := self._next(stream)):
                stream.pending = max(0, stream.pending - len(events))
                return api.FetchResponse(
                    events=[self._told(each) for each in events],
                    latest_replay_id=events[-1].replay_id,
                    rpc_id="rpc-1",
                    pending_num_requested=stream.pending,
                )
            if not await self._news(stream):
                return self._empty(stream) if stream.pending else None

    async def _news(self, stream: _Stream) -> bool:
        """Wait for an event or a request; False: none came for as long as one may wait."""
        try:
            async with asyncio.timeout(self._pace.keepalive if stream.pending else self._pace.idle):
                await stream.woken.wait()
        except TimeoutError:
            return False
        return True

    def _empty(self, stream: _Stream) -> api.FetchResponse:
        """Nothing new; and how far that is, so that nobody begins far behind it."""
        return api.FetchResponse(
            latest_replay_id=self._bus.mark(stream.place), rpc_id="rpc-1", pending_num_requested=stream.pending
        )

    def _next(self, stream: _Stream) -> list[Kept]:
        """What comes next on the topic; of one that is to come twice, both."""
        entities = self._bus.entities(stream.topic) or ()
        found: list[Kept] = []
        while stream.place < len(self._bus.events) and len(found) < min(stream.pending, self._most):
            event = self._bus.events[stream.place]
            stream.place += 1
            if event.entity in entities:
                found.append(event)
                if self._faults.now("duplicate"):
                    self._bus.put(event)
        return found

    def _told(self, event: Kept) -> api.ConsumerEvent:
        payload = event.payload[:-1] if self._faults.now("garbage") else event.payload
        return api.ConsumerEvent(
            event=api.ProducerEvent(schema_id=event.schema_id, payload=payload), replay_id=event.replay_id
        )


@dataclass(slots=True)
class _Stream:
    """One subscription: how far it is, and how many more events it wants."""

    topic: str
    place: int
    pending: int
    over: bool = False
    fault: str = ""
    woken: asyncio.Event = field(default_factory=asyncio.Event)


async def _refuse(context: Context, status: grpc.StatusCode, code: str) -> NoReturn:
    """End the call with an error whose code stands in the trailers."""
    await context.abort(status, f"{code} rpcId: rpc-1", (("error-code", f"{_CODES}{code}"), ("rpc-id", "rpc-1")))
    raise AssertionError("an aborted call does not go on")


class Server:
    """A Pub/Sub API at a port of its own: `async with Server(bus) as server`, then `server.address`."""

    def __init__(self, bus: Bus, *, pace: Pace | None = None, port: int = 0) -> None:
        self.bus = bus
        self.logins = Logins()
        self.faults = Faults()
        self.pace = pace or Pace()
        self.service = PubSub(bus, self.logins, self.faults, self.pace)
        self._port = port
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Server:
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self.service.handler(),))
        self._port = self._server.add_insecure_port(self.address)
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Every stream breaks."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
