"""What several operations say alike: how many, how long ago, and that a value is hidden."""

from __future__ import annotations

from datetime import UTC, datetime

from fieldwarden.engine.hub.asking import MASK


def seconds_since(moment: datetime) -> float:
    """How long ago, to a tenth of a second, as results of operations give it."""
    return round((datetime.now(UTC) - moment).total_seconds(), 1)


def age(seconds: float | None) -> str:
    """`3 s`, `4 min`, `2 h`, `5 d`: how long ago, as one reads it."""
    if seconds is None:
        return "never"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds / size))} {unit}"
    return f"{int(seconds / 86_400)} d"


def count(number: int, one: str, many: str = "") -> str:
    """`1 entity`, `3 entities`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def hidden() -> str:
    return f"{MASK} stands for a personal value; --unmask shows it"
