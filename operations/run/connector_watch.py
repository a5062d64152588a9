"""What `run` says of the connectors that feed it: where one is missing or has failed, its topics are merely silent."""

from __future__ import annotations

import asyncio

import structlog

from fieldwarden.connectors.debezium.connect.client import Connect
from fieldwarden.connectors.debezium.connect.heartbeat import SILENT
from fieldwarden.connectors.debezium.connect.states import State
from fieldwarden.operations.connector_state import advice, alive, named
from fieldwarden.operations.project import Opened
from fieldwarden.rules.errors import FieldwardenError

log = structlog.get_logger("fieldwarden.connector")
_PERIOD = 15.0
_PATIENCE = 10.0


async def watch_connectors(project: Opened, period: float = _PERIOD) -> None:
    """Until cancelled, look at the connectors every `period` seconds and log what is new; what is newly amiss is looked
    at twice, since a restart passes. Nothing of it stops a run; there is nothing to do in a project without Debezium,
    or that does not say where Kafka Connect is."""
    settings = project.project.settings.kafka
    if not project.debezium_systems or settings is None or settings.connect is None:
        return
    said: dict[str, str] = {}
    while True:
        found = await _look(project)
        if any(ailment and ailment != said.get(system, "") for system, (ailment, _) in found.items()):
            await asyncio.sleep(period / 3)
            found = await _look(project)
        for system, (ailment, suggestion) in found.items():
            if ailment != said.get(system, ""):
                said[system] = ailment
                _say(system, named(project, system), ailment, suggestion)
        await asyncio.sleep(period)


def _say(system: str, connector: str, ailment: str, suggestion: str) -> None:
    if ailment:
        log.warning("connector.down", system=system, connector=connector, message=ailment, suggestion=suggestion)
    else:
        log.info("connector.running", system=system, connector=connector)


async def _look(project: Opened) -> dict[str, tuple[str, str]]:
    """System -> (what is amiss or nothing, what to do). While workers rebalance it is as it was."""
    try:
        endpoint = project.kafka().connect
        assert endpoint is not None, "watch_connectors has looked"
        async with Connect.open(endpoint, patience=_PATIENCE) as connect:
            states, silent = await alive(project, connect)
    except FieldwardenError as error:
        return dict.fromkeys(project.debezium_systems, (error.message, error.suggestion))
    return {
        system: (silent[system], SILENT) if system in silent else _judged(system, states.get(named(project, system)))
        for system in project.debezium_systems
    }


def _judged(system: str, state: State | None) -> tuple[str, str]:
    if state is None:
        return "it is not registered", f"fieldwarden connector register {system}"
    if state.running:
        return "", ""
    what = f"it is {state.state}" if not state.failed else f"it has failed: {'; '.join(state.errors)}"
    return what, advice(state, system)
