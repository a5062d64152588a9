"""How often a vendor may be asked: what each of its limits still allows, and how long to wait for the next request.

Time is an argument, in seconds on any clock that only goes forward.
"""

from __future__ import annotations

from collections.abc import Sequence

from fieldwarden.connectors.rest.shapes import Rate

_SLOWEST = 1 / 16
_LONGEST_PAUSE = 3600.0


class Bucket:
    """One rate. It allows its number of requests at once, and then as many as trickle in: over any time of its length
    never more than twice that number are made, and on the whole never more than it says."""

    def __init__(self, rate: Rate) -> None:
        self._size = float(rate.requests)
        self._per_second = rate.requests / rate.seconds
        self._left = self._size
        self._at = 0.0

    def wait(self, now: float, share: float) -> float:
        """How long until one request is allowed at `share` of the rate."""
        self._fill(now, share)
        return max(0.0, (1 - self._left) / (self._per_second * share))

    def take(self, now: float, share: float) -> None:
        self._fill(now, share)
        self._left -= 1

    def _fill(self, now: float, share: float) -> None:
        self._left = min(self._size, self._left + max(0.0, now - self._at) * self._per_second * share)
        self._at = now


class Pace:
    """All rates of one login. A vendor that says it is asked too often is asked half as often from then on, and a
    little more often again with every answer."""

    def __init__(self, rates: Sequence[Rate]) -> None:
        self._buckets = [Bucket(rate) for rate in rates]
        self._share = 1.0
        self._until = 0.0

    @property
    def share(self) -> float:
        """Of the rates that the vendor's file names, how much is made use of."""
        return self._share

    def wait(self, now: float) -> float:
        """How long until the next request may be made. 0: now, and then it is to be counted by `made`."""
        pauses = (bucket.wait(now, self._share) for bucket in self._buckets)
        return max(0.0, self._until - now, *pauses)

    def made(self, now: float) -> None:
        for bucket in self._buckets:
            bucket.take(now, self._share)

    def answered(self) -> None:
        self._share = min(1.0, self._share + 1 / 64)

    def refused(self, now: float, pause: float) -> None:
        """It was asked too often: nothing for `pause` seconds."""
        if self._until <= now:  # requests that were under way together are refused together, and count once
            self._share = max(_SLOWEST, self._share / 2)
        self._until = max(self._until, now + min(pause, _LONGEST_PAUSE))
