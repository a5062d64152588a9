"""Statements that `doctor` proposes: such as the table at hand can take."""

from __future__ import annotations

import re
from collections.abc import Sequence

from connectors.postgres.catalog import Table

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*$")


def quoted(name: str) -> str:
    """A column as SQL has to name it."""
    return name if _PLAIN.match(name) else '"' + name.replace('"', '""') + '"'


def listed(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))


def make_unique(table: Table, columns: Sequence[str], *, key: bool = False) -> str:
    """How to make columns unique, or the primary key; PostgreSQL wants a partitioned table's own key among them."""
    name, lacking = f"{table.schema}.{table.name}", [each for each in table.partitioned_by if each not in columns]
    what = "PRIMARY KEY" if key else "UNIQUE"
    if not lacking:
        return f"ALTER TABLE {name} ADD {what} ({listed(columns)})"
    there = listed(lacking)
    if key:
        return (
            f"{name} is partitioned by {there}, which its key must hold: ALTER TABLE {name} ADD PRIMARY KEY "
            f"({listed([*columns, *lacking])}), and name these columns as `key`"
        )
    return (
        f"{name} is partitioned by {there}: PostgreSQL cannot keep {listed(columns)} alone unique there; name "
        f"`unique: [{', '.join([*columns, *lacking])}]` with a constraint on these, or leave `create` out"
    )
