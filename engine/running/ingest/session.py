"""From a source to the hub: one pipeline per source, one hub transaction per batch.

    source.batches -> map -> [load what is known -> decide -> commit] -> source.acknowledge

Reading and mapping the next batch goes on while the hub commits this one. A source is acknowledged strictly after the
transaction that holds its changes is durable; if a commit's outcome is unknown, the pipeline starts anew from the
positions that the hub holds.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from fieldwarden.engine import failpoints
from fieldwarden.engine.change import RowRef
from fieldwarden.engine.deciding.known import Mapped
from fieldwarden.engine.deciding.meaning import Meanings
from fieldwarden.engine.errors import FieldwardenError, SchemaDrift, SourceGap, TransientError
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Hub, Lease
from fieldwarden.engine.ports.parts import Begun, Part
from fieldwarden.engine.ports.source import Batch, Source, Start
from fieldwarden.engine.principal import Principal
from fieldwarden.engine.running.ingest.brake import Bounds
from fieldwarden.engine.running.ingest.commit import Commits, fence
from fieldwarden.engine.running.ingest.looking import AT_ONCE, Looker, is_hint
from fieldwarden.engine.running.ingest.release import Release
from fieldwarden.engine.running.ingest.vanished import truncated
from fieldwarden.engine.running.retry import backoff, judge
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.running.wake import Wake, either, pause
from fieldwarden.rules.rulebook import Rulebook

log = structlog.get_logger(__name__)

_MOST_MENDED = 3
PARKED = "parked, until it is mended"


def parked_words(parked: Mapping[str, str]) -> str:
    """For people: streams that stand still while the others of their source flow; "" if there are none."""
    return f"{PARKED}: " + "; ".join(parked[name] for name in sorted(parked)) if parked else ""


def microseconds() -> int:
    return time.time_ns() // 1000


class Pipeline:
    """Runs one source until told to stop; a lost connection is retried, a gap or a changed schema halts it."""

    def __init__(
        self,
        rulebook: Rulebook,
        source: Source,
        hub: Hub,
        telemetry: Telemetry,
        *,
        clock: Callable[[], int] = microseconds,
        bits: Callable[[int], int] | None = None,
        chance: Callable[[], float] = random.random,
        wake: Wake | None = None,
        tolerance: int = 300_000_000,
        worker: int | None = None,
        deletes: Bounds | None = None,
        who: Principal = Principal("fieldwarden", "a process"),  # noqa: B008 (it is frozen)
    ) -> None:
        """`clock` gives µs since 1970 UTC; `tolerance` (µs) is how far ahead of it a source's time may be; `bits` makes
        record ids unlike any other's (they are no secret), by default out of one seed from the system; `worker` is this
        one's number, where a group shares the source's parts; past `deletes` deletions are held; `who` mends gaps,
        as the ledger says."""
        self._rulebook = rulebook
        self._source = source
        self._system = source.system
        self._hub = hub
        self._telemetry = telemetry
        self._clock = clock
        self._chance = chance
        self._wake = wake or Wake()
        self._lane = Lane(self._system, worker)
        self._who = who
        self._streams = rulebook.systems[self._system].read_streams
        self._commits = Commits(
            rulebook,
            self._system,
            hub,
            telemetry,
            clock=clock,
            bits=bits,
            wake=self._wake,
            tolerance=tolerance,
            deletes=deletes,
        )
        self._meanings = Meanings(rulebook.systems[self._system].streams, rulebook.entities, self._commits.found)
        self._turn = asyncio.Lock()
        self._looker = Looker(source, self._streams, self._meanings, self._commits.found)
        self._release = Release(source, self._streams, hub, self._commits, self._meanings, self._looker, self._turn)
        self._moves = 0
        self._mended = 0
        """Baselines begun for gaps, one after the other, of which none has come to its end."""
        self._rereading = False
        self._parked = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises only what a person or a developer must see: Fenced, and bugs."""
        attempt = 0
        while not stop.is_set():
            before = self._moves
            try:
                await self._session(stop)
            except FieldwardenError as trouble:
                error: FieldwardenError | None = trouble
                attempt = 1 if self._moves != before else attempt + 1
                if isinstance(trouble, SourceGap) and self._mends(trouble):
                    error = await self._mend(trouble)
                if error is None:
                    continue
                verdict = judge(error)
                if verdict == "bug":
                    raise
                await self._trouble(error, verdict == "halt")
                if verdict == "halt":
                    await stop.wait()
                else:
                    await pause(backoff(attempt, self._chance(), error), stop)
        self._telemetry.connector_state("source", self._system, "stopped")

    def _mends(self, gap: SourceGap) -> bool:
        """Whether all rows are read again without asking a person. Where that never comes to its end (a server that
        gives up its slot while its rows are read), it would go on for ever."""
        return self._rulebook.systems[self._system].mends_gaps and gap.safe and self._mended < _MOST_MENDED

    async def _mend(self, gap: SourceGap) -> FieldwardenError | None:
        """Begin a new baseline, unless another worker has begun one since this session began. What kept it from that;
        None: one has begun."""
        number = self._release.baseline + 1
        try:
            positions = await self._source.ends(number)
            begun = Begun(self._who.name, f"by itself: {gap.message}", self._clock(), self._who.known_by)
            if not await self._hub.begin_again(self._system, number, positions, begun):
                return None
        except SchemaDrift as drift:  # a person mends the table while we run; no rows are read wrongly meanwhile
            return TransientError(drift.message, suggestion=drift.suggestion)
        except FieldwardenError as error:
            return error
        self._mended += 1
        log.warning("source.rebaselined", system=self._system, message=gap.message, baseline=number)
        self._telemetry.rebaselined(self._system)
        return None

    async def _trouble(self, error: FieldwardenError, halted: bool) -> None:
        state = "halted" if halted else "retrying"
        log.warning("source." + state, system=self._system, message=error.message, suggestion=error.suggestion)
        self._telemetry.connector_state("source", self._system, "halted" if halted else "retrying", error.message)
        try:
            await self._hub.note(self._lane, state, error.message)
        except FieldwardenError:
            log.warning("hub.unreachable", system=self._system)

    @property
    def _shared(self) -> bool:
        """Whether a group of workers reads the source."""
        return self._lane.worker is not None

    async def _take_parts(self, names: Sequence[str]) -> dict[str, Part]:
        return await self._hub.take(self._system, names)

    async def _session(self, stop: asyncio.Event) -> None:
        lease = await self._hub.lease(self._lane)
        self._rereading = lease.begun
        await self._release.open(lease)
        self._meanings.clear()
        queue: asyncio.Queue[tuple[Batch, list[Mapped]]] = asyncio.Queue(maxsize=1)
        reader: asyncio.Task[None] | None = None
        releaser: asyncio.Task[None] | None = None
        try:
            opening = asyncio.ensure_future(self._source.open(Start(self._take_parts, lease.baseline)))
            if not await either(opening, stop):
                return
            opening.result()
            log.info("source.open", system=self._system)
            if self._shared:  # it may have no part, or none in which anything happens
                self._telemetry.connector_state("source", self._system, "streaming")
            reader = asyncio.create_task(self._read(queue))
            releaser = asyncio.create_task(self._release.run(lease, stop))
            while not stop.is_set():
                await self._step(lease, queue, (reader, releaser), stop)
        finally:
            for task in (reader, releaser):
                if task is not None:
                    task.cancel()
            await asyncio.gather(*(task for task in (reader, releaser) if task is not None), return_exceptions=True)
            await self._source.close()

    async def _step(
        self,
        lease: Lease,
        queue: asyncio.Queue[tuple[Batch, list[Mapped]]],
        tasks: Sequence[asyncio.Task[None]],
        stop: asyncio.Event,
    ) -> None:
        if queue.empty():
            getting = asyncio.create_task(queue.get())
            stopping = asyncio.create_task(stop.wait())
            running = [task for task in tasks if not task.done() or task.exception() is not None]
            try:
                await asyncio.wait({getting, stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                getting.cancel()
            if not getting.done():
                await asyncio.gather(getting, return_exceptions=True)
                for task in running:
                    if task.done():
                        await task
                return
            batch, mapped = getting.result()
        else:
            batch, mapped = queue.get_nowait()
        async with self._turn:
            await self._take(lease, batch, mapped)

    async def _read(self, queue: asyncio.Queue[tuple[Batch, list[Mapped]]]) -> None:
        async for batch in self._source.batches():
            await queue.put((batch, self._meanings.all(batch.changes)))
            del batch  # it may be long until the next one, and this one large

    async def _take(self, lease: Lease, batch: Batch, mapped: list[Mapped]) -> None:
        """Commit a batch and acknowledge it. A truncate in its midst is a delete of every row known of its stream; the
        rows that its hints name are looked at."""
        if (forged := batch.forged).number:  # before the batch is durable, so that a crash between the two loses none
            noted = await self._hub.forged(self._system, forged, self._clock())
            self._telemetry.forged(self._system, noted, forged.transaction)
        hinted = list(dict.fromkeys(item.row for item in mapped if is_hint(item)))
        if hinted:
            mapped = [item for item in mapped if not is_hint(item)]
        start = 0
        unmoved = fence(batch.parts)
        for index, item in enumerate(mapped):
            if item.raw.operation == "truncate":
                await self._commits.commit(lease, mapped[start:index], parts=unmoved)
                stream = self._rulebook.systems[self._system].streams[item.row.stream]
                async for gone in truncated(self._hub, lease, stream, item.raw):
                    await self._commits.commit(lease, gone, parts=unmoved)
                start = index + 1
        half = batch.partial and self._commits.decider.assembles
        state = "snapshot" if half or batch.snapshot == "running" else "streaming"
        again = batch.snapshot is not None and self._rereading
        seen = self._release.telling_again or again
        if hinted:
            mapped, start = await self._looked_at(lease, mapped[start:], hinted, seen, unmoved), 0
        if batch.snapshot == "done" and again:
            await self._commits.commit(lease, mapped[start:], seen=True, parts=unmoved)
            await self._release.sweep(lease, batch.streams or tuple(self._streams))
            mapped, start = [], 0
        parked = parked_words(batch.parked)
        await self._commits.commit(lease, mapped[start:], seen=seen, faring=(state, parked), parts=batch.parts)
        self._moves += 1
        if state == "streaming" and batch.snapshot is None and not self._release.telling_again:
            self._mended = 0  # only what stands behind all its rows shows that they were read in time
        if batch.snapshot == "done":
            self._wake.rouse(self._commits.plans)
        await self._source.acknowledge(batch)
        failpoints.hit("ingest.after_acknowledge")
        self._progress(batch, state, parked)

    async def _looked_at(
        self, lease: Lease, told: Sequence[Mapped], rows: Sequence[RowRef], seen: bool, unmoved: Mapping[str, Part]
    ) -> list[Mapped]:
        """These rows, which hints name, as they are now, in place of the changes given: all but the last rows are
        committed. What else was told is durable before anything is looked at, whether that fails or not."""
        if told:
            await self._commits.commit(lease, told, seen=seen, parts=unmoved)
        looked = list[Mapped]()
        for start in range(0, len(rows), AT_ONCE):
            if looked:
                await self._commits.commit(lease, looked, seen=seen, parts=unmoved)
            looked = await self._looker.hinted(rows[start : start + AT_ONCE])
        return looked

    def _progress(self, batch: Batch, state: str, parked: str) -> None:
        telemetry, name = self._telemetry, self._system
        telemetry.connector_state("source", name, "snapshot" if state == "snapshot" else "streaming", parked)
        if parked and parked != self._parked:
            log.warning("source.parked", system=name, message=parked)
        self._parked = parked
        telemetry.progressed("source", name)
        if not self._shared:
            telemetry.waiting("source", name, batch.lag_bytes or 0)
        if batch.changes and batch.changes[-1].at is not None:
            telemetry.source_progress(name, batch.changes[-1].at / 1e6)
