"""Topics for a test: made with as many partitions as it wants, and read from their beginning."""

from __future__ import annotations

import time
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

_SECONDS = 60.0


async def create_topics(bootstrap: str, partitions: Mapping[str, int], **configs: str) -> None:
    """Make topics, name -> number of partitions. In `configs` a double underscore stands for a dot."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        settings = {name.replace("__", "."): value for name, value in configs.items()}
        topics = [NewTopic(name, count, 1, topic_configs=settings) for name, count in partitions.items()]
        answer = await admin.create_topics(topics)
        refused = [error for error in answer.topic_errors if error[1]]
        assert not refused, f"Kafka made no such topic: {refused}"
    finally:
        await admin.close()


async def partitions(bootstrap: str, topic: str) -> set[int]:
    """The numbers of a topic's partitions."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        return set(consumer.partitions_for_topic(topic) or ())
    finally:
        await consumer.stop()


async def read(bootstrap: str, *topics: str, count: int) -> list[ConsumerRecord]:
    """At least the first `count` records of these topics, each partition's in order. AssertionError if fewer come."""
    records: list[ConsumerRecord] = []
    consumer = AIOKafkaConsumer(
        *topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest", metadata_max_age_ms=200
    )
    await consumer.start()
    try:
        deadline = time.monotonic() + _SECONDS
        while len(records) < count:
            assert time.monotonic() < deadline, f"{len(records)} of {count} records came within {_SECONDS:.0f} s"
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
    finally:
        await consumer.stop()
    return records
