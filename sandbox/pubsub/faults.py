"""What goes wrong on demand: each fault as many times as it was asked for, and counted."""

from __future__ import annotations

from collections import Counter
from typing import Final

NAMES: Final = {
    "corrupted": "a subscription that begins behind a replay id is refused: it is said to be corrupted",
    "drop": "the stream breaks after its next answer",
    "duplicate": "an event comes twice, under another replay id",
    "unavailable": "a subscription is refused for the moment",
    "slow": "an answer takes a second",
    "empty": "an answer without events comes at once",
    "exhausted": "the day's events are used up",
    "garbage": "an event's payload is cut short",
}


class Faults:
    """Those that are to come, and those that came."""

    def __init__(self) -> None:
        self.coming: Counter[str] = Counter()
        self.came: Counter[str] = Counter()

    def ask(self, name: str, times: int = 1) -> None:
        """Let a fault come. Raises KeyError for one that there is not."""
        if name not in NAMES:
            raise KeyError(f"no fault {name}: there are {', '.join(NAMES)}")
        self.coming[name] += times

    def now(self, name: str) -> bool:
        """Whether it is to happen now; then it has."""
        if self.coming[name] <= 0:
            return False
        self.coming[name] -= 1
        self.came[name] += 1
        return True
