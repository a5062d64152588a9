"""Marks that say of a transaction that it is our own write, and are not ours: somebody wanted an edit to go unseen."""

from __future__ import annotations

from dataclasses import dataclass

ACT = "forged_mark"
"""What the ledger calls it."""

AGAIN_AFTER = 3_600_000_000
"""µs after which the ledger and the log speak of a system's forged marks again, however many there are."""


@dataclass(frozen=True, slots=True)
class Forged:
    """Transactions that carried such a mark: how many, and of the last its position in the source, its name for people
    and its time (µs since 1970 UTC)."""

    number: int
    position: str
    transaction: str
    at: int

    def and_one_more(self, position: str, transaction: str, at: int) -> Forged:
        return Forged(self.number + 1, position, transaction, at)


NONE = Forged(0, "", "", 0)


@dataclass(frozen=True, slots=True)
class Noted:
    """What the hub has noted of them now: how many it had not heard of yet, and how many there were since the ledger
    spoke of it last; 0: it is not yet time to say it again."""

    new: int = 0
    told: int = 0
