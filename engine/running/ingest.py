"""From a source to the hub: one pipeline per source, one hub transaction per batch.

    source.batches -> map -> [load what is known -> decide -> commit] -> source.acknowledge

Reading and mapping the next batch goes on while the hub commits this one. A source is acknowledged strictly after the
transaction that holds its changes is durable; if a commit's outcome is unknown, the pipeline starts anew from the
position that the hub holds.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import structlog

from fieldwarden.engine import failpoints
from fieldwarden.engine.deciding.decider import Decider
from fieldwarden.engine.deciding.identity import uuid7
from fieldwarden.engine.deciding.known import Mapped, Tally
from fieldwarden.engine.deciding.meaning import Meanings
from fieldwarden.engine.deciding.narrowing import narrowed
from fieldwarden.engine.deciding.scope import plans_of
from fieldwarden.engine.errors import FieldwardenError, IdentityMoved
from fieldwarden.engine.ports.hub import Hub, IngestTransaction, Lease
from fieldwarden.engine.ports.parts import Part
from fieldwarden.engine.ports.source import Batch, Source
from fieldwarden.engine.running.brake import Bounds, Brake
from fieldwarden.engine.running.loading import further, load
from fieldwarden.engine.running.recognising import recognise
from fieldwarden.engine.running.retry import backoff, judge
from fieldwarden.engine.running.reuniting import Reunion, next_reunion
from fieldwarden.engine.running.second_tries import SecondTries
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.running.vanished import truncated, unseen
from fieldwarden.engine.running.wake import Wake, either, pause
from fieldwarden.rules.rulebook import Rulebook

log = structlog.get_logger(__name__)

_UNMOVED = ""
"""Commits within a batch, and between batches, leave the source's position as the hub has it."""
_AS_BEFORE = (None, "")
"""A commit that says nothing of how the source fares."""
_FORESTALLED = 10
"""Times in a row that a batch may find its new records created by another lane before the session begins anew."""
PARKED = "parked, until it is mended"
_RELEASE_EVERY, _PAGE_EVERY, _LOOK_EVERY = 0.5, 0.05, 3.0
"""Seconds: after new links, what waited for them goes on at once; what a person released, a little later. Between the
pages of a round new changes have their turn, and the hub a rest."""


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
        lane: str = "",
        deletes: Bounds | None = None,
    ) -> None:
        """`clock` gives µs since 1970 UTC; `tolerance` (µs) is how far ahead of it a source's time may be; `bits` makes
        record ids unlike any other's (they are no secret), by default out of one seed from the system; `lane` is this
        worker's own, where several share the source's partitions; past `deletes` deletions are held."""
        self._rulebook = rulebook
        self._source = source
        self._system = source.system
        self._hub = hub
        self._telemetry = telemetry
        self._clock = clock
        self._bits = bits or random.Random(secrets.token_bytes(32)).getrandbits  # noqa: S311
        self._chance = chance
        self._wake = wake or Wake()
        self._tolerance = tolerance
        self._lane = lane
        self._streams = rulebook.systems[self._system].read_streams
        self._plans = plans_of(rulebook)
        self._brake = Brake(rulebook, self._system, deletes, clock)
        self._decider = Decider(rulebook, self._system, self._plans)
        self._meanings = Meanings(rulebook.systems[self._system].streams, rulebook.entities, self._found)
        self._aside = SecondTries(hub, source, self._streams, self._meanings, self._found)
        self._position: str | None = None
        self._moves = 0
        self._rereading = self._telling_again = False
        self._linked = True
        self._parked = ""
        self._turn = asyncio.Lock()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises only what a person or a developer must see: Fenced, and bugs."""
        attempt = 0
        while not stop.is_set():
            before = self._moves
            try:
                await self._session(stop)
            except FieldwardenError as error:
                verdict = judge(error)
                if verdict == "bug":
                    raise
                attempt = 1 if self._moves != before else attempt + 1
                await self._trouble(error, verdict == "halt")
                if verdict == "halt":
                    await stop.wait()
                else:
                    await pause(backoff(attempt, self._chance(), error), stop)
        self._telemetry.connector_state("source", self._system, "stopped")

    async def _trouble(self, error: FieldwardenError, halted: bool) -> None:
        state = "halted" if halted else "retrying"
        log.warning("source." + state, system=self._system, message=error.message, suggestion=error.suggestion)
        self._telemetry.connector_state("source", self._system, "halted" if halted else "retrying", error.message)
        try:
            await self._hub.note(self._lane or self._system, state, error.message)
        except FieldwardenError:
            log.warning("hub.unreachable", system=self._system)

    async def _session(self, stop: asyncio.Event) -> None:
        lease = await self._hub.lease(self._system, self._lane)
        self._position = lease.position or None
        self._rereading = self._position is not None
        # Whoever begins a new baseline fences all lanes, so each session knows of it from its start.
        self._telling_again = bool(lease.lane) and not (await self._hub.baseline(self._system)).swept
        self._meanings.clear()
        queue: asyncio.Queue[tuple[Batch, list[Mapped]]] = asyncio.Queue(maxsize=1)
        reader: asyncio.Task[None] | None = None
        releaser: asyncio.Task[None] | None = None
        try:
            opening = asyncio.ensure_future(self._source.open(self._position))
            if not await either(opening, stop):
                return
            opening.result()
            log.info("source.open", system=self._system)
            if self._lane:  # it may have no partition, or none in which anything happens
                self._telemetry.connector_state("source", self._system, "streaming")
            reader = asyncio.create_task(self._read(queue))
            releaser = asyncio.create_task(self._release(lease, stop))
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
        """Commit a batch and acknowledge it. A truncate in its midst is a delete of every row known of its stream."""
        if (forged := batch.forged).number:  # before the batch is durable, so that a crash between the two loses none
            noted = await self._hub.forged(self._system, forged, self._clock())
            self._telemetry.forged(self._system, noted, forged.transaction)
        start = 0
        fence = {name: Part(part.epoch, None) for name, part in batch.parts.items()}
        for index, item in enumerate(mapped):
            if item.raw.operation == "truncate":
                await self._commit(lease, mapped[start:index], _UNMOVED, parts=fence)
                stream = self._rulebook.systems[self._system].streams[item.row.stream]
                async for gone in truncated(self._hub, lease, stream, item.raw):
                    await self._commit(lease, gone, _UNMOVED, parts=fence)
                start = index + 1
        half = batch.partial and self._decider.assembles
        state = "snapshot" if half or batch.snapshot == "running" else "streaming"
        again = batch.snapshot is not None and self._rereading
        if batch.snapshot == "done" and again:
            await self._commit(lease, mapped[start:], _UNMOVED, seen=True)
            await self._sweep(lease, batch.streams or tuple(self._streams))
            mapped, start = [], 0
        seen = self._telling_again or again
        parked = parked_words(batch.parked)
        await self._commit(lease, mapped[start:], batch.position, seen=seen, faring=(state, parked), parts=batch.parts)
        self._moves += 1
        if batch.snapshot == "done":
            self._wake.rouse(self._plans)
        await self._source.acknowledge(batch)
        failpoints.hit("ingest.after_acknowledge")
        self._progress(batch, state, parked)

    def _progress(self, batch: Batch, state: str, parked: str) -> None:
        telemetry, name = self._telemetry, self._system
        telemetry.connector_state("source", name, "snapshot" if state == "snapshot" else "streaming", parked)
        if parked and parked != self._parked:
            log.warning("source.parked", system=name, message=parked)
        self._parked = parked
        telemetry.progressed("source", name)
        if not self._lane:
            telemetry.waiting("source", name, batch.lag_bytes or 0)
        if batch.changes and batch.changes[-1].at is not None:
            telemetry.source_progress(name, batch.changes[-1].at / 1e6)

    async def _commit(
        self,
        lease: Lease,
        mapped: Sequence[Mapped],
        position: str,
        *,
        seen: bool = False,
        faring: tuple[str | None, str] = _AS_BEFORE,
        parts: Mapping[str, Part] | None = None,
    ) -> None:
        """Whatever of it has to be put aside. `faring`: the source's state once all of it is durable, and the words
        that stand beside it."""
        fence = {name: Part(part.epoch, None) for name, part in (parts or {}).items()}

        async def commit(some: Sequence[Mapped], last: bool) -> None:
            where = position if last else _UNMOVED
            state, message = faring if last else _AS_BEFORE
            kept = parts if last else fence
            await self._at_last(lease, some, where, seen=seen, state=state, message=message, parts=kept)

        await narrowed(commit, mapped, self._found)

    async def _at_last(
        self, lease: Lease, mapped: Sequence[Mapped], position: str, also: Collection[str] = (), **how: Any
    ) -> None:
        """Lanes create records side by side. One that was forestalled decides its batch again, knowing what the other
        has created: each time somebody has got further. So does one whose records may be one with others."""
        for _ in range(_FORESTALLED):
            try:
                await self._try_commit(lease, mapped, position, also=also, **how)
                return
            except IdentityMoved as error:
                also = error.also.union(also)
        await self._try_commit(lease, mapped, position, also=also, **how)

    def _found(self, error: Exception) -> None:
        self._telemetry.bug(self._system, error)

    async def _try_commit(
        self,
        lease: Lease,
        mapped: Sequence[Mapped],
        position: str,
        *,
        seen: bool = False,
        state: str | None = None,
        message: str = "",
        parts: Mapping[str, Part] | None = None,
        also: Collection[str] = (),
        reunion: Reunion = Reunion(),  # noqa: B008 (it is frozen)
    ) -> None:
        tally = Tally()
        async with self._hub.ingest(lease) as tx:
            mapped = await self._still_to_do(tx, mapped)
            await recognise(tx, self._rulebook.systems[self._system], mapped)
            known = await load(tx, self._decider, mapped, also)
            if seen:
                fresh = await tx.saw([item.row for item in mapped])
                # One that was missing may have been told of by another lane since it was looked for.
                mapped = [item for item in mapped if item.raw.operation != "vanish" or item.row in fresh]
            await self._brake.look(tx, mapped, known)
            now = self._clock()
            outcome = self._decider.decide(
                mapped, known, self._new_id, tally, now, self._tolerance, applying=tx.applying, alike=reunion.groups
            )
            if outcome.match_keys and (unknown := await further(tx, known, outcome)):
                raise IdentityMoved("some records of this batch may be one with others", also=frozenset(unknown))
            outcome.asked = known.asked
            outcome.considered, outcome.followed = list(reunion.alike), list(reunion.following)
            found = await tx.commit(
                outcome,
                position=position,
                rulebook=self._rulebook.hash,
                changes=len(mapped),
                echoes=tally.echoes,
                state=state,
                message=message,
                parts=parts,
            )
        self._brake.decided()
        self._linked = self._linked or bool(outcome.links or outcome.released or found)
        self._wake.rouse({target for target, _ in outcome.dirty} | {target for target, _ in outcome.suspect})
        self._telemetry.decided(self._system, tally)
        self._telemetry.alike(found)

    async def _still_to_do(self, tx: IngestTransaction, mapped: Sequence[Mapped]) -> Sequence[Mapped]:
        """Without what was set aside and another worker has dealt with meanwhile."""
        ids = [item.release for item in mapped if item.release]
        if not ids:
            return mapped
        aside = await tx.still_aside(ids)
        return [item for item in mapped if not item.release or item.release in aside]

    async def _sweep_unheard(self, lease: Lease) -> None:
        """Once everything has been told again, rows that were not are gone."""
        if not self._telling_again:
            return
        baseline = await self._hub.baseline(self._system)
        self._telling_again = not baseline.swept
        if baseline.heard and not baseline.swept:
            await self._sweep(lease, tuple(self._streams))
            await self._hub.swept(self._system, baseline.floor)
            self._telling_again = False

    async def _sweep(self, lease: Lease, streams: Sequence[str]) -> None:
        """Rows of these streams that were not told of again are gone; then what they stood in the way of has its chance
        before anything is delivered: a row that is there under another key now must not look deleted."""
        async for gone in unseen(self._hub, lease, {name: self._streams[name] for name in streams}, self._source):
            await self._commit(lease, gone, _UNMOVED, seen=True)
        await self._hub.reconsider(self._system)
        tried: set[int] = set()
        while not tried.issuperset(found := await self._round(lease)):
            tried |= found

    async def _round(self, lease: Lease) -> set[int]:
        """One round; what was tried again."""
        found: set[int] = set()
        self._aside.begin()
        while not self._aside.over:
            found |= await self._look_again(lease)
        return found

    async def _look_again(self, lease: Lease) -> set[int]:
        """Try some of what is set aside; which."""
        mapped = await self._aside.next()
        if mapped:
            await self._commit(lease, mapped, _UNMOVED)
        return {item.release for item in mapped}

    async def _release(self, lease: Lease, stop: asyncio.Event) -> None:
        """Try again what was set aside and may go on now: its row is known, or a person said so."""
        looked = asyncio.get_running_loop().time()
        self._aside.begin()
        while not stop.is_set():
            async with self._turn:
                now = asyncio.get_running_loop().time()
                if self._aside.over and (self._linked or now - looked >= _LOOK_EVERY):
                    self._linked, looked = False, now
                    self._aside.begin()
                    await self._reunite(lease)
                if not self._aside.over:
                    await self._look_again(lease)
                    await self._sweep_unheard(lease)
            await either(asyncio.sleep(_RELEASE_EVERY if self._aside.over else _PAGE_EVERY), stop)

    async def _reunite(self, lease: Lease) -> None:
        if (reunion := await next_reunion(self._hub)).records or reunion.alike:
            await self._at_last(lease, [], _UNMOVED, also=reunion.records, reunion=reunion)

    def _new_id(self) -> str:
        return uuid7(self._clock(), self._bits(74))
