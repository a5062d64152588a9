"""Where the topics end, asked from outside any consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

from aiokafka import AIOKafkaConsumer, TopicPartition

from fieldwarden.connectors.debezium.kafka.brokers import Brokers, metadata, start, translated, undisturbed


class Ends:
    """One client, connected when needed and given up after any failure; one question at a time."""

    def __init__(self, system: str, brokers: Brokers) -> None:
        self._system = system
        self._brokers = brokers
        self._consumer: AIOKafkaConsumer | None = None
        self._asking = asyncio.Lock()

    async def of(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        """The offset of the next record of each partition of those of the topics that exist.

        Raises EnvironmentUnfit, TransientError."""
        async with self._asking:
            try:
                with translated(self._brokers, self._system):
                    return await undisturbed(self._ends(set(topics)))
            except BaseException:
                await self.close()
                raise

    async def _ends(self, topics: set[str]) -> dict[TopicPartition, int]:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                client_id="fieldwarden", isolation_level="read_committed", **self._brokers.options()
            )
            await start(self._consumer, self._brokers)
        cluster = await metadata(self._consumer)
        partitions = [
            TopicPartition(topic, number)
            for topic in sorted(topics & cluster.topics())
            for number in sorted(cluster.partitions_for_topic(topic) or ())
        ]
        return cast(dict[TopicPartition, int], await self._consumer.end_offsets(partitions)) if partitions else {}

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await undisturbed(consumer.stop())
