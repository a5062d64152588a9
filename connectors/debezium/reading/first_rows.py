"""When the rows that a system had to begin with are all in Kafka, and where they end.

The hub must know, since nothing is delivered before every row has been read once. A sign in the stream (the first
change that is no snapshot row, a heartbeat, Debezium's own notification) says that Debezium has read them all, and not
that Kafka holds them: a producer may still have rows of one topic to send when another's are there. PostgreSQL can be
asked (`KafkaLag.end`); of other databases the ends are taken a while after the sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import structlog

from fieldwarden.connectors.debezium.reading.lag import KafkaLag
from fieldwarden.engine.errors import FieldwardenError
from fieldwarden.engine.ports.parts import Baseline

log = structlog.get_logger(__name__)

TellAgain: TypeAlias = Callable[[], Awaitable[None]]
"""Has all rows told once more, and returns when they have been."""
SETTLE_SECONDS = 10.0
_AGAIN_SECONDS = 1.0
_LOOK_SECONDS = 5.0


class FirstRows:
    """`baseline` is the hub's word on them; `tell` is called with the ends by partition and the number of the baseline,
    once they are known and nobody has told them."""

    def __init__(
        self,
        system: str,
        lookout: KafkaLag,
        baseline: Callable[[], Awaitable[Baseline]],
        tell: Callable[[Mapping[str, int], int], Awaitable[None]],
        *,
        settle_seconds: float,
    ) -> None:
        self._system = system
        self._lookout = lookout
        self._baseline = baseline
        self._tell = tell
        self._settle_seconds = settle_seconds
        self._said = ""
        self.sign = asyncio.Event()

    async def run(self, teller: Callable[[], TellAgain | None]) -> None:
        """Until they are told, by us or by anybody; troubles are retried. If a new baseline has begun, all rows are
        told again first, by what `teller` gives just then; None: that is somebody else's work."""
        asked = 0  # the baseline whose rows we have had told again: a newer one may begin meanwhile
        while not (known := await self._known()).told:
            try:
                tell_again = teller()
                if not known.swept and tell_again is None and asked != known.number:
                    self._warn(
                        "a new baseline was begun, and whoever was to have all rows told again has not done so yet"
                    )
                    await asyncio.sleep(_LOOK_SECONDS)
                    continue
                if not known.swept and known.number != asked and tell_again is not None:
                    await tell_again()
                    asked = known.number
                await self._tell(await self._ends(), known.number)
            except FieldwardenError as error:
                self._warn(error.message, error.suggestion)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _known(self) -> Baseline:
        while True:
            try:
                return await self._baseline()
            except FieldwardenError as error:
                self._warn(error.message, error.suggestion)
                await asyncio.sleep(_AGAIN_SECONDS)

    def _warn(self, message: str, suggestion: str = "") -> None:
        if message != self._said:
            self._said = message
            suggestion = suggestion or f"if no such process runs: `fieldwarden run --rebaseline {self._system}`"
            log.warning("source.not_read_yet", system=self._system, message=message, suggestion=suggestion)

    async def _ends(self) -> Mapping[str, int]:
        if not self._lookout.confirms:
            await self.sign.wait()
            await asyncio.sleep(self._settle_seconds)
        return await self._lookout.end()
