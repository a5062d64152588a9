"""When the rows that a system had to begin with are all in Kafka, and where they end.

The hub must know, since nothing is delivered before every row has been read once. A sign in the stream (the first
change that is no snapshot row, a heartbeat, Debezium's own notification) says that Debezium has read them all, and not
that Kafka holds them: a producer may still have rows of one topic to send when another's are there. PostgreSQL can be
asked (`KafkaLookout.end`); of other databases the ends are taken a while after the sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from connectors.debezium.lookout import KafkaLookout
from engine.errors import FieldwardenError

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 10.0
_AGAIN_SECONDS = 1.0


class FirstRows:
    """`tell` is called with the ends by partition once they are known, until it says that it has told them."""

    def __init__(
        self,
        system: str,
        lookout: KafkaLookout,
        tell: Callable[[Mapping[str, int]], Awaitable[bool]],
        *,
        settle_seconds: float,
    ) -> None:
        self._system = system
        self._lookout = lookout
        self._tell = tell
        self._settle_seconds = settle_seconds
        self.begun = asyncio.Event()
        self.sign = asyncio.Event()

    async def run(self, baseline: Callable[[], Awaitable[None]] | None) -> None:
        """Until told; begins once `begun` is set. `baseline` has all rows told again first. Troubles are retried."""
        await self.begun.wait()
        told, said = False, ""
        while not told:
            try:
                if baseline is not None:
                    await baseline()
                    baseline = None
                told = await self._tell(await self._ends())
            except FieldwardenError as error:
                if error.message != said:
                    said = error.message
                    log.warning("source.not_read_yet", system=self._system, message=said, suggestion=error.suggestion)
            if not told:
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _ends(self) -> Mapping[str, int]:
        if not self._lookout.confirms:
            await self.sign.wait()
            await asyncio.sleep(self._settle_seconds)
        return await self._lookout.end()
