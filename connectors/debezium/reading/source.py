"""A Debezium connector's topics as a source: the partitions that the consumer group gives this worker, each from where
the hub has it.

open       join the group; partitions come and go from then on
batches    take what was assigned (the hub fences out whoever had it before), check that nothing is missing, then
           whatever has been fetched, merged over the partitions
acknowledge   Kafka is told, for lag tools; positions are read from the hub alone

A stream that no longer fits its mapping stands still before the first such record, with its reason; the others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import structlog
from aiokafka import TopicPartition

from fieldwarden.connectors.debezium.kafka.assignment import Assignment
from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.connectors.debezium.kafka.buffers import Buffers, depths
from fieldwarden.connectors.debezium.kafka.consumer import Member, Timeouts
from fieldwarden.connectors.debezium.kafka.gaps import check_streams
from fieldwarden.connectors.debezium.kafka.intake import Intake
from fieldwarden.connectors.debezium.kafka.parts import NOWHERE, PartitionPosition, partition_name, split_name
from fieldwarden.connectors.debezium.kafka.record import Record, place
from fieldwarden.connectors.debezium.kafka.registry import Registry
from fieldwarden.connectors.debezium.kafka.repeats import is_ahead
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.connectors.debezium.reading.baselines import number_of, positions_at
from fieldwarden.connectors.debezium.reading.first_rows import SETTLE_SECONDS, FirstRows, TellAgain
from fieldwarden.connectors.debezium.reading.lag import KafkaLag
from fieldwarden.connectors.debezium.reading.records import Records, SchemaNeeded
from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.errors import SchemaDrift, TransientError
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.ports.parts import Baseline
from fieldwarden.engine.ports.source import Batch, Observation, Start
from fieldwarden.rules.rulebook import Entity, System

log = structlog.get_logger(__name__)

Look: TypeAlias = Callable[[Sequence[RowRef]], Awaitable[list[Observation]]]
"""What its system holds of rows at this moment."""
IDLE_SECONDS = 10.0
"""An idle partition's position moves on no more often than this; as often new topics are looked for."""


class KafkaSource:
    """`engine.ports.Source` over a consumer group: one worker's share of a system's topics.

    `registry` is for Avro. `group` is the consumer group's whole name. `max_changes` and `max_bytes` bound a batch, and
    twice the bytes what is fetched ahead of it. `tell_again` has the connector tell all rows once more, in a new
    baseline: `always`, or while this worker has the first of all partitions, which one worker has at any time. `look`
    asks the system itself; where that stands among a partition's changes nobody can say. The source closes
    `lookout`'s connections with its own; they come back when needed.
    `clock`: µs since 1970 UTC.
    """

    def __init__(
        self,
        system: System,
        entities: Mapping[str, Entity],
        brokers: Brokers,
        registry: Registry | None,
        *,
        group: str,
        hub: Hub,
        lookout: KafkaLag,
        tell_again: TellAgain | None = None,
        always: bool = True,
        look: Look | None = None,
        max_changes: int = 2000,
        max_bytes: int = 8 << 20,
        idle_seconds: float = IDLE_SECONDS,
        settle_seconds: float = SETTLE_SECONDS,
        timeouts: Timeouts | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.system = system.name
        self._system = system
        self._clock = clock
        self._entities = entities
        self._brokers = brokers
        self._registry = registry
        self._group = group
        self._hub = hub
        self._lookout = lookout
        self._tell_again = tell_again
        self._always = always
        self._look = look
        self._max_changes = max_changes
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds
        self._settle_seconds = settle_seconds
        self._timeouts = timeouts or Timeouts()
        self._topics = Topics(system)
        self._mapped = list(system.read_streams)
        self._member: Member | None = None
        self._telling: asyncio.Task[None] | None = None
        self._drained = asyncio.Event()

    async def open(self, start: Start) -> None:
        """Raises EnvironmentUnfit, TransientError."""
        self._take = start.take
        self._assignment = Assignment(self.system)
        self._intake = Intake(Buffers(depths(self._topics.streams)), 2 * self._max_bytes)
        self._records = Records(self._system, self._entities, self._registry, self._lookout)
        self._first_rows = FirstRows(
            self.system, self._lookout, self._baseline, self._tell_ends, settle_seconds=self._settle_seconds
        )
        self._round = self._outstanding = 0
        self._idle_until = 0.0
        self._number = (await self._baseline()).number
        self._drained.set()
        self._member = Member(
            self.system,
            self._brokers,
            self._group,
            drain=self._drained.wait,
            timeouts=self._timeouts,
            notice_seconds=self._idle_seconds,
        )
        try:
            await self._member.join(self._topics.pattern)
        except BaseException:
            await self.close()
            raise
        self._telling = asyncio.create_task(self._first_rows.run(self._teller))

    async def batches(self) -> AsyncGenerator[Batch, None]:
        member = self._member
        if member is None:
            raise TransientError(f"{self.system}: the source is not open")
        while True:
            self._check_first_rows()
            if member.rebalancing:
                await member.wait()
                continue
            if member.round != self._round:
                await self._adopt(member)
                continue
            await self._fetch(member)
            batch = await self._cut(member) if not self._is_stale(member) else None
            if batch is not None:
                self._outstanding += 1
                self._drained.clear()
                yield batch

    async def ends(self, baseline: int) -> Mapping[str, str]:
        return positions_at(await self._lookout.ends(), baseline)

    def _teller(self) -> TellAgain | None:
        first = self._member.first_of(self._topics.streams) if self._member is not None else None
        return self._tell_again if self._always or first in self._assignment.parts else None

    def _check_first_rows(self) -> None:
        if self._telling is not None and self._telling.done() and not self._telling.cancelled():
            self._telling.result()

    @property
    def buffered(self) -> int:
        """Bytes that have been fetched and not yet handed over, roughly."""
        return self._intake.buffers.bytes

    @property
    def rebalancing(self) -> bool:
        """The group is assigning partitions anew: nothing is handed over meanwhile."""
        return self._member is None or self._member.rebalancing

    @property
    def assignments(self) -> int:
        """How often partitions were assigned since `open`."""
        return self._member.round if self._member is not None else 0

    def _is_stale(self, member: Member) -> bool:
        """What we hold is of an assignment that is no more, or about to be given up."""
        return member.rebalancing or member.round != self._round

    # --- which partitions are ours ----------------------------------------------------------------------------------

    async def _adopt(self, member: Member) -> None:
        """Take what was assigned, and go on with it where the hub has it. Raises SourceGap, EnvironmentUnfit;
        TransientError where a new baseline has begun since it was opened."""
        current, assigned = member.round, sorted(member.assigned)
        self._intake.clear()
        names = [partition_name(*each) for each in assigned if each.topic in self._topics.streams]
        baseline = await self._baseline()
        number = number_of(self.system, baseline)
        if number != self._number:  # with nothing to commit nobody would be fenced, nor have all rows told again
            raise TransientError(f"{self.system}: a new baseline has begun", suggestion="it is opened anew for it")
        await self._check_streams(baseline)
        taken = await self._take(names) if names else {}
        extents = await member.extents(assigned)
        if member.rebalancing or member.round != current:
            return
        assignment = Assignment(self.system)
        for each in assigned:
            beginning, end = extents[each]
            start = max(beginning, end - 1) if each.topic == self._topics.heartbeat else beginning
            name = partition_name(*each)
            if name in taken:
                partitions = member.partitions_of(each.topic)
                self._records.tell_partitions(each.topic, partitions)
                start = assignment.begin(
                    each,
                    taken[name],
                    baseline=number,
                    partitions=partitions,
                    extent=extents[each],
                ).next
            member.start_at(each, start)
        self._assignment, self._round = assignment, current
        self._idle_until = 0.0

    async def _baseline(self) -> Baseline:
        return await self._hub.baseline(self.system)

    async def _check_streams(self, baseline: Baseline) -> None:
        if baseline.told and not baseline.streams:  # as hubs of former versions have it
            await self._hub.read_until(self.system, {}, baseline.number, self._mapped)
        elif baseline.told:
            check_streams(self.system, baseline.streams, self._mapped)

    async def _tell_ends(self, ends: Mapping[str, int], baseline: int) -> None:
        """Tell the hub where the first rows end."""
        await self._hub.read_until(self.system, positions_at(ends, baseline), baseline, self._mapped)

    # --- records ----------------------------------------------------------------------------------------------------

    async def _fetch(self, member: Member) -> None:
        """Fill the buffers; records of no stream are read at once for what they say of the initial snapshot."""
        parts = self._assignment.parts
        readable = [each for each, part in parts.items() if not part.held]
        others = [each for each in member.assigned if each not in parts]
        for record in await self._intake.fill(member, readable, others):
            await self._records.note(record)

    # --- batches ----------------------------------------------------------------------------------------------------

    async def _cut(self, member: Member) -> Batch | None:
        """What has been fetched, as a batch; None if there is nothing to tell yet, or it is no longer ours to tell."""
        changes: list[RawChange] = []
        room, repeats, ahead, now = self._max_bytes, 0, 0, self._clock()
        while self._intake.buffers and room > 0 and len(changes) < self._max_changes:
            partition, record = self._intake.buffers.peek()
            part = self._assignment.parts[partition]
            try:
                change = self._records.change(record, part.baseline)
            except SchemaDrift as drift:
                from_before = await self._records.is_from_before(record)
                if self._is_stale(member):
                    return None
                if not from_before:
                    self._hold(member, record, drift)
                continue
            except SchemaNeeded as needed:
                await self._records.learn(needed)
                if self._is_stale(member):
                    return None
                continue
            if change is not None:
                mark = self._records.mark
                if is_ahead(mark, now, record.timestamp):
                    mark, ahead = NOWHERE, ahead + 1
                if part.hear(mark, readable=change.undecoded is None):
                    changes.append(change)
                else:
                    repeats += 1
                    log.debug("source.repeat", system=self.system, position=change.place)
            room -= self._intake.buffers.pop()
            part.next = record.offset + 1
        if ahead:
            message = "they say to be of the future: until that has come, repeats of them cannot be told from news"
            log.warning("source.ahead", system=self.system, count=ahead, message=message)
        if repeats:
            log.info("source.repeats", system=self.system, count=repeats)
        if self._records.streaming:
            self._first_rows.sign.set()
        return await self._whole(member, Batch(changes, {}))

    async def _whole(self, member: Member, batch: Batch) -> Batch | None:
        """With the positions reached. A batch that says nothing else is held back for a while."""
        now = asyncio.get_running_loop().time()
        silent = not (batch.changes or self._assignment.has_just_been_held)
        if silent and now < self._idle_until:
            return None
        await self._skip_what_is_no_record(member)  # also while others are busy, or an end would never be reached
        if self._is_stale(member) or (silent and not self._assignment.has_moved):
            return None
        batch.parts = self._assignment.moved()
        self._idle_until = now + self._idle_seconds
        return batch

    async def _skip_what_is_no_record(self, member: Member) -> None:
        """The end of a partition may be a transaction's marker, or have been compacted away."""
        for partition, part in self._assignment.parts.items():
            if not part.held and partition not in self._intake.buffers:
                part.next = max(part.next, await member.reached(partition))
                if self._is_stale(member):
                    return

    def _hold(self, member: Member, record: Record, drift: SchemaDrift) -> None:
        """A topic stands still before this record. Its partitions that others read do so by themselves."""
        reason = f"{drift.message} (from {place(record)} on); {drift.suggestion}"
        log.warning("source.held", system=self.system, stream=record.topic, message=drift.message)
        for part in self._assignment.of_topic(record.topic):
            part.hold(reason)
            self._intake.buffers.drop(part.partition)
            member.pause((part.partition,))

    async def again(self, raw: RawChange) -> RawChange:
        return await self._records.again(raw)

    async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
        """An incremental snapshot may lose rows without a word when it meets the stream (debezium/debezium pull request
        6147), and a row that is taken for gone may be deleted elsewhere."""
        return await self._look(rows) if self._look is not None else []

    # --- what is durable --------------------------------------------------------------------------------------------

    async def acknowledge(self, batch: Batch) -> None:
        self._outstanding -= 1
        if self._outstanding <= 0:
            self._drained.set()
        if self._member is not None:
            offsets = {name: PartitionPosition.decode(part.position or "").offset for name, part in batch.parts.items()}
            self._member.commit({TopicPartition(*split_name(name)): offset for name, offset in offsets.items()})

    async def close(self) -> None:
        member, self._member = self._member, None
        self._drained.set()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
            self._telling = None
        if member is not None:
            await member.leave()
        await self._lookout.close()
