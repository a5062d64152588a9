"""The stage with Kafka: the same two servers, and between them Debezium, one topic and Kafka Connect.

A backlog is committed to the source and waited for until the topic holds all of it, while nobody reads the topic. The
events are the real connector's, in its own encodings, and registered as `fieldwarden connector register` does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from bench.kafka_costs import Meter
from bench.processes import children_cpu
from bench.stage import Backlog, Stage, Stuck, staged
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from stack.running import Stack
from stack.topics import create_topics

PREFIX = "crm"
TOPIC = f"{PREFIX}.public.customer"
PARTITIONS = 2
_PATIENCE_SECONDS = 300.0


@dataclass(slots=True)
class KafkaStage:
    stage: Stage
    kafka: Stack

    def add(self, rows: int, step: int = 1) -> Backlog:
        """Commit new rows, `step` to a transaction, and wait until all of them are in the topic. Raises Stuck."""
        backlog = self.stage.add(rows, step)
        asyncio.run(self._filled(self.stage.changes))
        return backlog

    def edit(self, rows: int) -> Backlog:
        """Commit an edit of three columns of the first rows, one to a transaction, and wait as `add` does."""
        backlog = self.stage.edit(rows, 1)
        asyncio.run(self._filled(self.stage.changes))
        return backlog

    def meter(self, workers: Sequence[int] = ()) -> Meter:
        """Counts what is spent from now on; `workers` are our processes."""
        kafka = self.kafka
        return Meter(
            {
                "workers": lambda: workers,
                "PostgreSQL": lambda: _processes(self.stage.destination),
                "Connect": lambda: [kafka.connect.pid] if kafka.connect.pid else [],
                "broker": lambda: [kafka.broker.pid] if kafka.broker.pid else [],
                "source": lambda: _processes(self.stage.source),
            }
        )

    async def settled(self, group: str, members: int) -> None:
        """Wait until a consumer group has so many members and each has its partitions. Raises Stuck."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while True:
                (answer,) = await admin.describe_consumer_groups([group])
                ((_, _, state, _, _, found, *_),) = answer.groups
                if (state, len(found)) == ("Stable", members):
                    return
                if time.monotonic() > deadline:
                    raise Stuck(f"the consumer group {group} did not settle: {state}, {len(found)} members")
                await asyncio.sleep(0.05)
        finally:
            await admin.close()

    async def _filled(self, records: int) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap)
        await consumer.start()
        try:
            partitions = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while sum((await consumer.end_offsets(partitions)).values()) < records:
                if time.monotonic() > deadline:
                    raise Stuck(f"Debezium has not brought {records:,} records within {_PATIENCE_SECONDS:.0f} s")
                await asyncio.sleep(0.05)
        finally:
            await consumer.stop()


def _processes(server: EmbeddedServer) -> list[int]:
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    return [postmaster, *children_cpu(postmaster)]


@contextlib.contextmanager
def kafka_staged(targets: Sequence[str], hubs: Sequence[str]) -> Iterator[KafkaStage]:
    """Servers, broker and Connect, running, with an empty topic; gone afterwards. Raises StackUnfit."""
    with staged(targets, hubs, tcp=True) as stage, tempfile.TemporaryDirectory(prefix="fieldwarden-bench-") as place:
        kafka = Stack(Path(place) / "stack.json", heap="1g", quick=False)
        try:
            kafka.start()
            asyncio.run(create_topics(kafka.bootstrap, {TOPIC: PARTITIONS}))
            yield KafkaStage(stage, kafka)
        finally:
            kafka.stop()
