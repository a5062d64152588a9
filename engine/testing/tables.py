"""Rows of the hub in memory: what PostgreSQL's has in tables of the same names."""

from __future__ import annotations

from dataclasses import dataclass

from fieldwarden.engine.ports.durable import Entry
from fieldwarden.engine.ports.parts import FIRST_BASELINE


@dataclass(slots=True)
class SourceRow:
    """`system` is that of the lane."""

    system: str
    epoch: int = 0
    state: str = "new"
    message: str = ""
    changes: int = 0
    echoes: int = 0
    leased_at: int = 0
    read: bool = False
    baseline: int = FIRST_BASELINE
    swept: bool = True
    streams: tuple[str, ...] = ()


@dataclass(slots=True)
class PartitionRow:
    epoch: int = 0
    position: str | None = None
    until: str = ""
    message: str = ""
    baseline: int = FIRST_BASELINE


@dataclass(slots=True)
class Dirty:
    mark: int
    due: int
    since: int
    status: str = "due"
    attempts: int = 0
    awaits: str | None = None
    result: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    lane: str
    height: int
    previous: bytes
    root: bytes
    hash: bytes
    rulebook: str
    at: int
    entries: tuple[Entry, ...]
