"""How far a topic is, and where its changes stand: the texts of positions.

Replay ids are opaque, and may well fall: they are never compared. A number of ours, which counts the events as they
come, puts a topic's events in order; the replay id stands behind it, and says nothing but where to go on.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PLACE = re.compile(r"([0-9a-f]{4,8})\.([0-9a-f]{12})\.((?:[0-9a-f]{2})*)").fullmatch


class Place(NamedTuple):
    """Behind the event that came as the `number`-th of a baseline; an empty `replay` id: before the first event that
    is kept.

    >>> Place(1, 42, b"\\x01\\xff").text
    '0001.00000000002a.01ff'
    >>> Place.parse("0001.00000000002a.01ff")
    Place(baseline=1, number=42, replay=b'\\x01\\xff')
    """

    baseline: int
    number: int
    replay: bytes

    @property
    def text(self) -> str:
        return f"{self.row}.{self.replay.hex()}"

    @property
    def row(self) -> str:
        """The position of a row's change: positions of one row compare as text.

        >>> Place(1, 42, b"\\xff").row < Place(1, 43, b"\\x00").row < Place(2, 1, b"").row
        True
        """
        return f"{self.baseline:04x}.{self.number:012x}"

    def after(self, replay: bytes) -> Place:
        """Where the next event stands."""
        return Place(self.baseline, self.number + 1, replay)

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ValueError for what is no position of a topic."""
        match = _PLACE(text)
        if match is None:
            raise ValueError(f"{text!r} is no position of a Salesforce topic")
        return cls(int(match[1], 16), int(match[2], 16), bytes.fromhex(match[3]))
