"""Local time: what a date and time without a zone means in a named one, as PostgreSQL understands it.

A time that the clock shows twice (when summer time ends) is the later one, in standard time; one that it never shows
(when summer time begins) is read by the standard time before. Both are the smaller of the two offsets.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fieldwarden.rules.errors import ValueRefused


@cache
def zone(name: str) -> ZoneInfo:
    """Raises ValueError for a name that is not one of the time-zone database's."""
    try:
        found = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        found = None
    if found is None or not name[:1].isupper():
        raise ValueError(f"{name!r} is no time zone; write its full name, as 'Europe/Berlin' or 'UTC'")
    return found


def from_local(moment: datetime, where: ZoneInfo) -> datetime:
    """The moment in UTC at which the clocks show `moment`, which has no zone. Raises ValueRefused."""
    offsets = [moment.replace(tzinfo=where, fold=fold).utcoffset() for fold in (0, 1)]
    try:
        return (moment - min(offset for offset in offsets if offset is not None)).replace(tzinfo=UTC)
    except OverflowError:
        raise ValueRefused("the moment is outside the years 1 to 9999") from None


def to_local(moment: datetime, where: ZoneInfo) -> datetime:
    """What the clocks show at a moment, without a zone. Raises ValueRefused."""
    try:
        return moment.astimezone(where).replace(tzinfo=None, fold=0)
    except OverflowError:
        raise ValueRefused("the moment is outside the years 1 to 9999") from None


def written(utc: str, where: ZoneInfo) -> str:
    """A canonical timestamp as the zone's clocks show it, with the offset: a column without a zone keeps local time,
    one with a zone the moment. Raises ValueRefused for a local time that would be read as another moment."""
    moment = datetime.fromisoformat(utc)
    local = to_local(moment, where)
    if from_local(local, where) != moment:
        raise ValueRefused(
            f"the clocks of {where.key} show this time twice, and without a zone it is read as the later one"
        )
    offset = (local.replace(tzinfo=UTC) - moment).total_seconds()
    minutes, seconds = divmod(abs(round(offset)), 60)
    text = f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
    return local.isoformat(timespec="microseconds") + text
