"""Reading a table again, with a connector played by the test: what it does when Debezium stumbles over itself.

Kafka is real; Kafka Connect is a small server of the test's, since the real one stumbles only now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from connectors.debezium.access import Endpoint
from connectors.debezium.brokers import Brokers
from connectors.debezium.connect import Connect
from connectors.debezium.registration import signals_topic
from connectors.debezium.signals import Signals
from connectors.debezium.snapshots import Asked, ConnectorDown, Progress, SnapshotFailed, read_again
from connectors.debezium.topics import Topics
from rules.rulebook import System
from stack import Stack
from tests.integration.connect_server import ConnectServer, connect_server

ASKED = Asked("fieldwarden/0a1b2c3d/customer/public.account", "public.account")
SCAN = "TABLE_SCAN_COMPLETED"


def status(state: str, *tasks: str) -> tuple[int, Any]:
    found = [{"id": n, "state": each, "worker_id": "w", "trace": "x.Y: no"} for n, each in enumerate(tasks)]
    return 200, {"name": "crm", "connector": {"state": state, "worker_id": "w"}, "tasks": found}


@pytest.fixture
def server() -> Iterator[ConnectServer]:
    """A connector that runs, stops and goes on as it is told."""
    with connect_server() as it:
        now = [status("RUNNING", "RUNNING")]

        def become(*new: Any) -> Any:
            def told(_body: Any) -> tuple[int, Any]:
                now[0] = status(*new)
                return 202, ""

            return told

        it.answers("GET", "/connectors/crm/status", lambda _body: now[0])
        it.answers("PUT", "/connectors/crm/stop", become("STOPPED"))
        it.answers("PUT", "/connectors/crm/resume", become("RUNNING", "RUNNING"))
        yield it


class Connector:
    """Plays Debezium: answers each signal with the next of its lines of notifications."""

    def __init__(self, stack: Stack, prefix: str) -> None:
        self.system = System("crm", 0, "debezium", {"prefix": prefix}, {})
        self.signals = Signals(self.system, Brokers(stack.bootstrap))
        self.heard: list[dict[str, Any]] = []
        self._stack, self._prefix = stack, prefix

    @contextlib.asynccontextmanager
    async def answering(self, *lines: list[tuple[str, dict[str, str]]]) -> AsyncIterator[None]:
        await self.signals.prepare()
        task = asyncio.create_task(self._answer(lines))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _answer(self, lines: tuple[list[tuple[str, dict[str, str]]], ...]) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._stack.bootstrap)
        producer = AIOKafkaProducer(bootstrap_servers=self._stack.bootstrap)
        await consumer.start()
        await producer.start()
        try:
            place = TopicPartition(signals_topic(self._prefix), 0)
            consumer.assign([place])
            consumer.seek(place, 0)
            for line in lines:
                record = await consumer.getone()
                assert record.key == self._prefix.encode()
                self.heard.append(json.loads(record.value))
                for kind, details in line:
                    said = {"id": self.heard[-1]["id"], "type": kind, "aggregate_type": "Incremental Snapshot"}
                    value = json.dumps(said | {"additional_data": details, "timestamp": 1}).encode()
                    await producer.send_and_wait(Topics(self.system).notifications, value, partition=0)
        finally:
            await consumer.stop()
            await producer.stop()


@pytest.fixture
def connector(kafka: Stack, prefix: str) -> Connector:
    return Connector(kafka, prefix)


async def ask(connector: Connector, server: ConnectServer, told: list[Progress] | None = None) -> int | None:
    tell = (told if told is not None else []).append
    async with Connect.open(Endpoint(server.url), patience=5) as connect:
        return await read_again(connect, "crm", connector.signals, ASKED, tell, patience=20)


def scanned(status: str, rows: int = 0) -> list[tuple[str, dict[str, str]]]:
    return [("STARTED", {}), (SCAN, {"status": status, "total_rows_scanned": str(rows)}), ("COMPLETED", {})]


async def test_progress_and_outcome_are_what_the_connector_says(connector: Connector, server: ConnectServer) -> None:
    told: list[Progress] = []
    chunk = {"chunk_index": "1", "total_chunks": "2", "total_rows": "1500"}
    line = [("STARTED", {}), ("IN_PROGRESS", chunk), *scanned("SUCCEEDED", 1500)[1:]]
    async with connector.answering(line):
        assert await ask(connector, server, told) == 1500
    assert told == [Progress("public.account", 750, 1500), Progress("public.account", 1500, None)]
    assert connector.heard[0]["data"] == {"type": "INCREMENTAL", "data-collections": [r"public\.account"]}


async def test_a_task_that_may_hold_rows_of_a_failed_read_begins_anew_before_it_is_asked_again(
    connector: Connector, server: ConnectServer
) -> None:
    counted_on = {"status": "SUCCEEDED", "total_rows_scanned": "18", "total_rows": "9"}
    again = [("STARTED", {}), (SCAN, counted_on), ("COMPLETED", {})]
    async with connector.answering(scanned("SQL_EXCEPTION", 9), again):
        assert await ask(connector, server) == 9
    assert [each["id"] for each in connector.heard] == [ASKED.id, f"{ASKED.id}~2"]
    changed = [path for method, path in server.asked if method == "PUT"]
    assert changed == ["/connectors/crm/stop", "/connectors/crm/resume"]


async def test_what_fails_again_and_again_is_given_up_with_the_task_clean(
    connector: Connector, server: ConnectServer
) -> None:
    async with connector.answering(*[scanned("SQL_EXCEPTION")] * 4):
        with pytest.raises(SnapshotFailed, match=r"public\.account was not read again: reading it failed"):
            await ask(connector, server)
    assert server.asked.count(("PUT", "/connectors/crm/resume")) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (scanned("NO_PRIMARY_KEY"), "it has no primary key"),
        (scanned("UNKNOWN_SCHEMA"), "does not know the table"),
        (scanned("SKIPPED"), "it was skipped"),
        ([("STARTED", {}), ("COMPLETED", {})], "it ended with no outcome"),
        ([("STARTED", {}), ("ABORTED", {})], "the connector stopped at it"),
    ],
)
async def test_every_other_end_is_a_failure_in_words(
    connector: Connector, server: ConnectServer, line: list[tuple[str, dict[str, str]]], message: str
) -> None:
    async with connector.answering(line):
        with pytest.raises(SnapshotFailed, match=message):
            await ask(connector, server)


async def test_an_empty_table_has_been_read(connector: Connector, server: ConnectServer) -> None:
    async with connector.answering(scanned("EMPTY")):
        assert await ask(connector, server) == 0


async def test_a_task_that_fails_meanwhile_is_named(connector: Connector, server: ConnectServer) -> None:
    server.answers("GET", "/connectors/crm/status", status("RUNNING", "RUNNING"), status("RUNNING", "FAILED"))
    await connector.signals.prepare()
    with pytest.raises(ConnectorDown, match="connector crm has failed: Y: no"):
        await ask(connector, server)


async def test_notifications_of_others_are_not_ours(connector: Connector, server: ConnectServer) -> None:
    """Another backfill's end, and what stood in the topic before we listened, mean nothing."""
    async with connector.answering(scanned("SUCCEEDED", 7), scanned("SUCCEEDED", 3)):
        await connector.signals.send("somebody's", "execute-snapshot", {})
        assert await ask(connector, server) == 3
    assert [each.id for each in await connector.signals.history()][-1] == ASKED.id
