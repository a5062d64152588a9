"""Whether a system may have changes that have not been read yet: what its rows hold is then on its way, not lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fieldwarden.engine.errors import FieldwardenError
from fieldwarden.engine.hub.views.footing import HubFooting
from fieldwarden.engine.hub.views.overview import Overview, SourceState
from fieldwarden.engine.hub.views.pulse import Pulse
from fieldwarden.operations.project import Opened, is_partitioned
from fieldwarden.operations.systems import lag as lag_of
from fieldwarden.operations.unread import unread

if TYPE_CHECKING:
    from fieldwarden.engine.ports.looks import Lag, Looking

_PATIENCE = 12.0
"""Seconds: a `run` that has nothing to read moves its position on every ten."""
_POLL = 0.2


async def unheard(project: Opened, system: str, looking: Looking) -> str:
    """Why what the system's rows hold by now may not have been heard of yet; empty if all of it has been.

    Where `run` works, it is given a moment to come that far."""
    overview = Overview(project.hub_dsn, project.hub_schema)
    pulse = Pulse(project.hub_dsn, project.hub_schema)
    footing = HubFooting(project.hub_dsn, project.hub_schema)
    lag = lag_of(project, system, footing)
    try:
        states = await overview.sources()
        if why := (await unread(project, overview, states)).get(system):
            return f"not all rows of {system} have been read: {why}"
        awaited = await _is_read(system, overview, states)
        if await _reached(system, lag, pulse, _PATIENCE if awaited else 0.0):
            return ""
        followed = None if is_partitioned(project, system) else await footing.followed(system)
        if followed is not None and await looking.untold(followed, await footing.position(system)) is False:
            return ""
        return f"{system} has changes that have not been read yet"
    finally:
        await lag.close()
        await footing.close()
        await pulse.close()
        await overview.close()


async def _is_read(system: str, overview: Overview, states: list[SourceState]) -> bool:
    """Whether somebody is reading the system now."""
    halted = any(state.name == system and state.state == "halted" for state in states)
    return not halted and bool(await overview.workers())


async def _reached(system: str, lag: Lag, pulse: Pulse, patience: float) -> bool:
    """Whether everything that is committed by now has been read."""
    try:
        end = await lag.end()
    except FieldwardenError:
        return False
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        if lag.reached((await pulse.parts()).get(system, {}), end):
            return True
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(_POLL)
