"""Reading a table again, with a connector played by the test: what it does when Debezium stumbles over itself.

Kafka is real; Kafka Connect is a small server of the test's, since the real one stumbles only now and then. The stack
traces are what it left when it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from fieldwarden.connectors.debezium.connect.client import Connect
from fieldwarden.connectors.debezium.connect.registration import signals_topic
from fieldwarden.connectors.debezium.connect.signals import Signals
from fieldwarden.connectors.debezium.connect.snapshots import (
    Asked,
    ConnectorDown,
    Progress,
    SnapshotFailed,
    Tell,
    read_again,
)
from fieldwarden.connectors.debezium.kafka.access import Endpoint
from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.rules.rulebook import System
from stack import Stack
from tests.builders import debezium
from tests.integration.connect_server import ConnectServer, connect_server
from tests.patience import within

ASKED = Asked("fieldwarden/0a1b2c3d/customer/public.account", "public.account")
SCAN = "TABLE_SCAN_COMPLETED"


STOPPED_PRODUCER = """\
org.apache.kafka.connect.errors.ConnectException: An exception occurred in the change event producer.
	at io.debezium.pipeline.ErrorHandler.setProducerThrowable(ErrorHandler.java:67)
	at io.debezium.connector.postgresql.PostgresStreamingChangeEventSource.execute(PostgresStreamingChangeEventSource.java:222)
Caused by: """  # noqa: E501
INCREMENTAL = "io.debezium.pipeline.source.snapshot.incremental.AbstractIncrementalSnapshotChangeEventSource"
TABLE_GONE = f"""\
java.lang.NullPointerException: Cannot invoke "DataCollection.getId()" because the return value of \
"IncrementalSnapshotContext.currentDataCollectionId()" is null
	at {INCREMENTAL}.sendEvent(AbstractIncrementalSnapshotChangeEventSource.java:186)
	at {INCREMENTAL}.sendWindowEvents(AbstractIncrementalSnapshotChangeEventSource.java:178)
	... 10 more
"""
WINDOW_TORN = f"""\
java.util.ConcurrentModificationException
	at java.base/java.util.LinkedHashMap$LinkedHashIterator.nextNode(LinkedHashMap.java:756)
	at {INCREMENTAL}.sendWindowEvents(AbstractIncrementalSnapshotChangeEventSource.java:177)
"""
WATERMARK_GONE = """\
java.lang.NullPointerException: Cannot invoke "java.lang.Long.compareTo(java.lang.Long)" because "eventTxId" is null
	at io.debezium.connector.postgresql.PostgresReadOnlyIncrementalSnapshotContext.isTransactionVisible(X.java:106)
"""
ELSEWHERE = """\
java.lang.NullPointerException: Cannot invoke "Column.name()" because "column" is null
	at io.debezium.relational.TableSchemaBuilder.createKey(TableSchemaBuilder.java:1)
	at io.debezium.pipeline.source.snapshot.incremental.AbstractIncrementalSnapshotChangeEventSource.readChunk(A.java:1)
"""
NO_VALUE = f"""\
org.apache.kafka.connect.errors.DataException: Invalid value
	at {INCREMENTAL}.sendEvent(AbstractIncrementalSnapshotChangeEventSource.java:186)
"""


@dataclass
class Life:
    """A connector that runs, stops and goes on as Connect is told, and whose task fails as the test likes."""

    server: ConnectServer
    state: str = "RUNNING"
    tasks: list[dict[str, Any]] = field(default_factory=list)

    def status(self, _body: Any) -> tuple[int, Any]:
        return 200, {"name": "crm", "connector": {"state": self.state, "worker_id": "w"}, "tasks": self.tasks}

    def become(self, state: str, *tasks: str, trace: str = "x.Y: no") -> None:
        self.state = state
        self.tasks = [{"id": n, "state": each, "worker_id": "w", "trace": trace} for n, each in enumerate(tasks)]

    def fails(self, root: str) -> Callable[[], Awaitable[None]]:
        async def fail() -> None:
            self.become("RUNNING", "FAILED", trace=STOPPED_PRODUCER + root)

        return fail


@pytest.fixture
def life() -> Iterator[Life]:
    with connect_server() as server:
        life = Life(server)

        def told(*new: str) -> Callable[[Any], tuple[int, Any]]:
            def become(_body: Any) -> tuple[int, Any]:
                life.become(*new)
                return 202, ""

            return become

        life.become("RUNNING", "RUNNING")
        server.answers("GET", "/connectors/crm/status", life.status)
        server.answers("PUT", "/connectors/crm/stop", told("STOPPED"))
        server.answers("PUT", "/connectors/crm/resume", told("RUNNING", "RUNNING"))
        yield life


@pytest.fixture
def server(life: Life) -> ConnectServer:
    return life.server


Line = Sequence[tuple[str, dict[str, str]] | Callable[[], Awaitable[None]]]
"""What a connector does about one signal: notifications, and what happens to it between them."""


class Connector:
    """Plays Debezium: answers each signal with the next of its lines of notifications."""

    def __init__(self, stack: Stack, prefix: str) -> None:
        self.system = System("crm", 0, debezium(prefix=prefix), {})
        self.signals = Signals(self.system, Brokers(stack.bootstrap))
        self.heard: list[dict[str, Any]] = []
        self._stack, self._prefix = stack, prefix

    @contextlib.asynccontextmanager
    async def answering(self, *lines: Line) -> AsyncIterator[None]:
        await self.signals.prepare()
        task = asyncio.create_task(self._answer(lines))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _answer(self, lines: tuple[Line, ...]) -> None:
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
                for each in line:
                    if callable(each):
                        await each()
                        continue
                    kind, details = each
                    said = {"id": self.heard[-1]["id"], "type": kind, "aggregate_type": "Incremental Snapshot"}
                    value = json.dumps(said | {"additional_data": details, "timestamp": 1}).encode()
                    await producer.send_and_wait(Topics(self.system).notifications, value, partition=0)
        finally:
            await consumer.stop()
            await producer.stop()


@pytest.fixture
def connector(kafka: Stack, prefix: str) -> Connector:
    return Connector(kafka, prefix)


async def ask(
    connector: Connector, server: ConnectServer, tell: Tell = lambda _progress: None, patience: float = 20
) -> int | None:
    async with Connect.open(Endpoint(server.url), patience=5) as connect:
        return await read_again(connect, "crm", connector.signals, ASKED, tell, patience=patience)


def scanned(status: str, rows: int = 0) -> Line:
    return [("STARTED", {}), (SCAN, {"status": status, "total_rows_scanned": str(rows)}), ("COMPLETED", {})]


async def test_progress_and_outcome_are_what_the_connector_says(connector: Connector, server: ConnectServer) -> None:
    told: list[Progress] = []
    chunk = {"chunk_index": "1", "total_chunks": "2", "total_rows": "1500"}
    line = [("STARTED", {}), ("IN_PROGRESS", chunk), *scanned("SUCCEEDED", 1500)[1:]]
    async with connector.answering(line):
        assert await ask(connector, server, told.append) == 1500
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
    connector: Connector, server: ConnectServer, line: Line, message: str
) -> None:
    async with connector.answering(line):
        with pytest.raises(SnapshotFailed, match=message):
            await ask(connector, server)


async def test_an_empty_table_has_been_read(connector: Connector, server: ConnectServer) -> None:
    async with connector.answering(scanned("EMPTY")):
        assert await ask(connector, server) == 0


def changed(server: ConnectServer) -> list[str]:
    return [path.rpartition("/")[2] for method, path in server.asked if method == "PUT"]


@pytest.mark.parametrize("root", [TABLE_GONE, WINDOW_TORN, WATERMARK_GONE], ids=["table", "window", "watermark"])
async def test_a_task_that_falls_over_our_signal_begins_anew_and_is_asked_again(
    connector: Connector, life: Life, root: str
) -> None:
    told: list[Progress] = []
    async with connector.answering([("STARTED", {}), life.fails(root)], scanned("SUCCEEDED", 9)):
        assert await ask(connector, life.server, told.append) == 9
    assert [each["id"] for each in connector.heard] == [ASKED.id, f"{ASKED.id}~2"]
    assert changed(life.server) == ["stop", "resume"]
    (said,) = [each.note for each in told if each.note]
    assert said == "Debezium stumbled over itself; its task begins anew, and the table is read again"


async def test_an_end_that_is_told_while_the_task_falls_is_none(connector: Connector, life: Life) -> None:
    """The thread that takes signals has said the end, the one that streams has had the last rows in its hands."""
    async with connector.answering([*scanned("SUCCEEDED", 7), life.fails(TABLE_GONE)], scanned("SUCCEEDED", 9)):
        assert await ask(connector, life.server) == 9
    assert changed(life.server) == ["stop", "resume"]


async def test_what_debezium_resumed_after_the_restart_does_not_count(connector: Connector, life: Life) -> None:
    """It reads on where its stored offsets were, under the first name and, once it has heard it, under the second."""
    rest, whole = scanned("SUCCEEDED", 2)[1], scanned("SUCCEEDED", 9)[1]
    async with connector.answering([("STARTED", {}), life.fails(TABLE_GONE)], [rest, whole, ("COMPLETED", {})]):
        assert await ask(connector, life.server) == 9


async def test_rows_that_what_was_resumed_has_left_behind_are_forgotten_too(connector: Connector, life: Life) -> None:
    torn, whole = scanned("SQL_EXCEPTION", 2)[1], scanned("SUCCEEDED", 9)[1]
    async with connector.answering(
        [("STARTED", {}), life.fails(TABLE_GONE)], [torn, whole, ("COMPLETED", {})], scanned("SUCCEEDED", 9)
    ):
        assert await ask(connector, life.server) == 9
    assert changed(life.server) == ["stop", "resume"] * 2


async def test_a_task_that_falls_each_time_is_given_up_and_begun_anew(connector: Connector, life: Life) -> None:
    line: Line = [("STARTED", {}), life.fails(TABLE_GONE)]
    async with connector.answering(*[line] * 4):
        with pytest.raises(SnapshotFailed, match=r"public\.account was not read again: Debezium's task fell over it"):
            await ask(connector, life.server)
    assert changed(life.server) == ["stop", "resume"] * 4
    assert life.tasks[0]["state"] == "RUNNING"


@pytest.mark.parametrize(
    ("root", "error"),
    [(ELSEWHERE, "NullPointerException"), (NO_VALUE, "DataException"), ("x.Y: no", "Y: no")],
    ids=["another place", "another cause", "no trace"],
)
async def test_a_task_that_fails_otherwise_is_left_and_named(
    connector: Connector, life: Life, root: str, error: str
) -> None:
    async with connector.answering([("STARTED", {}), life.fails(root)]):
        with pytest.raises(ConnectorDown, match=f"connector crm has failed: .*{error}"):
            await ask(connector, life.server)
    assert changed(life.server) == []


async def test_a_task_that_has_failed_before_is_not_ours_to_begin_anew(connector: Connector, life: Life) -> None:
    await life.fails(TABLE_GONE)()
    with pytest.raises(ConnectorDown, match="connector crm has failed"):
        await ask(connector, life.server)
    assert changed(life.server) == []


async def test_a_silence_is_said_once(connector: Connector, life: Life) -> None:
    """After a restart Debezium looks for its place in the log, and reads no further before a change comes."""
    told: list[Progress] = []
    spoken = asyncio.Event()

    def tell(progress: Progress) -> None:
        told.append(progress)
        spoken.set()

    async def nothing() -> None:
        async with within():
            await spoken.wait()

    async with connector.answering([("STARTED", {}), nothing, *scanned("SUCCEEDED", 9)[1:]]):
        assert await ask(connector, life.server, tell, patience=2) == 9
    assert [each.note for each in told if each.note] == [
        "nothing comes for now; after a restart Debezium goes on with the database's next change"
    ]


async def test_notifications_of_others_are_not_ours(connector: Connector, server: ConnectServer) -> None:
    """Another backfill's end, and what stood in the topic before we listened, mean nothing."""
    async with connector.answering(scanned("SUCCEEDED", 7), scanned("SUCCEEDED", 3)):
        await connector.signals.send("somebody's", "execute-snapshot", {})
        assert await ask(connector, server) == 3
    assert [each.id for each in await connector.signals.history()][-1] == ASKED.id
