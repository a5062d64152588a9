"""How vendors write a moment, to and from microseconds since 1970 (UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Literal

Format = Literal["iso", "iso_ms", "epoch", "epoch_ms", "odata", "http_date", "day"]

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ODATA = re.compile(r"/Date\((-?\d{1,17})(?:[+-]\d{4})?\)/").fullmatch
_WHOLE = re.compile(r"-?\d{1,17}").fullmatch
_FRACTION = re.compile(r"(?<=\.\d{6})\d+")
_UNITS = {"epoch": SECOND, "epoch_ms": 1000, "odata": 1000}
_STEPS = {"iso_ms": 1000, "epoch_ms": 1000, "odata": 1000, "day": 86_400 * SECOND}


def told(moment: int, form: Format) -> str:
    """As the vendor writes it, cut off and never rounded up: a window that ends at it and the one that begins at it
    leave nothing between them.

    >>> told(1_500_000, "iso"), told(1_500_000, "iso_ms"), told(1_500_000, "epoch"), told(1_500_000, "epoch_ms")
    ('1970-01-01T00:00:01Z', '1970-01-01T00:00:01.500Z', '1', '1500')
    >>> told(1_500_000, "http_date"), told(1_500_000, "odata"), told(1_500_000, "day")
    ('Thu, 01 Jan 1970 00:00:01 GMT', '/Date(1500)/', '1970-01-01')
    """
    step = _STEPS.get(form, SECOND)
    floor = moment // step * step
    if form in _UNITS:
        number = str(floor // _UNITS[form])
        return f"/Date({number})/" if form == "odata" else number
    there = _EPOCH + timedelta(microseconds=floor)
    if form == "http_date":
        return format_datetime(there, usegmt=True)
    if form == "day":
        return there.date().isoformat()
    return there.isoformat(timespec="milliseconds" if form == "iso_ms" else "seconds").replace("+00:00", "Z")


def moment(text: str, form: Format) -> int:
    """The inverse. One without a zone is of UTC. Raises ValueError for what is no moment in that form.

    >>> moment("2026-11-28T10:00:00.123+01:00", "iso"), moment("1764324000", "epoch")
    (1795856400123000, 1764324000000000)
    >>> moment("/Date(1500+0000)/", "odata")
    1500000
    """
    if form in _UNITS:
        match = _ODATA(text) if form == "odata" else _WHOLE(text)
        if match is None:
            raise ValueError("no moment")
        return int(match[1] if form == "odata" else match[0]) * _UNITS[form]
    if form == "http_date":
        return _micros(parsedate_to_datetime(text))
    return _micros(datetime.fromisoformat(_FRACTION.sub("", text)))


def written(moment: int) -> str:
    """In full, as the engine reads it. Raises ValueError for one that is past the calendar.

    >>> written(1_500_000)
    '1970-01-01T00:00:01.500000+00:00'
    """
    try:
        return (_EPOCH + timedelta(microseconds=moment)).isoformat(timespec="microseconds")
    except OverflowError as error:
        raise ValueError("no moment") from error


def _micros(there: datetime) -> int:
    try:
        aware = there if there.tzinfo is not None else there.replace(tzinfo=UTC)
        return (aware - _EPOCH) // timedelta(microseconds=1)
    except OverflowError as error:
        raise ValueError("no moment") from error
