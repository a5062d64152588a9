"""How clients of Kafka are started."""

from __future__ import annotations

import asyncio

import pytest

from fieldwarden.connectors.debezium.kafka.brokers import Brokers, start


class Client:
    """Its start takes as long as the test likes."""

    def __init__(self) -> None:
        self.asked, self.answered, self.started = asyncio.Event(), asyncio.Event(), False

    async def start(self) -> None:
        self.asked.set()
        await self.answered.wait()
        self.started = True


async def test_whoever_is_cancelled_lets_the_client_start_first_so_that_it_can_be_stopped() -> None:
    client = Client()
    starting = asyncio.create_task(start(client, Brokers("nowhere:9092")))
    await client.asked.wait()
    starting.cancel()
    await asyncio.sleep(0)
    client.answered.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert client.started
