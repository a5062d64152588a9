"""Fetching ahead, with a bound: back-pressure on the broker is a partition that is not asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition

from fieldwarden.connectors.debezium.kafka.buffers import Buffers
from fieldwarden.connectors.debezium.kafka.consumer import Member
from fieldwarden.connectors.debezium.kafka.record import Record

_WAIT = 0.2
_SHARE = 2000
"""Records of one partition that are fetched at once."""


class Intake:
    """Fills `buffers` up to `bound` bytes. Past that all partitions are paused, so that the client fetches no more
    ahead of us either, until half of it is gone."""

    def __init__(self, buffers: Buffers[TopicPartition], bound: int) -> None:
        self.buffers = buffers
        self._bound = bound
        self._full = False

    def clear(self) -> None:
        """For a new assignment, whose partitions are all resumed."""
        self.buffers.clear()
        self._full = False

    async def fill(
        self, member: Member, readable: Sequence[TopicPartition], others: Sequence[TopicPartition]
    ) -> list[Record]:
        """Wait a moment for the first record, take what else is there of partitions that have run out.

        Returns the records of `others`, which are not buffered. Raises SourceGap, EnvironmentUnfit, TransientError."""
        noted: list[Record] = []
        hungry = [each for each in readable if each not in self.buffers]
        if not self.buffers:
            found = await member.fetch((*readable, *others), _WAIT, 1)
            if not found:
                member.check_heard(readable)
                return noted
            self._keep(found, others, noted)
        for each in (*others, *hungry):
            if member.rebalancing or self._is_full(member, readable):
                break
            self._keep(await member.fetch((each,), 0, _SHARE), others, noted)
        return noted

    def _keep(
        self,
        found: Mapping[TopicPartition, Sequence[Record]],
        others: Sequence[TopicPartition],
        noted: list[Record],
    ) -> None:
        for partition, records in found.items():
            if partition in others:
                noted += records
            else:
                self.buffers.add(partition, records)

    def _is_full(self, member: Member, readable: Sequence[TopicPartition]) -> bool:
        if not self._full and self.buffers.bytes >= self._bound:
            member.pause(readable)
            self._full = True
        elif self._full and self.buffers.bytes < self._bound // 2:
            member.resume(readable)
            self._full = False
        return self._full
