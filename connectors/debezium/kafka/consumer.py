"""One member of a consumer group: which partitions are ours now, and their records.

aiokafka knows eager rebalancing only (0.14; KIP-429's cooperative protocol is not in it), so in every rebalance all
partitions are given up and assigned anew. They are dealt out in turn, topic after topic (round-robin), so that all
members have a share of every table; the sticky assignor counts partitions only, and may leave one member with nothing
but heartbeats. Three things are arranged around that:

- before partitions are given up, everything of them that was handed over becomes durable (`drain`), so that the next
  owner finds the right position in the hub and nobody's commit meets the fence;
- assigned partitions stand still, paused, until `start_at` says where to begin: positions live in the hub;
- heartbeats are a task of this event loop: it may be busy for as long as the session lasts (10 s), less one interval.
  A member that was silent for longer is given up by the group, and what it still commits is refused by the fence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, KafkaError, OffsetOutOfRangeError

from fieldwarden.connectors.debezium.kafka.brokers import Brokers, start, translated
from fieldwarden.connectors.debezium.kafka.gaps import gap
from fieldwarden.connectors.debezium.kafka.parts import partition_name
from fieldwarden.connectors.debezium.kafka.record import Record
from fieldwarden.engine.errors import TransientError

log = structlog.get_logger(__name__)

_FETCH_BYTES, _PARTITION_BYTES = 16 << 20, 2 << 20
_LEAVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """All in ms; the first four are Kafka's. Brokers bound the session (group.min.session.timeout.ms, 6 s by default).

    `drain` is how long a rebalance waits for us to make durable what was handed over. A broker that does not answer for
    `silence` is told of; one that restarts is back before."""

    session: int = 10_000
    heartbeat: int = 3_000
    poll_interval: int = 300_000
    rebalance: int = 30_000
    drain: int = 10_000
    silence: int = 20_000


class Member(ConsumerRebalanceListener):  # type: ignore[misc]
    """`drain` waits until all that was handed over is durable. `round` counts assignments."""

    def __init__(
        self,
        system: str,
        brokers: Brokers,
        group: str,
        *,
        drain: Callable[[], Awaitable[object]],
        timeouts: Timeouts,
        notice_seconds: float,
    ) -> None:
        """`notice_seconds`: how soon a new topic, or a new partition, is noticed."""
        self._system = system
        self._brokers = brokers
        self._drain = drain
        self._timeouts = timeouts
        self.round = 0
        self.assigned: frozenset[TopicPartition] = frozenset()
        self._revoked = True
        self._consumer = AIOKafkaConsumer(
            group_id=group,
            client_id="fieldwarden",
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=_PARTITION_BYTES,
            metadata_max_age_ms=max(200, int(notice_seconds * 1000)),
            session_timeout_ms=timeouts.session,
            heartbeat_interval_ms=timeouts.heartbeat,
            max_poll_interval_ms=timeouts.poll_interval,
            rebalance_timeout_ms=timeouts.rebalance,
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
            **brokers.options(),
        )
        self._committing: asyncio.Task[None] | None = None
        self._to_commit: dict[TopicPartition, int] = {}
        self._polled: int | None = None
        self._silent = self._checked = 0.0

    async def join(self, pattern: str) -> None:
        """Raises EnvironmentUnfit, TransientError. Partitions are assigned later, while `fetch` is called."""
        with translated(self._brokers, self._system):
            await start(self._consumer, self._brokers)
            self._consumer.subscribe(pattern=pattern, listener=self)

    # --- rebalancing: called by aiokafka, which only logs what is raised here ---------------------------------------

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:  # noqa: ARG002
        self._revoked = True
        self.assigned = frozenset()
        try:
            async with asyncio.timeout(self._timeouts.drain / 1000):
                await self._drain()
        except TimeoutError:
            log.info("kafka.not_drained", system=self._system)  # the fence refuses what is committed too late

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        for partition in assigned:
            self._consumer.seek(partition, 0)  # or it would ask Kafka for a position
        self.assigned = frozenset(assigned)
        self.round += 1
        self._revoked = False
        log.info("kafka.assigned", system=self._system, count=len(assigned))

    # --- partitions -------------------------------------------------------------------------------------------------

    @property
    def rebalancing(self) -> bool:
        """A rebalance has begun. When topics come or go, the client knows before it says so."""
        return self._revoked or self._consumer.assignment() != self.assigned

    def partitions_of(self, topic: str) -> int:
        return len(self._consumer.partitions_for_topic(topic) or ())

    def first_of(self, topics: Iterable[str]) -> TopicPartition | None:
        """The first partition of all that these topics have."""
        there = [topic for topic in topics if self.partitions_of(topic)]
        return TopicPartition(min(there), 0) if there else None

    async def extents(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Beginning and end offset of each. Raises EnvironmentUnfit, TransientError."""
        if not partitions:
            return {}
        with translated(self._brokers, self._system):
            beginnings = await self._consumer.beginning_offsets(partitions)
            ends = await self._consumer.end_offsets(partitions)
        return {partition: (beginnings[partition], ends[partition]) for partition in partitions}

    def start_at(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.seek(partition, offset)
        self._consumer.resume(partition)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._consumer.pause(*self._ours(partitions))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._consumer.resume(*self._ours(partitions))

    def _ours(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        return [] if self.rebalancing else [each for each in partitions if each in self.assigned]

    async def wait(self) -> None:
        """While partitions are assigned anew. Raises as `fetch` does."""
        await self.fetch((), 0.1, 1)

    async def fetch(
        self, partitions: Sequence[TopicPartition], wait: float, limit: int
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """What was fetched of these, at most `limit` records; waits up to `wait` seconds for the first.

        Waits while the group rebalances. Raises SourceGap, EnvironmentUnfit, TransientError."""
        try:
            with translated(self._brokers, self._system):
                found = await self._consumer.getmany(*partitions, timeout_ms=int(wait * 1000), max_records=limit)
        except TransientError as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                names = sorted(partition_name(*partition) for partition in error.__cause__.args[0])
                raise gap(
                    self._system, f"{', '.join(names)} no longer holds the records to read next", safe=True
                ) from error
            raise
        return cast(Mapping[TopicPartition, Sequence[Record]], found)

    def check_heard(self, partitions: Iterable[TopicPartition]) -> None:
        """Asked each time that nothing came for these. Raises TransientError if the broker has not even answered for
        long; time in which we did not ask does not count."""
        now = asyncio.get_running_loop().time()
        polled = max((self._consumer.last_poll_timestamp(each) or 0 for each in self._ours(partitions)), default=None)
        if polled is None or polled != self._polled:
            self._polled, self._silent = polled, 0.0
        else:
            self._silent += min(now - self._checked, 1.0)
        self._checked = now
        if self._silent > self._timeouts.silence / 1000:
            raise TransientError(
                f"{self._system}: Kafka at {self._brokers.servers} has not answered for {self._silent:.0f} s",
                suggestion="is the broker up?",
            )

    async def reached(self, partition: TopicPartition) -> int:
        """The offset to be read next, when all that was fetched is consumed: past any markers of transactions."""
        return cast(int, await self._consumer.position(partition))

    # --- Kafka's own record of how far we are, for lag tools only ---------------------------------------------------

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """In the background; of several that wait, the newest. Nobody reads it back, so a failure matters little."""
        self._to_commit.update(offsets)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit())

    async def _commit(self) -> None:
        while self._to_commit:
            offsets = {each: self._to_commit[each] for each in self._ours(self._to_commit)}
            self._to_commit.clear()
            if not offsets:
                return
            try:
                await self._consumer.commit(offsets)
            except (KafkaError, CommitFailedError, OSError) as error:
                log.debug("kafka.commit_failed", system=self._system, error=type(error).__name__)

    async def leave(self) -> None:
        """Leave the group at once, so that its other members need not wait for our session to end."""
        if self._committing is not None:
            if not self._committing.done():
                await asyncio.wait({self._committing}, timeout=0.5)
            self._committing.cancel()
            await asyncio.gather(self._committing, return_exceptions=True)
        client: Any = self._consumer._client
        stopping = asyncio.create_task(self._consumer.stop())
        done, _ = await asyncio.wait({stopping}, timeout=_LEAVE_SECONDS)
        if not done:  # it waits for a broker's answer, or for the group: hang up
            await client.close()
            await asyncio.wait({stopping}, timeout=_LEAVE_SECONDS)
        if not stopping.done():
            stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        await client.close()
