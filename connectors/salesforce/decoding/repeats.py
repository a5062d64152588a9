"""Events that are delivered twice: they are known by their transaction and their number in it."""

from __future__ import annotations

from typing import Final

MOST: Final = 8_192
"""Events that are remembered: Salesforce repeats what was delivered a moment ago."""


class Repeats:
    """What one topic has told of lately. It holds no more than `most` events."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._seen: dict[tuple[str, int], None] = {}

    def again(self, identity: tuple[str, int] | None) -> bool:
        """Whether this event came before; it is remembered. None is never a repetition.

        >>> repeats = Repeats()
        >>> repeats.again(("t", 1)), repeats.again(("t", 2)), repeats.again(("t", 1)), repeats.again(None)
        (False, False, True, False)
        """
        if identity is None:
            return False
        if identity in self._seen:
            return True
        self._seen[identity] = None
        if len(self._seen) > self._most:
            del self._seen[next(iter(self._seen))]
        return False
