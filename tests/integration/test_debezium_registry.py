"""Avro records whose schemas are in a registry: fetched when met, unknown ids set aside, an outage sat out."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import Mapping
from typing import Any

import fastavro
import pytest

from fieldwarden.connectors.debezium.kafka.registry import Registry
from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.engine.testing import MemoryHub
from stack.process import free_port
from tests.integration.kafka_world import ACCOUNT, Topics, Worker, key
from tests.patience import until

VALUE = {
    "type": "record",
    "name": "Value",
    "fields": [
        {"name": "id", "type": "int"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "credit", "type": ["null", "string"]},
    ],
}
SOURCE = {
    "type": "record",
    "name": "Source",
    "fields": [{"name": "ts_ms", "type": "long"}, {"name": "snapshot", "type": ["null", "string"]}],
}
ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "fields": [
        {"name": "before", "type": ["null", VALUE]},
        {"name": "after", "type": ["null", "Value"]},
        {"name": "source", "type": SOURCE},
        {"name": "op", "type": "string"},
    ],
}


NOTIFICATION = {
    "type": "record",
    "name": "Notification",
    "fields": [{"name": name, "type": "string"} for name in ("id", "aggregate_type", "type")],
}


def framed(number: int, schema: dict[str, Any], content: Mapping[str, Any]) -> bytes:
    """Avro in Confluent's framing, its schema under this id."""
    data = io.BytesIO()
    fastavro.schemaless_writer(data, fastavro.parse_schema(schema), content)
    return b"\0" + number.to_bytes(4) + data.getvalue()


def inserted(number: int, account: int) -> bytes:
    after = {"id": account, "name": "Ada", "credit": "1.00"}
    event = {"before": None, "after": after, "source": {"ts_ms": 1, "snapshot": "false"}, "op": "c"}
    return framed(number, ENVELOPE, event)


class Shelf:
    """A registry that knows what a test put on it, over real HTTP."""

    def __init__(self) -> None:
        self.schemas: dict[int, str] = {}
        self.asked: list[int] = []
        self._open: set[asyncio.StreamWriter] = set()
        self._answers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Shelf:
        self._server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nobody's connection is left open, not even of a client that was stopped before it asked or heard anything, or
        that was accepted only just now."""
        self._server.close()
        for _turn in range(3):  # accepted, made, met: each is a turn of the loop
            await asyncio.sleep(0)
        for writer in list(self._open):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await asyncio.gather(*self._answers, return_exceptions=True)

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Noted before any task begins, which might never get its turn."""
        self._open.add(writer)
        self._answers.append(asyncio.create_task(self._answer(reader, writer)))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._told(reader, writer)
        writer.close()

    async def _told(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        number = int(request.split()[1].rpartition("/")[2])
        self.asked.append(number)
        schema = self.schemas.get(number)
        status = "404 Not Found" if schema is None else "200 OK"
        body = json.dumps({"error_code": 40403} if schema is None else {"schema": schema}).encode()
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()


@pytest.fixture
async def topics(topics: Topics) -> Topics:
    await topics.make(account=1)
    return topics


async def is_read(hub: MemoryHub) -> bool:
    return not await hub.unread(["crm"])


async def test_a_schema_is_fetched_when_it_is_met_and_an_unknown_id_is_a_dead_letter_until_it_is_known(
    topics: Topics,
) -> None:
    for account, number in ((1, 7), (2, 8), (3, 7)):
        await topics.put(ACCOUNT, key(account), inserted(number, account))
    async with Shelf() as shelf:
        shelf.schemas[7] = json.dumps(ENVELOPE)
        async with Worker(topics.bootstrap, topics.prefix, MemoryHub(), registry=Registry(shelf.url)) as reader:
            _, poison, _ = await reader.count(3)
            assert [change.undecoded is None for change in reader.changes] == [True, False, True]
            assert poison.values == ("2",)
            assert poison.undecoded is not None
            assert "does not know the id 8" in poison.undecoded.reason
            assert await reader.source.again(poison) is poison
            shelf.schemas[8] = json.dumps(ENVELOPE)
            again = await reader.source.again(poison)
    assert again.undecoded is None
    assert dict(zip(again.relation.columns, again.values, strict=True)) == {"id": "2", "name": "Ada", "credit": "1.00"}
    assert (again.place, again.position) == (poison.place, poison.position)
    assert shelf.asked == [7, 8, 8, 8]


async def test_a_registry_that_cannot_be_reached_loses_nothing(topics: Topics) -> None:
    await topics.put(ACCOUNT, key(1), inserted(7, 1))
    hub = MemoryHub()
    nowhere = Registry(f"http://127.0.0.1:{free_port()}")
    async with Worker(topics.bootstrap, topics.prefix, hub, registry=nowhere) as reader:
        with pytest.raises(TransientError, match="registry"):
            await reader.work()
    async with Shelf() as shelf:
        shelf.schemas[7] = json.dumps(ENVELOPE)
        async with Worker(topics.bootstrap, topics.prefix, hub, registry=Registry(shelf.url)) as later:
            await later.count(1)
    assert later.keys() == ["1"]


async def test_avro_without_a_registry_says_where_to_name_one(topics: Topics) -> None:
    await topics.put(ACCOUNT, key(1), inserted(7, 1))
    async with Worker(topics.bootstrap, topics.prefix, MemoryHub()) as reader:
        with pytest.raises(EnvironmentUnfit, match="schema registry") as caught:
            await reader.work()
    assert "kafka: registry" in caught.value.suggestion


async def test_a_notification_counts_though_its_schema_is_met_with_it(topics: Topics) -> None:
    """The only one there ever is says that the initial snapshot is over."""
    over = {"id": "x", "aggregate_type": "Initial Snapshot", "type": "COMPLETED"}
    await topics.put("fieldwarden-notifications", None, framed(9, NOTIFICATION, over))
    hub = MemoryHub()
    async with Shelf() as shelf:
        shelf.schemas[9] = json.dumps(NOTIFICATION)
        registry = Registry(shelf.url)
        async with (
            Worker(topics.bootstrap, topics.prefix, hub, registry=registry, settle_seconds=0.1) as reader,
            reader.working(),
        ):
            await until(lambda: is_read(hub), "the first rows")
    assert shelf.asked == [9]
