"""How often a source that has nothing to tell says so."""

from __future__ import annotations

IDLE_SECONDS = 10.0
"""An idle source moves its position on no more often than this, unless the log of other tables grows much."""
SETTLING, _SOON = 5.0, 0.2
"""Seconds: for so long after its start an idle source moves its position on so often."""

_MUCH_LOG, _MUCH_LOG_SECONDS = 1 << 20, 1.0
"""Bytes of others' log that are confirmed so soon: what is not, the server keeps for us."""


def patience(idle_seconds: float, *, beginning: bool) -> float:
    """Deliveries wait at first until all systems are read as they stood: an idle one says soon that it is."""
    return min(_SOON, idle_seconds) if beginning else idle_seconds


def worth_confirming(grown: int, idle: float, patience: float) -> bool:
    """Whether a position that says nothing new is made durable, and then confirmed to the server: each time is a commit
    in the hub. `grown`: bytes of log since the last one, `idle` seconds ago."""
    return idle >= patience or (grown >= _MUCH_LOG and idle >= _MUCH_LOG_SECONDS)
