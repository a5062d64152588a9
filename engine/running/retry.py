"""What is tried again, and when: one table, and a backoff that is a pure function of the attempt.

Retryability is kept apart from the error types, and the default asks for a person: an error that is not in the table
is a bug, and a bug stops the process with nothing acknowledged.
"""

from __future__ import annotations

from typing import Literal

from fieldwarden.engine.errors import (
    ConfigurationError,
    DecodeError,
    EnvironmentUnfit,
    Fenced,
    SchemaDrift,
    SlotTaken,
    SourceGap,
    TargetBusy,
    TransientError,
)

Verdict = Literal["retry", "halt", "bug"]

_TABLE: tuple[tuple[type[Exception], Verdict], ...] = (
    (Fenced, "bug"),
    (TransientError, "retry"),
    (SlotTaken, "halt"),
    (EnvironmentUnfit, "retry"),
    (SchemaDrift, "halt"),
    (SourceGap, "halt"),
    (DecodeError, "halt"),
    (ConfigurationError, "halt"),
)
"""An unfit environment is retried: a person mends a privilege or starts a server while we run. A slot that is another's
is not: it may be gone for the moment in which that other one makes it anew."""

_FIRST, _LIMIT = 0.2, 30.0


def judge(error: BaseException) -> Verdict:
    for kind, verdict in _TABLE:
        if isinstance(error, kind):
            return verdict
    return "bug"


def backoff(attempt: int, chance: float, error: BaseException | None = None) -> float:
    """Seconds to wait before attempt `attempt` + 1 (counted from 1): doubling, capped at 30 s, half of it jitter.

    `chance` in [0, 1) is the randomness. A target that names its pause is given at least that.
    """
    ceiling = min(_LIMIT, _FIRST * 2.0 ** min(attempt - 1, 16))
    pause = ceiling * (0.5 + 0.5 * chance)
    return max(pause, error.retry_after) if isinstance(error, TargetBusy) else pause
