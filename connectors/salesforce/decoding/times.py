"""Dates and times of change events, which are milliseconds since 1970, as PostgreSQL writes them (ISO, UTC)."""

from __future__ import annotations

from datetime import datetime, timedelta

_EPOCH = datetime(1970, 1, 1)  # of no zone
_DAY = 86_400_000


def moment(millis: int) -> str:
    """Raises OverflowError for a moment that is in no calendar.

    >>> moment(1_712_694_387_000), moment(1_712_694_387_120)
    ('2024-04-09 20:26:27+00', '2024-04-09 20:26:27.12+00')
    """
    text = (_EPOCH + timedelta(milliseconds=millis)).isoformat(" ")
    return f"{text.rstrip('0') if millis % 1_000 else text}+00"


def day(millis: int) -> str:
    """A date is the midnight with which it begins in UTC. Raises ValueError for any other moment.

    >>> day(1_709_164_800_000)
    '2024-02-29'
    """
    days, rest = divmod(millis, _DAY)
    if rest:
        raise ValueError("no midnight in UTC")
    return (_EPOCH + timedelta(days=days)).date().isoformat()


def clock(millis: int) -> str:
    """A time of day, as Salesforce's REST API writes it. Raises ValueError for none.

    >>> clock(37_800_000)
    '10:30:00.000Z'
    """
    if not 0 <= millis < _DAY:
        raise ValueError("no time of day")
    return f"{(_EPOCH + timedelta(milliseconds=millis)).time().isoformat('milliseconds')}Z"
