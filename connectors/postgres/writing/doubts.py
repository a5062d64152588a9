"""What the target's own code lacked when it was called for a row (a privilege, a table): that row's trouble, or all's?

It is the row's, where the same statement wrote another row of its stream in the same transaction: a trigger is called
for a table and an operation, so that its code had what it needs there. Else it is the target's, whatever got through
elsewhere. A row that already is as it should be, or is gone already, tells nothing: no trigger is called for it. Pure.
"""

from __future__ import annotations

from typing import TypeAlias

import psycopg

from fieldwarden.connectors.postgres.writing.groups import Group
from fieldwarden.engine.guard import Operation

Place: TypeAlias = tuple[str, Operation]
"""A stream and what was done to its rows."""


class Doubts:
    """Of one transaction at a time."""

    def __init__(self) -> None:
        self._met: dict[Place, psycopg.Error] = {}
        self._through: set[Place] = set()

    def clear(self) -> None:
        """Another transaction begins."""
        self._met.clear()
        self._through.clear()

    def met(self, group: Group, error: psycopg.Error) -> None:
        """A row of the group met this (`faults.in_doubt`)."""
        self._met.setdefault((group.stream.name, group.operation), error)

    def got_through(self, group: Group) -> None:
        """The group's statement wrote a row, its triggers called."""
        self._through.add((group.stream.name, group.operation))

    def of_all(self) -> tuple[str, psycopg.Error] | None:
        """The stream, and the first error, of what no other row got through; None: all of it is the rows' own."""
        for place, error in self._met.items():
            if place not in self._through:
                return place[0], error
        return None
