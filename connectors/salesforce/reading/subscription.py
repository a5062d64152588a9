"""One topic of the Pub/Sub API as it is told: batches of events, and how far each brings us.

Only as many events are asked for as may wait here, so that memory is bounded however fast Salesforce is, and more are
asked for before all have come, so that it need not wait for us. A stream that breaks is begun anew behind the last
event that was handed on; the caller is told only of what that does not mend.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, TypeVar

import grpc

from fieldwarden.connectors.salesforce.asking.access import Access, Login
from fieldwarden.connectors.salesforce.decoding.events import Event
from fieldwarden.connectors.salesforce.protocol import calls
from fieldwarden.connectors.salesforce.protocol import pubsub_api_pb2 as api
from fieldwarden.connectors.salesforce.reading import verdicts
from fieldwarden.engine.errors import EngineError

AHEAD: Final = 100
"""Events that may be on their way: Salesforce takes no request for more."""
_LARGEST: Final = 1 << 24
"""Bytes of an answer. An event has no more than a million."""
_ATTEMPTS: Final = 6
T = TypeVar("T")
Channel: TypeAlias = grpc.aio.Channel


class Fetched(NamedTuple):
    """Some events in order, and the replay id behind which the topic goes on: of an answer without events it moves our
    place on, so that it does not grow too old on a quiet topic."""

    events: tuple[Event, ...]
    latest: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. `silence`: a stream that has said nothing for so long is dead, since an empty answer comes within 270;
    `call`: how long any other call may take. `attempts`: how often it is subscribed in a row without an answer."""

    silence: float = 330.0
    call: float = 30.0
    attempts: int = _ATTEMPTS


class Bus:
    """The event bus of one org, by one login and one connection that all topics share.

    `sleep` and `chance` are how time passes, and randomness in [0, 1)."""

    def __init__(
        self,
        system: str,
        channel: grpc.aio.Channel,
        login: Login,
        limits: Limits | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.system = system
        self.limits = limits or Limits()
        self._channel = channel
        self._login = login
        self._sleep = sleep
        self._chance = chance

    async def schema(self, topic: str, id: str) -> str:
        """The Avro schema with an id. Raises TransientError, EnvironmentUnfit."""
        return await self._asked(topic, lambda told: calls.schema(self._channel, told, id, self.limits.call))

    async def topic(self, name: str) -> api.TopicInfo:
        """What a topic is now. Raises TransientError, EnvironmentUnfit."""
        return await self._asked(name, lambda told: calls.topic(self._channel, told, name, self.limits.call))

    async def events(self, topic: str, replay: bytes) -> AsyncGenerator[Fetched, None]:
        """What follows a replay id on a topic, for ever; without one (b""), all that Salesforce keeps.

        While the caller is busy with a batch, no more than `AHEAD` events come. Raises SourceGap, EnvironmentUnfit,
        TransientError."""
        failed, renewed = 0, False
        while True:
            access = await self._login.access()
            cause: Exception | None = None
            try:
                async with aclosing(self._stream(topic, replay, access)) as stream:
                    async for fetched in stream:
                        failed, renewed = 0, False
                        replay = fetched.latest
                        yield fetched
                failure = _Failure("CANCELLED", "", "")  # the stream ended, and nobody has said why
            except grpc.aio.AioRpcError as error:
                failure, cause = _Failure.of(error), error
            except TimeoutError as error:
                failure, cause = _Failure("DEADLINE_EXCEEDED", "", ""), error
            verdict = verdicts.judge(failure.status, failure.code)
            failed += 1
            if verdict == "login" and not renewed:
                renewed = True
                await self._login.renew(access)
            elif verdict == "again" and failed < self.limits.attempts:
                await self._sleep(verdicts.pause(failed, self._chance()))
            else:
                raise self._error(topic, failure) from cause

    async def _stream(self, topic: str, replay: bytes, access: Access) -> AsyncGenerator[Fetched, None]:
        call = calls.subscribe(self._channel, _metadata(access))
        try:
            preset = api.CUSTOM if replay else api.EARLIEST
            coming = AHEAD
            await _ask(
                call, api.FetchRequest(topic_name=topic, replay_preset=preset, replay_id=replay, num_requested=coming)
            )
            while True:
                async with asyncio.timeout(self.limits.silence):
                    answer = await call.read()
                if not isinstance(answer, api.FetchResponse):
                    return
                if answer.latest_replay_id or answer.events:
                    yield _fetched(answer)
                # What an answer says is still to come does not count what we asked for while it was on its way; on a
                # quiet topic nothing is on its way.
                coming = coming - len(answer.events) if answer.events else answer.pending_num_requested
                if coming <= AHEAD // 2:
                    await _ask(call, api.FetchRequest(topic_name=topic, num_requested=AHEAD - coming))
                    coming = AHEAD
        finally:
            call.cancel()

    async def _asked(self, topic: str, ask: Callable[[calls.Metadata], Awaitable[T]]) -> T:
        access = await self._login.access()
        for last in (False, True):
            try:
                return await ask(_metadata(access))
            except grpc.aio.AioRpcError as error:
                failure = _Failure.of(error)
                if last or verdicts.judge(failure.status, failure.code) != "login":
                    raise self._error(topic, failure) from error
                access = await self._login.renew(access)
        raise AssertionError("the last attempt has ended it")

    def _error(self, topic: str, failure: _Failure) -> EngineError:
        return verdicts.error(self.system, topic, failure.status, failure.code, failure.rpc)


class _Failure(NamedTuple):
    """How a call ended: the name of its status, and what the trailers say."""

    status: str
    code: str
    rpc: str

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> _Failure:
        told = {name: value for name, value in error.trailing_metadata() or () if isinstance(value, str)}
        return cls(error.code().name, told.get("error-code", ""), told.get("rpc-id", ""))


async def _ask(call: calls.Fetching, request: api.FetchRequest) -> None:
    """Of a stream that is over already the next read says why."""
    with suppress(asyncio.InvalidStateError):
        await call.write(request)


def _fetched(answer: api.FetchResponse) -> Fetched:
    events = tuple(Event(each.event.schema_id, each.event.payload, each.replay_id) for each in answer.events)
    return Fetched(events, events[-1].replay if events else answer.latest_replay_id)


def _metadata(access: Access) -> calls.Metadata:
    return (("accesstoken", access.token), ("instanceurl", access.instance), ("tenantid", access.tenant))


def channel(address: str, *, plain: bool = False) -> Channel:
    """A connection to the Pub/Sub API. `plain`: without TLS, as to a sandbox on this machine."""
    options = (("grpc.max_receive_message_length", _LARGEST),)
    if plain:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(), options=options)
