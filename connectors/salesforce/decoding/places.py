"""How far a topic is, and where its changes stand: the texts of positions.

Replay ids are opaque, and may well fall: they are never compared. A number of ours, which counts the events as they
come, puts a topic's events in order; the replay id stands behind it, and says nothing but where to go on.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = r"\.([0-9a-f]{1,13})"
_PLACE = re.compile(rf"([0-9a-f]{{4,8}})\.([0-9a-f]{{12}})\.((?:[0-9a-f]{{2}})*){_NUMBER}{_NUMBER}").fullmatch


class Place(NamedTuple):
    """Behind the event that came as the `number`-th of a baseline; an empty `replay` id: before the first event that
    is kept. Events that were committed before `since` (milliseconds since 1970) say less than the rows that the
    baseline read; all that was committed before `told` has been told.

    >>> Place(1, 42, b"\\x01\\xff", 16, 17).text
    '0001.00000000002a.01ff.10.11'
    >>> Place.parse("0001.00000000002a.01ff.10.11")
    Place(baseline=1, number=42, replay=b'\\x01\\xff', since=16, told=17)
    """

    baseline: int
    number: int
    replay: bytes
    since: int = 0
    told: int = 0

    @property
    def text(self) -> str:
        return f"{self.row}.{self.replay.hex()}.{self.since:x}.{self.told:x}"

    @property
    def row(self) -> str:
        """The position of a row's change: positions of one row compare as text.

        >>> Place(1, 42, b"\\xff").row < Place(1, 43, b"\\x00").row < Place(2, 1, b"").row
        True
        """
        return f"{self.baseline:04x}.{self.number:012x}"

    def after(self, replay: bytes) -> Place:
        """Where the next event stands."""
        return self._replace(number=self.number + 1, replay=replay)

    @classmethod
    def at(cls, row: str, replay: bytes) -> Place:
        """Where an event stood, by the position of a row's change and its replay id. Raises ValueError for others.

        >>> Place.at("0001.00000000002a", b"\\x01").row
        '0001.00000000002a'
        """
        return cls.parse(f"{row}.{replay.hex()}.0.0")

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ValueError for what is no position of a topic."""
        match = _PLACE(text)
        if match is None:
            raise ValueError(f"{text!r} is no position of a Salesforce topic")
        return cls(int(match[1], 16), int(match[2], 16), bytes.fromhex(match[3]), int(match[4], 16), int(match[5], 16))


class Progress(NamedTuple):
    """How far a part is: where on its topic it goes on, and, while its rows are read, behind which id ("": none was
    read); None: all rows have been told.

    >>> Progress(Place(1, 0, b"", 16), "001A").text
    '0001.000000000000..10.0!001A'
    >>> Progress.parse("0001.00000000002a.01ff.10.11")
    Progress(place=Place(baseline=1, number=42, replay=b'\\x01\\xff', since=16, told=17), after=None)
    """

    place: Place
    after: str | None = None

    @property
    def text(self) -> str:
        return self.place.text if self.after is None else f"{self.place.text}!{self.after}"

    @classmethod
    def parse(cls, text: str) -> Progress:
        """Raises ValueError for what is no position of a part."""
        place, mark, after = text.partition("!")
        return cls(Place.parse(place), after if mark else None)

    def reread(self) -> Progress:
        """All rows are to be read first, as they are now: newer than what was told of them."""
        return Progress(self.place.after(self.place.replay), "")
