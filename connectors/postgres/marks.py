"""The mark that stands before our rows in a target's log, and whether one that comes back is really ours.

Anybody who may connect can send a logical message (`pg_logical_emit_message`), under our prefix too, and whoever
reads the log can copy one. So what a mark holds is sealed: nobody makes it without the hub's key, and one that was
copied into another transaction does not fit there.

    prefix    fieldwarden:<project>
    content   <system> <at> <seal>      at: µs since 1970 UTC by the target's clock when the transaction began
    seal      HMAC-SHA-256(key, "fieldwarden-mark-1" 0x00 system 0x00 transaction (8 bytes) at (8 bytes)), in hex
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from struct import Struct
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["ours", "another's", "forged"]
"""ours: this system's target made it; another's: the target of another of the project's systems; forged: nobody who has
the key."""

_numbers = Struct(">Qq").pack
_LONGEST = 200
"""Bytes of a content of ours, and more: a longer one is not read."""
_APART = 86_400_000_000
"""µs that the commit of a transaction may lie before or after its mark was made. The server's clock may be set
meanwhile; and its number comes again after four billion others, or on a server restored from a backup."""


class Seal:
    """Makes what marks hold, and tells what was made with the same `key`. The key is shown to nobody."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def content(self, system: str, transaction: int, at: int) -> str:
        """What the mark holds on the transaction of this number (32 bits) that began at this time."""
        return f"{system} {at} {self._of(system.encode(), transaction, at).hex()}"

    def system_of(self, content: bytes, transaction: int, at: int) -> str | None:
        """Whose target made this content for the transaction of this number, committed at `at`; None: nobody who has
        the key did."""
        parts = content.split(b" ") if len(content) <= _LONGEST else ()
        if len(parts) != 3 or not parts[1].isdigit() or len(parts[1]) > 18:
            return None
        system, began, seal = parts[0], int(parts[1]), parts[2]
        expected = self._of(system, transaction, began).hex().encode()
        if not hmac.compare_digest(seal, expected) or abs(at - began) > _APART:
            return None
        return system.decode()

    def _of(self, system: bytes, transaction: int, at: int) -> bytes:
        said = b"fieldwarden-mark-1\0" + system + b"\0" + _numbers(transaction, at)
        return hmac.digest(self._key, said, "sha256")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a target puts before its rows: the prefix (`following.mark_of`) and the seal."""

    prefix: str
    seal: Seal


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks that a source looks for. Those of transactions that ended before the LSN `sealed_from` were made by a
    version that did not seal them, and are believed."""

    system: str
    prefixes: Collection[str]
    seal: Seal
    sealed_from: int = 0

    def judge(self, content: bytes, transaction: int, at: int, lsn: int) -> Verdict:
        """Who made a mark of one of our prefixes, by the number, time and place of the commit that it came with."""
        if lsn < self.sealed_from:
            return "ours"
        system = self.seal.system_of(content, transaction, at)
        if system is None:
            return "forged"
        return "ours" if system == self.system else "another's"
