"""From the hub to a target: one delivery loop per target, or several that share its shards.

    hub.claim -> (`writing`: plan -> target.write -> hub.settle)

As many calls are under way as the target takes, each with other records: while one is waited for, the next is claimed
and planned, and each settles what it learns by itself. A record is in one of them only, so its versions arrive in
order.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence

import structlog

from fieldwarden.engine import failpoints
from fieldwarden.engine.errors import FieldwardenError, TargetBusy
from fieldwarden.engine.ports.duties import SHARDS
from fieldwarden.engine.ports.hub import Hub, Pending
from fieldwarden.engine.ports.target import Target
from fieldwarden.engine.running.retry import backoff, judge
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.running.wake import Wake, pause
from fieldwarden.engine.running.writing import Writing
from fieldwarden.rules.rulebook import Rulebook

log = structlog.get_logger(__name__)

_LIMIT = 2000
_POLL = 0.5
_SHORTEST = 1.0
"""Seconds of rest where a busy target names none."""


class Delivery:
    """Runs one target until told to stop. A target that is down, or busy, holds up nobody but itself.

    Nothing is written before every source has been read, nor while one is read again: a row that is not known yet
    would be created a second time, and an owner that has not been heard could not stand against the others.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        system: str,
        target: Target,
        hub: Hub,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        bits: Callable[[int], int] | None = None,
        wake: Wake | None = None,
        shards: Collection[int] = SHARDS,
    ) -> None:
        """`shards`: the target's deliveries that nobody else does. `bits` set calls apart from one another (they are no
        secret), by default out of one seed from the system."""
        self._system = system
        self._target = target
        self._hub = hub
        self._telemetry = telemetry
        self._chance = chance
        self._wake = wake or Wake()
        self._shards = shards
        self._desk = asyncio.Lock()
        bits = bits or random.Random(secrets.token_bytes(32)).getrandbits  # noqa: S311
        self._writing = Writing(rulebook, target, hub, telemetry, clock, self._desk, bits)
        self._calls: dict[asyncio.Task[None], frozenset[str]] = {}
        """Those under way, each with its records."""
        self._failed = 0  # attempts since one came to a good end
        self._held_up = False  # some source is not read: what is due has to wait
        self._read = {name: other.read_streams for name, other in rulebook.systems.items() if other.read_streams}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, and until the calls under way have ended. Raises bugs only."""
        try:
            while not stop.is_set():
                try:
                    if self._writing.pause is not None:
                        await self._rest(self._writing.pause, stop)  # a call under way may hear of another meanwhile
                        continue
                    count = await self.step()
                    if not self._failed:
                        self._telemetry.connector_state("target", self._system, "delivering")
                    if count == 0 and not self._calls:
                        if not self._held_up:
                            self._telemetry.waiting("target", self._system, 0)
                        await self._wake.wait(self._system, stop, _POLL)
                except TargetBusy as error:
                    await self._rest(error.retry_after, stop)
                except FieldwardenError as error:
                    if judge(error) == "bug":
                        raise
                    self._failed += 1
                    log.warning("target.retrying", system=self._system, message=error.message, attempt=self._failed)
                    self._telemetry.connector_state("target", self._system, "retrying", error.message)
                    await pause(backoff(self._failed, self._chance(), error), stop)
            await asyncio.gather(*self._calls, return_exceptions=True)
            met = _worst(self._calls)
            if met is not None and judge(met) == "bug":
                raise met
        finally:
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
        await self._target.close()
        self._telemetry.connector_state("target", self._system, "stopped")

    async def step(self) -> int:
        """Claim, write and settle once; give how many records were due. Where the target takes several calls: begin as
        many as there is room for, and wait until one has ended."""
        self._held_up = bool(await self._hub.unread(list(self._read), self._read))
        if self._held_up:
            await self._one_ended()
            return 0
        able = self._target.capabilities
        if able.concurrency == 1:
            claimed = await self._claim(min(able.batch, _LIMIT))
            if claimed:
                await self._deliver(claimed)
            self._failed = 0
            return len(claimed)
        room = able.concurrency - len(self._calls)
        claimed = await self._claim(min(room * able.batch, _LIMIT)) if room else []
        for start in range(0, len(claimed), able.batch):
            some = claimed[start : start + able.batch]
            call = asyncio.create_task(self._deliver(some), name=f"deliver {self._system}")
            self._calls[call] = frozenset(pending.record.id for pending in some)
        await self._one_ended()
        return len(claimed)

    async def _claim(self, limit: int) -> list[Pending]:
        under_way = frozenset().union(*self._calls.values())
        async with self._desk:
            claimed = await self._hub.claim(self._system, limit, self._shards, under_way)
        if claimed:
            self._telemetry.waiting("target", self._system, len(claimed))
            failpoints.hit("delivery.after_claim")
        return claimed

    async def _deliver(self, claimed: Sequence[Pending]) -> None:
        with self._wake.delivering(large=any(pending.record.large for pending in claimed)):
            await self._writing.deliver(claimed)

    async def _one_ended(self) -> None:
        """Until a call has ended, or there may be more to claim. Raises what it has met."""
        if not self._calls:
            self._failed = 0
            return
        await asyncio.wait(self._calls, timeout=_POLL, return_when=asyncio.FIRST_COMPLETED)
        ended = [call for call in self._calls if call.done()]
        for call in ended:
            del self._calls[call]
        error = _worst(ended)
        if error is not None:
            raise error
        if ended:
            self._failed = 0

    async def _rest(self, seconds: float, stop: asyncio.Event) -> None:
        """The whole lane stands still for as long as the target has asked for."""
        seconds = max(seconds, self._writing.pause or 0.0, _SHORTEST)
        self._writing.pause = None
        message = f"{self._system} is busy and has asked for a pause of {seconds:.0f} s"
        log.info("target.busy", system=self._system, message=message)
        self._telemetry.connector_state("target", self._system, "busy", message)
        await pause(seconds, stop)


def _worst(calls: Iterable[asyncio.Task[None]]) -> BaseException | None:
    """Of what these calls have met, that which is to be heard: a bug; else the longest pause that was asked for."""

    def weight(error: BaseException) -> tuple[bool, float]:
        return judge(error) == "bug", error.retry_after if isinstance(error, TargetBusy) else -1.0

    errors = (call.exception() for call in calls)
    return max((error for error in errors if error is not None), key=weight, default=None)
