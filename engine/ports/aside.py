"""Changes that are set aside, as the hub keeps them and as later changes of the same row meet them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from fieldwarden.engine.change import RowRef

SetAsideKind = Literal[
    "data",
    "unreadable",
    "ambiguous",
    "suspicious",
    "parent",
    "excluded",
    "reference",
    "merge",
    "rekey",
    "behind",
    "brake",
]

FOR_A_PERSON = ("data", "ambiguous", "suspicious", "unreadable", "brake")
"""Kinds that never go on by themselves: a person releases them, or a newer word of their row ends them."""

FOR_A_STEWARD: tuple[SetAsideKind, ...] = ("ambiguous", "suspicious")
"""Kinds of rows of which a steward has to say which record they stand for."""

FOR_ANOTHER = (*FOR_A_STEWARD, "parent", "excluded", "reference", "merge")
"""Kinds of what can be read, and waits for another row or record to be known."""


@dataclass(slots=True)
class SetAside:
    """A change kept back with its reason, in order, per source row (dead letter, or waiting for something).

    `kind`: "data" (a person mends it), "ambiguous" (a steward decides), "suspicious" (the
    same: the row claims a record that it should not be able to claim), "parent"/"reference" (`awaits` names the
    row that must be known first), "excluded" (as "parent", where a `where` leaves parents out: no trouble, and the
    row's newest image takes the place of what waits), "merge" (as "reference", to the row that it was merged into),
    "rekey" (it came before the word that its row has taken this key, which `awaits` names), "behind" (an earlier
    change of the same row is set aside), "brake" (a deletion among too many; a person says whether it is meant).
    "unreadable" is another thing: the change has been decided but for values that cannot be read; it holds up nothing
    and is kept to be shown and tried again.
    `payload` is the raw change as JSON (`engine.deciding.kept_changes`).
    """

    row: RowRef
    entity: str
    kind: SetAsideKind
    reason: str
    payload: bytes
    position: str
    awaits: RowRef | None = None
    candidates: tuple[str, ...] = ()
    id: int = 0
    released: bool = False
    """A person asked for another try."""
    moves: bool = False
    """As in `Letter`."""


class Letter(NamedTuple):
    """A set-aside change as far as later changes of its row need to know it.

    `moves`: it is part of its row's going on under another key, so that no later image can make it pointless."""

    id: int
    kind: SetAsideKind
    position: str
    moves: bool = False
    awaits: RowRef | None = None
    """The row that it waits for; of a circle of merged rows the next in it."""

    @property
    def merges(self) -> RowRef | None:
        """The row that its row is to be once that is known, or is in a circle with."""
        return self.awaits if self.kind in ("merge", "excluded", "data") else None

    @property
    def blocks(self) -> bool:
        """Whether later changes of the row wait behind it."""
        return self.kind != "unreadable"
