"""What deliveries wait for when they begin: that the systems are read as far as they stand by then.

A customer entered in two systems while nothing ran is known from one of them only, until the other one's log is read:
delivered at once, it would be created there a second time. And of a row whose tax id stands in a later transaction it
is not known yet whose it is.
"""

from __future__ import annotations

import asyncio

import structlog

from connectors.postgres.lookout import Lookout
from engine.errors import TransientError
from engine.hub.footing import HubFooting
from engine.hub.overview import Overview, SourceState
from engine.wake import pause
from operations.project import Opened
from rules.errors import FieldwardenError

log = structlog.get_logger(__name__)

_POLL = 0.1


async def caught_up(project: Opened, name: str, stop: asyncio.Event) -> None:
    """Until all that the directly read systems had committed when this was called is decided on, or `stop`.

    The target's own (`name`) is waited for also while its server is down, where nothing could be written either; any
    other only as long as it is read. None is waited for that has not been read at all (deliveries wait for that by
    themselves), or whose source is halted: then a person is needed, and has been told."""
    footing = HubFooting(project.hub_dsn, project.hub_schema)
    systems = project.rulebook.systems
    lookouts = {
        each: Lookout(systems[each], project.dsn(each), footing)
        for each in project.sources
        if systems[each].kind == "postgres"
    }
    overview = Overview(project.hub_dsn, project.hub_schema)
    waiting, ends = set(lookouts), dict[str, int]()
    try:
        while waiting and not stop.is_set():
            try:
                sources = {source.name: source for source in await overview.sources()}
            except TransientError as error:
                log.debug("target.waits", system=name, message=error.message)
                await pause(_POLL, stop)
                continue
            for each in sorted(waiting):
                if await _is_read(lookouts[each], each, sources.get(each), ends, name):
                    waiting.discard(each)
            if waiting:
                await pause(_POLL, stop)
    finally:
        for lookout in lookouts.values():
            await lookout.close()
        await overview.close()
        await footing.close()


async def _is_read(
    lookout: Lookout, system: str, source: SourceState | None, ends: dict[str, int], target: str
) -> bool:
    """Whether a system need not be waited for any more."""
    if source is None or source.position is None or source.state == "halted":
        return True
    if source.state == "retrying" and system != target:
        return True
    try:
        if system not in ends:
            ends[system] = await lookout.end()
    except TransientError:
        return system != target
    except FieldwardenError:
        return True  # whoever reads or writes there says why
    return lookout.reached(source.position, ends[system])
