"""Who acts: known once, by whoever lets somebody in, and handed through every act of a person down to the ledger."""

from __future__ import annotations

from dataclasses import dataclass

OS_USER = "os user"
"""Known by the operating system, under which the command line runs."""


@dataclass(frozen=True, slots=True)
class Principal:
    """`name` is what the ledger says of who did it, `known_by` how that is known: `Principal("ann@desk", OS_USER)`,
    `Principal("billing-team", "token")`.

    Raises ValueError for one without a name: an act is somebody's."""

    name: str
    known_by: str

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.known_by.strip():
            raise ValueError("a principal has a name, and is known by something")
