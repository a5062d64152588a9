"""What a target's deliveries wait for when they begin: that its own system is read as far as it stands by then.

A customer entered in two systems while nothing ran is known from one of them only, until the other one's log is read:
delivered at once, it would be created there a second time.
"""

from __future__ import annotations

import asyncio

import structlog

from engine.errors import TransientError
from engine.hub.footing import HubFooting
from engine.hub.overview import Overview
from engine.hub.pulse import Pulse
from engine.wake import pause
from operations.project import Opened
from rules.errors import FieldwardenError

log = structlog.get_logger(__name__)

_POLL = 0.1


async def caught_up(project: Opened, name: str, stop: asyncio.Event) -> None:
    """Until all that the system had committed when this was called is decided on, or `stop`.

    At once where nobody reads it, where it has not been read at all (deliveries wait for that by themselves), where it
    is read from Kafka, and where its source is halted: then a person is needed, and has been told."""
    if name not in project.sources or project.rulebook.systems[name].kind != "postgres":
        return
    from connectors.postgres.lookout import Lookout

    footing = HubFooting(project.hub_dsn, project.hub_schema)
    lookout = Lookout(project.rulebook.systems[name], project.dsn(name), footing)
    pulse, overview = Pulse(project.hub_dsn, project.hub_schema), Overview(project.hub_dsn, project.hub_schema)
    end: int | None = None
    try:
        while not stop.is_set():
            try:
                position = (await pulse.positions()).get(name)
                if position is None or any(s.name == name and s.state == "halted" for s in await overview.sources()):
                    return
                if end is None:
                    end = await lookout.end()
                if lookout.reached(position, end):
                    return
            except TransientError as error:
                log.debug("target.waits", system=name, message=error.message)
            except FieldwardenError:
                return  # whoever writes there will say it
            await pause(_POLL, stop)
    finally:
        for each in (pulse, overview, footing, lookout):
            await each.close()
