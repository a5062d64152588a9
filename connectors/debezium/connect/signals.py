"""Signals to a connector over Kafka, and the notifications in which it tells what became of them.

A signal goes to partition 0, its key is the topic prefix, names of tables in it are regular expressions; the connector
passes over whatever is not so, with no more than a line in Connect's log. So the only acknowledgement is a
notification with the signal's id. Facts: Debezium's documentation, "Sending signals" and "Receiving notifications";
`KafkaSignalChannel`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from fieldwarden.connectors.debezium.connect.registration import signals_topic
from fieldwarden.connectors.debezium.kafka.brokers import Brokers, looking, start, translated, undisturbed
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.rulebook import System

_EXISTS = 36
"""Kafka's error code TOPIC_ALREADY_EXISTS."""


@dataclass(frozen=True, slots=True)
class Notification:
    """`kind` is STARTED, IN_PROGRESS, TABLE_SCAN_COMPLETED, COMPLETED, ABORTED ...; `at` in ms since 1970 UTC."""

    id: str
    kind: str
    about: str
    details: Mapping[str, str] = field(default_factory=dict)
    at: int = 0

    @property
    def rows(self) -> int | None:
        """How many rows of the table in hand have been read. (After a read that failed Debezium goes on counting where
        that had stopped; the total is counted anew.)"""
        scanned, total = _number(self.details.get("total_rows_scanned", "")), self.total
        return scanned if scanned is None or total is None else min(scanned, total)

    @property
    def total(self) -> int | None:
        """How many rows the table in hand had when its snapshot began."""
        return _number(self.details.get("total_rows", ""))


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 20 else None


def read_notification(value: bytes | None) -> Notification | None:
    """A record of the notifications topic; None for what is not one. With or without JsonConverter's schema."""
    try:
        body = json.loads(value or b"")
        content = body.get("payload", body)
        details = {str(name): str(text) for name, text in (content.get("additional_data") or {}).items()}
        at = int(content.get("timestamp") or 0)
        return Notification(content["id"], content["type"], content["aggregate_type"], details, at)
    except Exception:  # whoever may write there may write anything, nested without end
        return None


def snapshot_of(table: str, where: str = "") -> dict[str, Any]:
    """What an `execute-snapshot` signal says: read the rows of one table ("schema.table") again, beside the stream."""
    name = re.escape(table)
    data: dict[str, Any] = {"type": "INCREMENTAL", "data-collections": [name]}
    if where:
        data["additional-conditions"] = [{"data-collection": name, "filter": where}]
    return data


class Signals:
    """The two topics of one system's connector."""

    def __init__(self, system: System, brokers: Brokers) -> None:
        topics = Topics(system)
        self._system = system.name
        self._brokers = brokers
        self._prefix = topics.prefix
        self._signals = signals_topic(topics.prefix)
        self._notifications = topics.notifications

    async def prepare(self) -> None:
        """Make both topics, where they are not there yet: one partition each.

        Raises EnvironmentUnfit if that is not allowed, TransientError."""
        with translated(self._brokers, self._system):
            admin = AIOKafkaAdminClient(**self._brokers.options())
            try:
                await start(admin, self._brokers)
                missing = {self._signals, self._notifications} - set(await admin.list_topics())
                answer = await admin.create_topics([NewTopic(name, 1, -1, {}) for name in missing]) if missing else None
            finally:
                await undisturbed(admin.close())
        for topic, code, *_ in answer.topic_errors if answer is not None else ():
            if code not in (0, _EXISTS):
                raise EnvironmentUnfit(
                    f"{self._system}: Kafka does not let us make the topic {topic} (error {code})",
                    suggestion="make it by hand, with one partition, or let our user create topics",
                    path=self._system,
                )

    async def send(self, id: str, kind: str, data: Mapping[str, Any]) -> None:
        """Durable when it returns; whether it is heeded, only a notification tells.

        Raises EnvironmentUnfit, TransientError."""
        value = json.dumps({"id": id, "type": kind, "data": data}).encode()
        with translated(self._brokers, self._system):
            producer = AIOKafkaProducer(**self._brokers.options(), acks="all")
            try:
                await start(producer, self._brokers)
                await producer.send_and_wait(self._signals, value, key=self._prefix.encode(), partition=0)
            finally:
                await undisturbed(producer.stop())

    async def history(self) -> list[Notification]:
        """Every notification that Kafka still has, oldest first. Raises EnvironmentUnfit, TransientError."""
        async with self.listening(from_start=True) as listener:
            return await listener.until_end()

    @asynccontextmanager
    async def listening(self, *, from_start: bool = False) -> AsyncIterator[Listener]:
        """From now on, or from the beginning. Raises EnvironmentUnfit, TransientError."""
        async with looking(self._brokers, self._system) as consumer:
            place = TopicPartition(self._notifications, 0)
            consumer.assign([place])
            ends = await consumer.end_offsets([place])
            begin = await consumer.beginning_offsets([place]) if from_start else ends
            consumer.seek(place, begin[place])
            yield Listener(consumer, place, ends[place])


class Listener:
    """Notifications as they come."""

    def __init__(self, consumer: AIOKafkaConsumer, place: TopicPartition, end: int) -> None:
        self._consumer, self._place, self._end = consumer, place, end

    async def some(self, seconds: float) -> list[Notification]:
        """What has come, or comes within so many seconds."""
        records = await self._consumer.getmany(timeout_ms=int(seconds * 1000))
        found = (read_notification(record.value) for batch in records.values() for record in batch)
        return [notification for notification in found if notification is not None]

    async def until_end(self) -> list[Notification]:
        """All up to where the topic ended when listening began."""
        found: list[Notification] = []
        async with asyncio.timeout(30):
            while await self._consumer.position(self._place) < self._end:
                found += await self.some(0.5)
        return found
