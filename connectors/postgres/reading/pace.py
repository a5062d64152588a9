"""How often a source that has nothing to tell says so."""

from __future__ import annotations

IDLE_SECONDS = 10.0
"""An idle source moves its position on no more often than this, unless the log of other tables grows much."""
SETTLING, _SOON = 5.0, 0.2
"""Seconds: for so long after its start an idle source moves its position on so often."""

_LONGEST = 1.0
_MUCH_LOG, _MUCH_LOG_SECONDS = 1 << 20, 1.0
"""Bytes of others' log that are confirmed so soon: what is not, the server keeps for us."""


def patience(idle_seconds: float, *, beginning: bool) -> float:
    """Deliveries wait at first until all systems are read as they stood: an idle one says soon that it is."""
    return min(_SOON, idle_seconds) if beginning else idle_seconds


def worth_confirming(grown: int, idle: float, patience: float) -> bool:
    """Whether a position that says nothing new is made durable, and then confirmed to the server: each time is a commit
    in the hub. `grown`: bytes of log since the last one, `idle` seconds ago."""
    return idle >= patience or (grown >= _MUCH_LOG and idle >= _MUCH_LOG_SECONDS)


def until_worth(idle: float, patience: float, *, unsaid: bool) -> float:
    """Seconds to wait for more of the log before `worth_confirming` is asked again; it has just said no.

    `unsaid`: the position has moved on since it was last confirmed, so it is worth it as soon as `patience` is over.

    >>> until_worth(0.125, 0.25, unsaid=True), until_worth(0.125, 0.25, unsaid=False)
    (0.125, 1.0)
    """
    return min(_LONGEST, patience - idle) if unsaid else _LONGEST
