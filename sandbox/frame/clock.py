"""The time of a sandbox: the machine's, until somebody sets it. Nothing in a sandbox asks another clock for a date."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """Seconds since 1970. `machine` is what it follows, `time.time` outside of tests."""

    def __init__(self, machine: Callable[[], float]) -> None:
        self._machine = machine
        self._ahead = 0.0
        self._stands: float | None = None

    @property
    def stands(self) -> bool:
        """Whether it moves only when it is moved."""
        return self._stands is not None

    def now(self) -> float:
        return self._machine() + self._ahead if self._stands is None else self._stands

    def stand(self, at: float) -> None:
        """From now on it is `at`, until it is moved or follows the machine again."""
        self._stands = at

    def move(self, seconds: float) -> None:
        """Forward, or back with a negative number. A clock that goes keeps going."""
        if self._stands is None:
            self._ahead += seconds
        else:
            self._stands += seconds

    def follow(self) -> None:
        """Show the machine's time again."""
        self._ahead, self._stands = 0.0, None


def iso(seconds: float, places: int = 3) -> str:
    """`iso(0)` -> "1970-01-01T00:00:00.000Z"; with `places` 0 "1970-01-01T00:00:00Z"."""
    at = datetime.fromtimestamp(seconds, UTC)
    fraction = f".{at.microsecond:06}"[: places + 1] if places else ""
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def seconds_of(text: str) -> float:
    """Of an ISO 8601 time, UTC where it names no zone: `seconds_of("1970-01-01T00:01:00Z")` -> 60.0. Raises
    ValueError."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
