"""Targets that take what they are given and hold something else soon after: noticed, and not fed for ever.

A trigger that rewrites our value after the write tells it by the echo alone, which makes the delivery due again each
time. Whichever of the verdict and the echo comes first: after so many deliveries of one version nothing is written.
"""

from __future__ import annotations

from collections import OrderedDict

from fieldwarden.engine.record import Record

ASKED = "asked"
"""What a delivery is said to have met last where a person has it tried again (`release_delivery` writes it)."""
_REMEMBERED = 20_000


class Habits:
    """How often each record was delivered to one target at its present version. Each word of a person makes another
    version; what comes back of our own writes makes none."""

    def __init__(self, most: int) -> None:
        """`most` deliveries of one version are in order."""
        self._most = most
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def delivered(self, record: Record) -> bool:
        """Count one more. True if something undoes it time and again."""
        version, count = self._counts.pop(record.id, (-1, 0))
        count = count + 1 if version == record.version else 1
        self._counts[record.id] = (record.version, count)
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return count > self._most

    def undoes(self, record: Record, met: str) -> bool:
        """Whether this version was undone often enough, so that nothing is to be written. `met`: what the last attempt
        met; if a person asked for another try, counting begins anew."""
        if record.id not in self._counts:
            return False
        if met == ASKED:
            del self._counts[record.id]
            return False
        version, count = self._counts[record.id]
        return version == record.version and count > self._most
