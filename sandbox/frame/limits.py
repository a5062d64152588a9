"""How many requests a vendor takes: a bucket that fills evenly. It goes by the machine's time, whatever the sandbox's
clock is set to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    requests: int
    seconds: float


class Bucket:
    """Full at first: a burst of `rate.requests` goes through, then what has flowed in since."""

    def __init__(self, rate: Rate | None, timer: Callable[[], float]) -> None:
        """Without a rate it never runs dry."""
        self.rate = rate
        self._timer = timer
        self._level = float(rate.requests) if rate else 0.0
        self._seen = timer()

    @property
    def left(self) -> int:
        """How many go through at once now."""
        self._fill()
        return int(self._level)

    def take(self) -> bool:
        self._fill()
        if self.rate is None:
            return True
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def wait(self) -> float:
        """Seconds until the next goes through."""
        self._fill()
        return 0.0 if self.rate is None else max(0.0, 1 - self._level) * self.rate.seconds / self.rate.requests

    def _fill(self) -> None:
        now = self._timer()
        if self.rate is not None:
            flow = (now - self._seen) * self.rate.requests / self.rate.seconds
            self._level = min(float(self.rate.requests), self._level + flow)
        self._seen = now
