"""What a look at all records has counted, as `plan` and `onboard` tell it alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fieldwarden.operations.report import table

_WHAT = ("create", "update", "delete")


def rows_told(rows: Counter[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """By table, how many of its rows would be created, updated and deleted. `rows`: by system, stream and that."""
    places = sorted({(system, stream) for system, stream, _ in rows})
    return [
        {"system": system, "stream": stream, **{what: rows[system, stream, what] for what in _WHAT}}
        for system, stream in places
    ]


def rows_table(told: Sequence[dict[str, Any]]) -> str:
    rows = [[f"{e['system']} {e['stream']}", *(f"{e[what]:,}" for what in _WHAT)] for e in told]
    return table(["rows in", *_WHAT], rows)


def change(before: str | None, after: str | None) -> str:
    return f"{_value(before)} -> {_value(after)}"


def _value(value: str | None) -> str:
    return "nothing" if value is None else value
