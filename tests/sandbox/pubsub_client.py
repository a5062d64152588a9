"""Somebody else's client of the Pub/Sub API (PyPI `aiosfpubsub`, with Salesforce's own stubs and Apache's own Avro) at
a sandbox: `python pubsub_client.py ADDRESS TOPIC COUNT` prints what it is told, a line of JSON for each event, and
before it what Salesforce's stubs say of the messages that are ours too.

It is a process of its own: those stubs and ours cannot be in one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import grpc
from aiosfpubsub import Client
from aiosfpubsub import pubsub_api_pb2 as theirs


def plain(target: str, *_: Any, **__: Any) -> grpc.Channel:
    return grpc.insecure_channel(target)


def plain_aio(target: str, *_: Any, **__: Any) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(target)


def wire() -> dict[str, dict[str, list[Any]]]:
    """Of each message the numbers and types of its fields."""
    return {
        name: {field.name: [field.number, field.type, field.is_repeated] for field in message.fields}
        for name, message in theirs.DESCRIPTOR.message_types_by_name.items()
    }


async def main(address: str, topic: str, count: int) -> None:
    grpc.secure_channel, grpc.aio.secure_channel = plain, plain_aio  # a sandbox on this machine has no certificate
    host, _, port = address.partition(":")
    client = Client("http://org.example", "ann", "secret", host, int(port))
    client.metadata = (
        ("accesstoken", "token-1"),
        ("instanceurl", "http://org.example"),
        ("tenantid", "00Dxx0000001gPLEAY"),
    )
    print(json.dumps(wire()))
    print(json.dumps(client.get_topic(topic).can_subscribe))
    left = count
    done = asyncio.Event()

    def told(answer: Any, client: Any) -> None:
        nonlocal left
        for each in answer.events:
            print(json.dumps(client.decode(client.get_schema_json(each.event.schema_id), each.event.payload)))
            left -= 1
        if left <= 0:
            done.set()

    reading = asyncio.create_task(client.subscribe(topic, "EARLIEST", b"", 50, told))
    waiting = asyncio.create_task(done.wait())
    await asyncio.wait([reading, waiting], return_when=asyncio.FIRST_COMPLETED)
    reading.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
