"""What the hub tells people: how far everything is, what was set aside, and a person's word about that.

A dead letter is a change that was set aside (its id is a number) or a delivery that was parked (its id is
`target:record`). Lists carry no row's values but keys; those a change holds are read only by `values_of`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.deciding.kept_changes import unpack
from fieldwarden.engine.delivering.refusals import said
from fieldwarden.engine.hub.acts import append
from fieldwarden.engine.hub.duties import lock_class
from fieldwarden.engine.hub.migrate import SCHEMA
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Connection, Session, has_column, has_table
from fieldwarden.engine.ledger.entries import Act
from fieldwarden.engine.ports.durable import Duplicate
from fieldwarden.engine.ports.duties import Duty, Lane
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.engine.process import PROCESS
from fieldwarden.rules.secret import Secretive

_ALL = 1_000_000_000
_DELIVERY = re.compile(r"(.+):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_WORST = ("halted", "retrying", "snapshot", "streaming")


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source; where many workers share its parts, all of its lanes together."""

    name: str
    state: str
    message: str
    changes: int
    echoes: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class UnreadSource:
    """A source of which not all rows have been read: nothing is delivered to any system until they have. Where its
    parts tell them: `told` if it is known where the first rows end, `partitions` are those that have not come there;
    `again` if a new baseline was begun; `later` if a stream is mapped that was not when the others were read."""

    name: str
    told: bool
    again: bool
    partitions: tuple[str, ...]
    later: bool = False


@dataclass(frozen=True, slots=True)
class PartitionState:
    """A part of a source. `worker` is the number of the one that reads it, None if that one is gone (`ours`: it is this
    process); `message` says why it stands still."""

    source: str
    name: str
    position: str | None
    message: str
    updated_at: datetime
    worker: int | None
    ours: bool

    @property
    def lane(self) -> Lane | None:
        """In which its changes are committed, where a group of workers shares the parts."""
        return Lane(self.source, self.worker) if self.worker is not None else None


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A process that lives (`ours`: this one). `name` is its host and process id; it hangs if it has not spoken within
    its lease."""

    number: int
    name: str
    rulebook: str
    since: datetime
    hangs: bool
    duties: tuple[Duty, ...]
    ours: bool


@dataclass(frozen=True, slots=True)
class TargetState:
    """Records that may differ in a target, by what they wait for; `oldest` of those not parked, `oldest_due` of those
    that wait for nothing but the target."""

    name: str
    due: int
    waiting: int
    parked: int
    oldest: datetime | None
    oldest_due: datetime | None


@dataclass(frozen=True, slots=True)
class PutOff:
    """Deliveries to a target that have been tried, and are to be tried again for one reason (it is busy, it did not
    answer); `oldest` is when the first of them was due."""

    target: str
    reason: str
    number: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Writes to a target that have no result yet, whether they are under way or in doubt; `oldest` is when the first of
    them was to begin."""

    target: str
    number: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class SetAsideCount:
    system: str
    kind: str
    number: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class AmbiguousCount:
    """Rows of a stream that fit no record for certain, for one reason; `keys` are some of theirs."""

    system: str
    stream: str
    reason: str
    number: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForgedMarks:
    """Transactions of a system that somebody has marked as our own writes; the last one's name and time (µs)."""

    system: str
    number: int
    transaction: str
    at: int


@dataclass(frozen=True, slots=True)
class Rebaselined:
    """A system whose rows are read, or (`read`) all have been, once more: its number, since when, and why."""

    system: str
    baseline: int
    since: datetime
    why: str
    read: bool


@dataclass(frozen=True, slots=True)
class RecordCount:
    entity: str
    live: int
    retired: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`kind` is that of `SetAside`, or "delivery" (parked) or "waiting"; a delivery has a `record` and no row key.
    `released`: a person has asked for another try, and it has not been made yet. `place` is where the change stands in
    its source, where that has a name (topic/partition@offset)."""

    id: str
    kind: str
    system: str
    stream: str
    key: str
    entity: str
    reason: str
    since: datetime
    released: bool
    place: str
    awaits: RowRef | None
    candidates: tuple[str, ...]
    record: str | None


class Overview:
    """Reads and a person's few writes, on a connection of its own. Every method raises TransientError."""

    def __init__(self, dsn: Secretive, schema: str = SCHEMA) -> None:
        self._session = Session(dsn, schema, "overview", asking=True)
        self._schema = schema

    async def sources(self) -> list[SourceState]:
        living = {row[0] for row in await self._rows("workers", lock_class(self._schema))}
        lanes: dict[str, list[SourceState]] = {}
        logs = {part.source for part in await self.partitions() if part.name == LOG and part.position}
        for system, *row in await self._rows("sources"):
            lanes.setdefault(system, []).append(SourceState(*row))
        return [_together(system, states, living, whole=system in logs) for system, states in lanes.items()]

    async def unread(self, mapped: Mapping[str, Collection[str]]) -> list[UnreadSource]:
        """Those of these sources, each with the streams that are read of it."""
        sources = [source for source, streams in mapped.items() for _ in streams]
        streams = [stream for streams in mapped.values() for stream in streams]
        later = {name for (name,) in await self._rows("mapped_later", sources, streams)}
        names = later.union(name for (name,) in await self._rows("unread", list(mapped)))
        rows = await self._rows("how_unread", sorted(names)) if names else []
        return [UnreadSource(name, told, again, tuple(parts), name in later) for name, told, again, parts in rows]

    async def partitions(self) -> list[PartitionState]:
        numbers = {row[1]: row[0] for row in await self._rows("workers", lock_class(self._schema))}
        return [
            PartitionState(source, name, position, message, moved, numbers.get(holder), holder == PROCESS)
            for source, name, position, message, moved, holder in await self._rows("partitions")
        ]

    async def standing_still(self) -> list[PartitionState]:
        """Parts of which the worker that reads them has said, since it began, that a person is needed."""
        began = {worker.number: worker.since for worker in await self.workers()}
        return [
            part
            for part in await self.partitions()
            if part.message and part.worker in began and part.updated_at >= began[part.worker]
        ]

    async def workers(self) -> list[WorkerState]:
        duties: dict[str, list[Duty]] = {}
        for name, holder, expired in await self._rows("duties"):
            if holder and not expired:
                duties.setdefault(holder, []).append(Duty.parse(name))
        return [
            WorkerState(number, name, rulebook, since, not awake, tuple(duties.get(token, ())), token == PROCESS)
            for number, token, name, rulebook, since, awake in await self._rows("workers", lock_class(self._schema))
        ]

    async def targets(self) -> list[TargetState]:
        return [TargetState(*row) for row in await self._rows("targets")]

    async def due(self, target: str, shards: Collection[int]) -> int:
        """Of these shards of a target's deliveries; in a long backlog a record that was marked again counts again."""
        ((number,),) = await self._rows("due", target, sorted(shards))
        return int(number)

    async def put_off(self) -> list[PutOff]:
        return [PutOff(*row) for row in await self._rows("put_off")]

    async def unanswered(self) -> list[Unanswered]:
        """None where the schema is older than intents are."""
        async with self._session.transaction() as connection:
            if not await has_table(connection, "intent"):
                return []
            rows = await (await connection.execute(QUERIES["unanswered"])).fetchall()
        return [Unanswered(*row) for row in rows]

    async def set_aside(self) -> list[SetAsideCount]:
        return [SetAsideCount(*row) for row in await self._rows("set_aside_counts")]

    async def ambiguous(self, limit: int) -> list[AmbiguousCount]:
        """Why rows wait for a steward, the most frequent reasons first."""
        rows = await self._rows("ambiguous_counts", limit)
        return [AmbiguousCount(system, stream, why, number, tuple(keys)) for system, stream, why, number, keys in rows]

    async def records(self) -> list[RecordCount]:
        return [RecordCount(*row) for row in await self._rows("record_counts")]

    async def duplicates(self, limit: int = 100) -> list[Duplicate]:
        """Live records that carry the same value of a match key: the first of them."""
        return [Duplicate(entity, key, tuple(ids)) for entity, key, ids in await self._rows("duplicates", limit)]

    async def duplicate_counts(self) -> dict[str, int]:
        """Entity -> how many values of its match keys several live records carry."""
        return dict(await self._rows("duplicate_counts"))

    async def dead_letters(
        self,
        *,
        kind: str | None = None,
        system: str | None = None,
        entity: str | None = None,
        place: str | None = None,
        ids: Sequence[str] | None = None,
        limit: int = _ALL,
    ) -> list[DeadLetter]:
        """Oldest first. Deliveries that wait for another record are shown only when asked for by `kind="waiting"`."""
        wanted = {
            "kind": kind,
            "system": system,
            "entity": entity,
            "place": place,
            "ids": None if ids is None else list(ids),
        }
        async with self._session.transaction() as connection:
            cursor = await connection.execute(QUERIES["dead_letters"], {**wanted, "limit": limit})
            rows = await cursor.fetchall()
        return [_dead_letter(*row) for row in rows]

    async def forged_marks(self) -> list[ForgedMarks]:
        """None where the schema is older than sealed marks are."""
        async with self._session.transaction() as connection:
            if not await has_table(connection, "forged_mark"):
                return []
            rows = await (await connection.execute(QUERIES["forged_marks"])).fetchall()
        return [ForgedMarks(*row) for row in rows]

    async def rebaselined(self) -> list[Rebaselined]:
        """None where the schema is older than numbered baselines are."""
        async with self._session.transaction() as connection:
            if not await has_column(connection, "source", "began_at"):
                return []
            rows = await (await connection.execute(QUERIES["rebaselined"])).fetchall()
        return [Rebaselined(*row) for row in rows]

    async def first_letter(self, row: RowRef) -> int | None:
        """The first change of a row that is set aside and that later ones wait for: its id."""
        rows = await self._rows("held_up", row.system, row.stream, [row.key])
        return rows[0][1] if rows else None

    async def values_of(self, id: str) -> RawChange | None:
        """The change that was set aside, as its source told it, values and all; None for a delivery, or if gone."""
        rows = await self._rows("payload", int(id)) if id.isdecimal() else []
        return unpack(rows[0][0].encode()) if rows else None

    async def said_of(self, id: str) -> str:
        """What the target said when it refused a parked delivery, values and all; "" for a change, or if it said
        nothing."""
        found = _DELIVERY.fullmatch(id)
        rows = await self._rows("delivery_result", *found.groups()) if found else []
        return said(rows[0][0]) if rows else ""

    async def retry(self, ids: Sequence[str], act: Act, rulebook: str) -> int:
        """Let changes be tried again at the next look, and deliveries at once; the number that were there.

        `act` is noted in the ledger with them, under the hash of the rules in force, if there were any."""
        return await self._tell(ids, "release_changes", "release_delivery", act, rulebook)

    async def discard(self, ids: Sequence[str], act: Act, rulebook: str) -> int:
        """Drop them for good: what stood behind a change goes on; a target keeps what it has until the record
        changes again. The number that were there; `act` as for `retry`."""
        return await self._tell(ids, "drop_set_aside", "discard_delivery", act, rulebook)

    async def remember_rulebook(self, hash: str, body: str) -> None:
        """Keep the files a rulebook came from, so that old decisions can be explained and made again."""
        async with self._writing() as connection:
            await connection.execute(QUERIES["remember_rulebook"], [hash, body])

    async def close(self) -> None:
        await self._session.close()

    async def _tell(self, ids: Sequence[str], changes: str, delivery: str, act: Act, rulebook: str) -> int:
        numbers = [int(id) for id in ids if id.isdecimal()]
        deliveries = [found.groups() for found in map(_DELIVERY.fullmatch, ids) if found]
        told = 0
        async with self._writing() as connection:
            if numbers:
                told += (await connection.execute(QUERIES[changes], [numbers])).rowcount
            for target, record in deliveries:
                told += (await connection.execute(QUERIES[delivery], [target, record])).rowcount
            if told:
                await append(connection, act, rulebook)
        return told

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        async with self._session.transaction() as connection:
            yield connection
            await connection.commit()

    async def _rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        async with self._session.transaction() as connection:
            return await (await connection.execute(QUERIES[name], values)).fetchall()


def _together(system: str, states: list[SourceState], living: Collection[int], *, whole: bool) -> SourceState:
    """One state of all lanes: the worst of those whose workers live, or the last one heard of; counts of all. `whole`:
    its log is read, and lanes are of the topics that were read before."""
    lanes = [state for state in states if (state.name == system) == whole] or states
    alive = [lane for lane in lanes if Lane.parse(lane.name).worker in living]
    newest = max(lanes, key=lambda lane: lane.updated_at)
    shown = next((lane for word in _WORST for lane in alive if lane.state == word), newest)
    changes, echoes = sum(state.changes for state in states), sum(state.echoes for state in states)
    return SourceState(system, shown.state, shown.message, changes, echoes, newest.updated_at)


def _dead_letter(*row: Any) -> DeadLetter:
    *plain, await_system, await_stream, await_key, candidates, record = row
    id, kind, system, stream, key, entity, reason, since, released, place = plain
    awaits = RowRef(await_system, await_stream, await_key) if await_key is not None else None
    return DeadLetter(
        id, kind, system, stream, key, entity, reason, since, released, place, awaits, tuple(candidates), record
    )  # fmt: skip
