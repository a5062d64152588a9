"""What deliveries wait for when they begin: that the systems are read as far as they stand by then.

A customer entered in two systems while nothing ran is known from one of them only, until the other one's log is read:
delivered at once, it would be created there a second time. And of a row whose tax id stands in a later transaction it
is not known yet whose it is. What was edited in the target itself meanwhile is heard before anything is written there.
Of a system behind Debezium its log is what its topics hold by then.

Some targets need not wait: `engine.deciding.unidentified.waits_for_logs`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.hub.views.footing import HubFooting
from fieldwarden.engine.hub.views.overview import Overview, PartitionState, SourceState
from fieldwarden.engine.running.wake import pause
from fieldwarden.operations.project import Opened, is_partitioned
from fieldwarden.operations.systems import lag as lag_of
from fieldwarden.rules.errors import FieldwardenError

log = structlog.get_logger(__name__)

_POLL = 0.1
_STILL = 30.0
"""Seconds after which a partition that has not moved holds up nothing: somebody is needed, or no record is left in it
(its end may be the marker of a transaction, or what was compacted away). So it is with a system that is asked now and
then: nobody waits until it is asked again. The log of a database is waited for, though: it stands still in the midst of
a long transaction."""
_TOLD = 10.0
"""Seconds after which it is said what is waited for."""
_FORMER = 10.0
"""Seconds for which trouble that the hub tells of may be a former process's: whoever reads now says so by then."""


@dataclass
class _Log:
    """One system's log, and where it ended when it was first asked (a text, or an offset for each partition)."""

    system: str
    lag: Any
    parted: bool
    began: float
    polled: bool = False
    end: Any = None
    first: SourceState | None = None
    """What the hub told of its source at first."""
    moved: dict[str, tuple[str | None, float]] = field(default_factory=dict)
    """Partition -> where it was read to, and since when."""

    def is_in_trouble(self, source: SourceState, now: float) -> bool:
        """Whether its source cannot be read for the moment, as far as is known of those who read now."""
        self.first = self.first or source
        if source.state not in ("halted", "retrying"):
            return False
        # Of many lanes the worst is told, with the time of the newest: it may be a former process's all the same.
        anew = source.updated_at != self.first.updated_at and not self.parted
        return anew or now - self.began > _FORMER

    def reached(self, parts: dict[str, PartitionState], now: float) -> bool:
        read = {name: part.position for name, part in parts.items()}
        if not self.parted:
            return bool(self.lag.reached(read, self.end)) or (self.polled and not self._moving(read, now))
        moving = self._moving(read | dict.fromkeys(self.end.keys() - read.keys()), now)
        return bool(self.lag.reached(read, {name: end for name, end in self.end.items() if name in moving}))

    def _moving(self, read: Mapping[str, str | None], now: float) -> set[str]:
        """Those of these parts that have moved lately, or are looked at for the first time."""
        for name, position in read.items():
            at, since = self.moved.get(name, (position, now))
            self.moved[name] = position, since if at == position else now
        return {name for name in read if now - self.moved[name][1] < _STILL}


async def caught_up(
    project: Opened, name: str, stop: asyncio.Event, *, clock: Callable[[], float] = time.monotonic
) -> None:
    """Until all that the systems' logs held when this was called is decided on, or `stop`.

    The log of a directly read system is its server's. The target's own (`name`) is waited for also while its server is
    down, where nothing could be written either; any other only as long as it is read. None is waited for that has not
    been read at all (deliveries wait for that by themselves), or whose source is halted, or partition stands still:
    then a person is needed, and has been told. Nor is one for longer that is asked now and then, and has not been."""
    footing = HubFooting(project.hub_dsn, project.hub_schema)
    logs = {
        each: _Log(
            each,
            lag_of(project, each, footing),
            is_partitioned(project, each),
            clock(),
            project.rulebook.systems[each].settings.polled,
        )
        for each in project.sources
    }
    tell_at = clock() + _TOLD
    overview = Overview(project.hub_dsn, project.hub_schema)
    waiting = set(logs)
    try:
        while waiting and not stop.is_set():
            try:
                sources = {source.name: source for source in await overview.sources()}
                parts = await overview.partitions()
            except TransientError as error:
                log.debug("target.waits", system=name, message=error.message)
                await pause(_POLL, stop)
                continue
            for each in sorted(waiting):
                mine = {part.name: part for part in parts if part.source == each}
                if await _is_read(logs[each], sources.get(each), mine, name, clock()):
                    waiting.discard(each)
            if waiting and clock() > tell_at:
                message = f"what {', '.join(sorted(waiting))} held when this began is read first"
                log.info("target.waits", system=name, message=message)
                tell_at = float("inf")
            if waiting:
                await pause(_POLL, stop)
    finally:
        for log_ in logs.values():
            await log_.lag.close()
        await overview.close()
        await footing.close()


async def _is_read(
    log: _Log, source: SourceState | None, parts: dict[str, PartitionState], target: str, now: float
) -> bool:
    """Whether a system need not be waited for any more."""
    if source is None or not any(part.position for part in parts.values()):
        return True
    awaited_when_down = log.system == target and not log.parted
    if log.is_in_trouble(source, now) and (source.state == "halted" or not awaited_when_down):
        return True
    try:
        if log.end is None:
            log.end = await (log.lag.ends() if log.parted else log.lag.end())
    except TransientError:
        return not awaited_when_down
    except FieldwardenError:
        return True  # whoever reads or writes there says why
    return log.reached(parts, now)
