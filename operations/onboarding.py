"""Whether deliveries wait for somebody to have looked at the first meeting of the systems: one fact in the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fieldwarden.engine.running.ingest.session import PARKED
from fieldwarden.operations.acts import act
from fieldwarden.operations.rules import rules_of
from fieldwarden.operations.unread import stands, unread

if TYPE_CHECKING:
    from fieldwarden.engine.hub.rules import Live
    from fieldwarden.engine.hub.views.overview import Overview
    from fieldwarden.engine.principal import Principal
    from fieldwarden.operations.project import Opened

ONBOARDING = (
    "nothing is delivered yet: look at what would be with `fieldwarden onboard`, then let it with `fieldwarden apply`"
)
"""Said of a project whose systems meet for the first time, until somebody has let them."""
_REGISTER = "fieldwarden connector register"


def waits(live: Live | None) -> str:
    """In words, that nothing is delivered before somebody has looked; empty where that is not so."""
    return ONBOARDING if live is not None and live.onboarded is None else ""


async def onboarded_by_itself(project: Opened, who: Principal) -> None:
    """Where the files say `onboarding: automatic`, nothing waits any more: said in the name of whoever runs it. Raises
    TransientError."""
    if not project.onboards_itself:
        return
    rules = rules_of(project)
    try:
        await rules.end_onboarding(act(who, "onboarded", "onboarding: automatic"))
    finally:
        await rules.close()


async def not_read(project: Opened, overview: Overview) -> dict[str, str]:
    """Systems of which not all is in the hub that somebody should have looked at, and why. Raises TransientError."""
    states = [state for state in await overview.sources() if state.name in project.sources]
    found = {state.name: state.message for state in states if state.message.startswith(PARKED)}
    found |= {state.name: stands(state) for state in states if state.state == "halted"}
    found |= await unread(project, overview, states)
    for name in project.debezium_systems:
        if name in found and not any(state.changes for state in states if state.name == name):
            found[name] = f"nothing has been heard of it; {found[name]} (is it registered: {_REGISTER} {name}?)"
    return found
