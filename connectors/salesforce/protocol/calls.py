"""The calls of the Pub/Sub API on a channel, with the types of what goes and comes."""

from __future__ import annotations

from typing import Final, TypeAlias

import grpc

from fieldwarden.connectors.salesforce.protocol import pubsub_api_pb2 as api

_SERVICE: Final = "/eventbus.v1.PubSub"

Metadata: TypeAlias = tuple[tuple[str, str], ...]
Fetching: TypeAlias = grpc.aio.StreamStreamCall[api.FetchRequest, api.FetchResponse]


def subscribe(channel: grpc.aio.Channel, metadata: Metadata) -> Fetching:
    """A stream of answers to requests that are written one by one."""
    call: grpc.aio.StreamStreamMultiCallable[api.FetchRequest, api.FetchResponse] = channel.stream_stream(
        f"{_SERVICE}/Subscribe", _written, api.FetchResponse.FromString
    )
    return call(metadata=metadata)


def _written(request: api.FetchRequest) -> bytes:
    return request.SerializeToString()


async def schema(channel: grpc.aio.Channel, metadata: Metadata, id: str, limit: float) -> str:
    """The Avro schema with an id, as JSON, within `limit` seconds."""
    call = channel.unary_unary(f"{_SERVICE}/GetSchema", api.SchemaRequest.SerializeToString, api.SchemaInfo.FromString)
    answer: api.SchemaInfo = await call(api.SchemaRequest(schema_id=id), timeout=limit, metadata=metadata)
    return answer.schema_json


async def topic(channel: grpc.aio.Channel, metadata: Metadata, name: str, limit: float) -> api.TopicInfo:
    """What a topic is now, within `limit` seconds."""
    call = channel.unary_unary(f"{_SERVICE}/GetTopic", api.TopicRequest.SerializeToString, api.TopicInfo.FromString)
    answer: api.TopicInfo = await call(api.TopicRequest(topic_name=name), timeout=limit, metadata=metadata)
    return answer
