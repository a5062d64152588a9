"""What `plan` and `onboard` say alike."""

from __future__ import annotations

from collections.abc import Sequence

from fieldwarden.operations.counted import RowCount
from fieldwarden.operations.shell.report import table


def rows_table(counts: Sequence[RowCount]) -> str:
    rows = [[f"{e.system} {e.stream}", f"{e.create:,}", f"{e.update:,}", f"{e.delete:,}"] for e in counts]
    return table(["rows in", "create", "update", "delete"], rows)


def change(before: str | None, after: str | None) -> str:
    return f"{_value(before)} -> {_value(after)}"


def _value(value: str | None) -> str:
    return "nothing" if value is None else value
