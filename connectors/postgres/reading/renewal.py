"""A replication connection that has received something large is replaced by a new one.

libpq keeps a buffer of the size of the largest message for as long as the connection lasts, and there is one for each
system. A new connection is cheap for us, but makes the server read its log again from where the oldest transaction
began that was open at the confirmed position: so that is bounded, each time and per second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from fieldwarden.connectors.postgres.reading.position import WalPosition, parse_lsn
from fieldwarden.connectors.postgres.reading.replication import ReplicationConnection
from fieldwarden.connectors.postgres.reading.slots import MOVED, SlotHealth
from fieldwarden.connectors.postgres.session import LARGE_MESSAGE
from fieldwarden.engine.errors import TransientError

log = structlog.get_logger(__name__)

_READ_AGAIN, _PER_SECOND = 256 << 20, 10 << 20
"""Bytes of log: the server reads no more than the first again because of us, and no more than the second per second."""
_LOOK_AGAIN = 10.0
"""Seconds until it is asked again whether the server has to read less."""
_UNTIL_LET_GO, _TRY_EVERY = 5.0, 0.05
"""Seconds until the server must have noticed that the old connection is gone, and between the tries."""


class Renewal:
    """When that is done. Times are in seconds, of any one clock."""

    def __init__(self) -> None:
        self._not_before = 0.0

    def due(self, largest: int, now: float) -> bool:
        """Whether it is worth asking. `largest`: bytes of the largest message so far of the connection."""
        return largest >= LARGE_MESSAGE and now >= self._not_before

    def allowed(self, log: int, now: float) -> bool:
        """Whether it is done now, where it makes the server read `log` bytes again."""
        allowed = log <= _READ_AGAIN
        self._not_before = now + (log / _PER_SECOND if allowed else _LOOK_AGAIN)
        return allowed


async def renewed(
    system: str,
    stream: ReplicationConnection,
    start: WalPosition,
    connect: Callable[[WalPosition], Awaitable[ReplicationConnection]],
    health: Callable[[], Awaitable[SlotHealth]],
) -> ReplicationConnection:
    """A connection that streams from `start` in the place of this one. Everything before it was handed over; whether it
    is durable already does not matter, since the slot moves on only by what is acknowledged.

    Raises TransientError: the source is opened anew then, and says what it finds."""
    await stream.arrived(0)  # raises if this one was lost: another process may have taken the source over
    await stream.close()
    clock = asyncio.get_running_loop().time
    until = clock() + _UNTIL_LET_GO
    while True:
        slot, last = await health(), clock() >= until
        if not slot.usable or parse_lsn(slot.confirmed or "0/0") > start.end:
            # The server would start from there without a word.
            why = slot.reason or slot.wrong or MOVED
            raise TransientError(
                f"{system}: the replication slot {slot.slot}: {why}", suggestion="it is looked at anew"
            )
        if last or not slot.active:
            try:
                fresh = await connect(start)
            except TransientError:  # the old one may count among the connections that are allowed for a moment more
                if last:
                    raise
            else:
                log.debug("source.renewed", system=system, largest=stream.largest)
                return fresh
        await asyncio.sleep(_TRY_EVERY)
