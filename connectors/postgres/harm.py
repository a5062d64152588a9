"""What publishing a table would do to the application that writes it: asked before anything is published.

PostgreSQL checks a table's replica identity when the *application* updates or deletes a row. A publication over a table
whose identity does not serve makes these statements fail, and that must never be our doing. Rows of a partitioned table
stand in its partitions, each with an identity (and a log, or none) of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.session import rows


@dataclass(frozen=True, slots=True)
class Part:
    """Where rows of a table stand: the table itself, or one of its partitions. `identified_by` are the columns of its
    replica identity, where that is an index; `stored`, `virtual`: it has generated columns of that kind."""

    name: str
    unlogged: bool
    identity: str
    identified_by: tuple[str, ...]
    stored: bool
    virtual: bool


class Harm(NamedTuple):
    """What would go wrong with a table once it is published, and what to do about it."""

    what: str
    remedy: str


async def parts_of(connection: psycopg.AsyncConnection[TupleRow], oids: Collection[int]) -> dict[int, tuple[Part, ...]]:
    """Table's oid -> where its rows stand; nothing of what is no table."""
    found: dict[int, tuple[Part, ...]] = {}
    for row in await rows(connection, QUERIES["published_parts"], [list(oids)]):
        found[row["root"]] = (*found.get(row["root"], ()), _part(row))
    return found


def _part(row: dict[str, Any]) -> Part:
    columns = tuple(row["identified_by"])
    return Part(row["name"], row["unlogged"], row["identity"], columns, row["stored"], row["virtual"])


def harms(parts: Sequence[Part], key: Sequence[str], version: int) -> Iterator[Harm]:
    """What publishing a table would break or miss, for a table whose rows stand in `parts` and are told apart by `key`.

    `version` as the server's number has it."""
    for part in parts:
        if part.unlogged:
            yield Harm(
                f"{part.name} is unlogged, so that none of its changes can be read",
                f"ALTER TABLE {part.name} SET LOGGED, or give the stream `mode: target`, so that it is only written to",
            )
        if part.identity != "f" and not part.identified_by:
            yield Harm(
                f"{part.name} has no replica identity: once published, its application could not update or delete rows",
                _identity(part, key),
            )
        elif part.identity != "f" and not set(key) <= set(part.identified_by):
            yield Harm(
                f"the replica identity of {part.name} does not cover its key {', '.join(key)}",
                f"ALTER TABLE {part.name} REPLICA IDENTITY FULL, or USING INDEX on a unique index of the key",
            )
        if part.identity == "f" and part.virtual and version >= 180000:
            yield Harm(
                f"{part.name} has a virtual generated column and REPLICA IDENTITY FULL: once published, its "
                "application could not update or delete rows",
                f"ALTER TABLE {part.name} REPLICA IDENTITY DEFAULT, or make the column STORED",
            )


def untold(name: str, table: str, key: Sequence[str], identity: Sequence[str]) -> Iterator[Harm]:
    """What is missing where a table's log does not say which row was changed or deleted: of a partitioned table its own
    identity counts, whatever its parts have. `name` is the stream's."""
    if missing := [column for column in key if column not in identity]:
        yield Harm(
            f"{name} has no primary key or replica identity that covers {', '.join(missing)}, "
            "so updates and deletes could not be told apart",
            f"add a primary key on {', '.join(key)}, or ALTER TABLE {table} REPLICA IDENTITY FULL",
        )


def needs_stored(parts: Sequence[Part], version: int) -> list[str]:
    """The parts whose updates fail while a publication of theirs leaves out stored generated columns."""
    return [part.name for part in parts if version >= 180000 and part.identity == "f" and part.stored]


def _identity(part: Part, key: Sequence[str]) -> str:
    if part.identity == "n":
        return f"ALTER TABLE {part.name} REPLICA IDENTITY DEFAULT, which takes its primary key"
    return (
        f"ALTER TABLE {part.name} ADD PRIMARY KEY ({', '.join(key)}), or ALTER TABLE {part.name} REPLICA IDENTITY FULL"
    )
