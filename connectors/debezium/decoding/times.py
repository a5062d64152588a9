"""Dates and times of Debezium's encodings as the text that PostgreSQL writes (ISO style, UTC).

Facts: Debezium's connector reference, "Temporal types", and `io.debezium.time.*`; PostgreSQL's `timestamp_out` and
`interval_out`. Infinity has no number of its own in Debezium: it is what the JDBC driver's first and last moments come
to in the unit at hand (by another way in a snapshot than in the stream). The few numbers are listed here; no date or
timestamp of PostgreSQL comes near them.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

_LONGS: Final = {(1 << 63) - 1: "infinity", -1 << 63: "-infinity"}
_DRIVER: Final = {9223372036825200000: "infinity", -9223372036832400000: "-infinity"}
INFINITE_DAYS: Final = {
    days + shift: text
    for days, text in (
        (2146033979, "infinity"),
        (-2147472691, "-infinity"),
        (-622191234, "infinity"),  # a snapshot's, cut to 32 bits; a day more or less in other time zones of the JVM
        (-625821272, "-infinity"),
    )
    for shift in (-1, 0, 1)
}
INFINITE_MICROS: Final = _LONGS | _DRIVER
INFINITE_MILLIS: Final = _LONGS | _DRIVER | {9223372036825200: "infinity", -9223372036832400: "-infinity"}
INFINITE_NANOS: Final = _LONGS
INFINITE_YEARS: Final = {
    5877611: "infinity",
    -5877611: "-infinity",
    292278994: "infinity",
    -292275055: "-infinity",
    292269055: "-infinity",  # the same year BC, whose era a snapshot loses
}

_EPOCH = date(1970, 1, 1)
_MIDNIGHT = datetime(1970, 1, 1)  # of no zone
_FIRST, _LAST = (date.min - _EPOCH).days, (date.max - _EPOCH).days
_DAY = 86_400_000_000
_DATE = r"(?P<year>[+-]?\d{4,9})-(?P<month>\d\d)-(?P<day>\d\d)"
_CLOCK = r"(?P<clock>\d\d:\d\d)(?P<seconds>:\d\d)?(?:\.(?P<fraction>\d{1,9}))?"
_ZONE = r"(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?"
_ISO_DATE = re.compile(_DATE + _ZONE).fullmatch
_ISO_TIMESTAMP = re.compile(f"{_DATE}[T ]{_CLOCK}{_ZONE}").fullmatch
_ISO_TIME = re.compile(_CLOCK + _ZONE).fullmatch
_USUAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z").fullmatch
_INTERVAL = re.compile(
    r"P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?\d+(?:\.\d+)?)S)?)?"
).fullmatch
_INFINITE = ("infinity", "-infinity")


def date_of_days(days: int) -> str:
    """Days since 1970-01-01."""
    return INFINITE_DAYS.get(days) or "".join(_day(days))


@lru_cache(maxsize=16_384)
def _day(days: int) -> tuple[str, str]:
    """A date, and its era if it is before Christ (which PostgreSQL writes at the very end)."""
    if _FIRST <= days <= _LAST:
        return (_EPOCH + timedelta(days=days)).isoformat(), ""
    return _civil(*_from_days(days))


def _from_days(days: int) -> tuple[int, int, int]:
    """Year (0 is 1 BC), month, day of the proleptic Gregorian calendar: eras of 400 years, counted from March."""
    era, rest = divmod(days + 719_468, 146_097)
    year = (rest - rest // 1_460 + rest // 36_524 - rest // 146_096) // 365
    rest -= 365 * year + year // 4 - year // 100
    month = (5 * rest + 2) // 153
    day = rest - (153 * month + 2) // 5 + 1
    month += 3 if month < 10 else -9
    return 400 * era + year + (month <= 2), month, day


def _civil(year: int, month: int, day: int) -> tuple[str, str]:
    return (f"{1 - year:04}-{month:02}-{day:02}", " BC") if year <= 0 else (f"{year:04}-{month:02}-{day:02}", "")


def timestamp_of_micros(micros: int) -> str:
    """Microseconds since 1970-01-01 00:00, of no zone."""
    if _FIRST * _DAY <= micros < (_LAST + 1) * _DAY:
        text = (_MIDNIGHT + timedelta(microseconds=micros)).isoformat(" ")
        return text.rstrip("0") if micros % 1_000_000 else text
    days, rest = divmod(micros, _DAY)
    day, era = _day(days)
    return INFINITE_MICROS.get(micros) or f"{day} {time_of_micros(rest)}{era}"


def timestamp_of_millis(millis: int) -> str:
    return INFINITE_MILLIS.get(millis) or timestamp_of_micros(millis * 1_000)


def timestamp_of_nanos(nanos: int) -> str:
    return INFINITE_NANOS.get(nanos) or timestamp_of_micros(nanos // 1_000)


def time_of_micros(micros: int) -> str:
    """A time of day; also MySQL's, which may be negative or of more than a day."""
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    seconds, fraction = divmod(micros, 1_000_000)
    minutes, second = divmod(seconds, 60)
    text = f"{sign}{minutes // 60:02}:{minutes % 60:02}:{second:02}"
    return f"{text}.{fraction:06}".rstrip("0") if fraction else text


def time_of_millis(millis: int) -> str:
    return time_of_micros(millis * 1_000)


def time_of_nanos(nanos: int) -> str:
    return time_of_micros(nanos // 1_000)


def date_of_iso(text: str) -> str:
    """`2024-02-29Z` as an `IsoDate` has it. Raises ValueError."""
    if text in _INFINITE:
        return text
    match = _ISO_DATE(text)
    if match is None:
        raise ValueError("not an ISO date")
    year = int(match["year"])
    return INFINITE_YEARS.get(year) or "".join(_civil(year, int(match["month"]), int(match["day"])))


def zoned_of_iso(text: str) -> str:
    """A moment in UTC: `2024-02-29 10:34:56.5+00`. Raises ValueError."""
    if _USUAL(text) is None or text.startswith("0000"):
        return _timestamp(text, "+00")
    return f"{text[:10]} {text[11:-1].rstrip('0').rstrip('.') if len(text) > 20 else text[11:19]}+00"


def timestamp_of_iso(text: str) -> str:
    """A timestamp of no zone (`IsoTimestamp` writes a Z nevertheless). Raises ValueError."""
    return _timestamp(text, "")


def _timestamp(text: str, zone: str) -> str:
    """In UTC, with a zone's name behind the time."""
    if text in _INFINITE:
        return text
    match = _ISO_TIMESTAMP(text)
    if match is None:
        raise ValueError("not an ISO timestamp")
    if (infinite := INFINITE_YEARS.get(int(match["year"]))) is not None:
        return infinite
    day, clock, era = _in_utc(match)
    return f"{day} {clock}{zone}{era}"


def _in_utc(match: re.Match[str]) -> tuple[str, str, str]:
    """Date, time of day and era."""
    clock, fraction = f"{match['clock']}{match['seconds'] or ':00'}", (match["fraction"] or "").rstrip("0")
    year, month, day = int(match["year"]), int(match["month"]), int(match["day"])
    offset = _offset_minutes(match["zone"])
    if offset:
        hours, minutes, seconds = map(int, clock.split(":"))
        shift, rest = divmod(hours * 60 + minutes - offset, 1_440)
        clock = f"{rest // 60:02}:{rest % 60:02}:{seconds:02}"
        year, month, day = _from_days(_to_days(year, month, day) + shift)
    text, era = _civil(year, month, day)
    return text, f"{clock}.{fraction}" if fraction else clock, era


def _to_days(year: int, month: int, day: int) -> int:
    """The inverse of `_from_days`."""
    year -= month <= 2
    era, rest = divmod(year, 400)
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + rest * 365 + rest // 4 - rest // 100 + of_year - 719_468


def _offset_minutes(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    digits = zone[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return -minutes if zone[0] == "-" else minutes


def time_of_iso(text: str) -> str:
    """`12:34:56.5Z` as an `IsoTime` has it: a time of day of no zone. Raises ValueError."""
    match = _ISO_TIME(text)
    if match is None:
        raise ValueError("not an ISO time")
    fraction = (match["fraction"] or "").rstrip("0")
    clock = f"{match['clock']}{match['seconds'] or ':00'}"
    return f"{clock}.{fraction}" if fraction else clock


def zoned_time_of_iso(text: str) -> str:
    """A time of day with a zone, which Debezium has moved to UTC. Raises ValueError."""
    match = _ISO_TIME(text)
    if match is None or _offset_minutes(match["zone"]):
        raise ValueError("not an ISO time in UTC")
    return f"{time_of_iso(text)}+00"


def interval_of_iso(text: str) -> str:
    """`P1Y2M3DT4H5M6.7S`, without what is zero. Raises ValueError."""
    match = _INTERVAL(text)
    if match is None or text.endswith(("P", "T")):
        raise ValueError("not an ISO interval")
    years, months, days, hours, minutes, seconds = (part or "0" for part in match.groups())
    if "." in seconds:
        seconds = seconds.rstrip("0").rstrip(".")
    total = int(years) * 12 + int(months)
    sign = -1 if total < 0 else 1
    years, months = str(sign * (abs(total) // 12)), str(sign * (abs(total) % 12))
    date_part = "".join(f"{n}{unit}" for n, unit in ((years, "Y"), (months, "M"), (days, "D")) if n.strip("-0"))
    clock = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n.strip("-0."))
    return f"P{date_part}{'T' if clock else ''}{clock}" if date_part or clock else "PT0S"
