"""What is proposed about a table's columns; statements are such as the table at hand can take."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches

from fieldwarden.connectors.postgres.catalog import Table

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


def instead(name: str, columns: Collection[str]) -> str:
    """What may have been meant by the name of a column that is not among these."""
    near = get_close_matches(name, columns, 1)
    return f"did you mean {near[0]}?" if near else f"its columns are {', '.join(columns)}"
